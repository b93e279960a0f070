package postgres

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
)

func TestAProcessWithoutSubscribersReadsNothingAndKeepsUp(t *testing.T) {
	database := newDatabase(t)
	n := openBus(t, Options{URL: server.URL(database), Poll: 20 * time.Millisecond}, patience)
	conn := connect(t, database)
	silent := func() bool {
		var asked string
		err := conn.QueryRow(t.Context(), "SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE datname = $1 AND application_name = 'fraiseql_subscriptions'", database).Scan(&asked)
		if err != nil {
			t.Fatal(err)
		}
		n.server.reading.Lock()
		defer n.server.reading.Unlock()
		return !n.server.listening
	}
	until(t, "the bus to stop listening", func() bool { return n.bus.State()["connected"] == true && silent() })
	for i := range 10 {
		publish(t, conn, fmt.Sprint("other", i))
	}
	if _, err := n.publish(t, "own", "a", "", bus.WaitDispatched); err != nil {
		t.Fatal(err)
	}
	until(t, "the bus to pass over them", func() bool { return n.bus.State()["read"] == uint64(11) })
	if got := n.kinds(); got != "" && got != "own" {
		t.Errorf("dispatched %q", got)
	}
	follow(t, n)
	publish(t, conn, "new")
	until(t, "the event", func() bool { kinds := n.kinds(); return kinds == "new" || kinds == "own new" })
}

// TestWhatIsPublishedAfterTheFirstFollowIsDelivered follows and lets go again and again,
// beside publishers that nobody may forget.
func TestWhatIsPublishedAfterTheFirstFollowIsDelivered(t *testing.T) {
	database := newDatabase(t)
	n := openBus(t, Options{URL: server.URL(database), Poll: 3 * time.Millisecond}, patience)
	conn := connect(t, database)
	patterns := bustest.Patterns(t, "wanted")
	stop := make(chan struct{})
	var publishers sync.WaitGroup
	for range 3 {
		publishers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := n.publish(t, "noise", "wanted", "", bus.WaitDispatched); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen := map[string]bool{}
	looked := 0
	for i := range 150 {
		publish(t, conn, "before")
		if err := n.bus.Follow(new(bus.Thread), patterns); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("wanted", i)
		must(t, conn, "SELECT fraiseql_subscriptions.publish('wanted', 'wanted', '{}', event_id => $1)", id)
		until(t, "event "+id, func() bool {
			all := n.Delivered()
			for ; looked < len(all); looked++ {
				seen[all[looked].Event.ID] = true
			}
			return seen[id]
		})
		n.bus.Unfollow(patterns)
		if i%3 == 0 {
			until(t, "the bus to be idle", func() bool {
				n.server.reading.Lock()
				defer n.server.reading.Unlock()
				return !n.server.idleSince.IsZero()
			})
		}
	}
	close(stop)
	publishers.Wait()
	count := map[string]int{}
	for _, one := range n.Delivered() {
		if count[one.Event.ID]++; count[one.Event.ID] > 1 {
			t.Errorf("event %s was delivered twice", one.Event.ID)
		}
	}
}

// TestOwnEventsThatArePassedOverAreHandedOn is about a publisher that is answered when
// somebody has followed its channel in the meantime: it waits for the event to come back.
func TestOwnEventsThatArePassedOverAreHandedOn(t *testing.T) {
	database := newDatabase(t)
	s := openServer(t, Options{URL: server.URL(database), Poll: 10 * time.Millisecond})
	if _, err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := func(until remote.Mark) (ids []string) {
		for {
			items, err := s.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range items {
				if item.Event != nil {
					ids = append(ids, item.Event.ID)
				}
			}
			if n := len(items); n > 0 && s.Covers(items[n-1].Mark, until) {
				return ids
			}
		}
	}
	conn := connect(t, database)
	s.Publish(t.Context(), []*remote.Request{request("before", "{}")})
	if len(s.own) > 0 {
		t.Error("an event is remembered that nobody waits for")
	}
	mark, err := s.Follow(t.Context(), bustest.Patterns(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if got := read(mark); len(got) > 0 {
		t.Errorf("handed on %v", got)
	}
	s.Unfollow(bustest.Patterns(t, "a"))
	// Their channel was followed when that was asked, and is not any more when they are accepted.
	awaited := []*remote.Request{request("one", "{}"), request("two", "{}")}
	for _, r := range awaited {
		r.Follows = []bool{true}
	}
	s.Publish(t.Context(), awaited)
	publish(t, conn, "other")
	if got := read(markOf(s, 4)); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("handed on %v", got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.own) > 0 {
		t.Errorf("%d events are remembered for ever", len(s.own))
	}
}

func markOf(s *Server, seq uint64) remote.Mark { return mark{s.current(), seq} }
