package redis

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/redis/redistest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// asked is a request of events on channels.
func asked(t testing.TB, channels ...string) *remote.Request {
	r := &remote.Request{Err: errors.New("not set")}
	for _, channel := range channels {
		r.Events = append(r.Events, bustest.NewEvent(t, "plain", channel, ""))
	}
	return r
}

// sender is a server that only publishes.
func sender(t testing.TB, url string) *Server {
	s, err := New(Options{URL: url})
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

// TestARefusalIsItsRequestsAlone sends what Redis refuses amid what it accepts, one by one
// and together, in one pipeline: each request gets its own answer, of any form.
func TestARefusalIsItsRequestsAlone(t *testing.T) {
	client := emptied(t)
	must(t, client.Set(t.Context(), streamPrefix+"wrong", "text", 0).Err())
	s := sender(t, server.URL())
	again := asked(t, "d")
	again.Events[0].ChosenID = true
	for round := range 2 { // the second one finds the channels announced
		requests := []*remote.Request{asked(t, "a"), asked(t, "wrong"), asked(t, "a", "b"), asked(t, "a", "wrong"), again, asked(t, "c")}
		s.Publish(t.Context(), requests)
		for i, r := range requests {
			refused := i == 1 || i == 3
			if refused && (fault.CodeOf(r.Err) != fault.BusError || !strings.Contains(r.Err.Error(), streamPrefix+"wrong")) {
				t.Errorf("round %d, request %d: %v", round, i, r.Err)
			}
			if !refused && (r.Err != nil || len(r.Positions) != len(r.Events)) {
				t.Errorf("round %d, request %d: %d positions, %v", round, i, len(r.Positions), r.Err)
			}
		}
		if known := again.Repeated != nil && again.Repeated[0]; known != (round == 1) {
			t.Errorf("round %d: an event published before is known: %v", round, known)
		}
	}
	for channel, want := range map[string]int64{"a": 4, "b": 2, "c": 2, "d": 1} {
		if n := client.XLen(t.Context(), streamPrefix+channel).Val(); n != want {
			t.Errorf("%s has %d events, want %d", channel, n, want)
		}
	}
}

// TestALongPipelineIsSentInParts has more to send than is sent at once, and more than one
// pipeline may hold.
func TestALongPipelineIsSentInParts(t *testing.T) {
	client := emptied(t)
	s := sender(t, server.URL())
	var requests []*remote.Request
	for n := range 2*maxPipelined + 1 {
		requests = append(requests, asked(t, fmt.Sprint("long.", n%3)))
	}
	s.Publish(t.Context(), requests)
	var want [3][]string
	for n, r := range requests {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		want[n%3] = append(want[n%3], r.Events[0].ID)
	}
	for n := range want {
		entries, err := client.XRange(t.Context(), streamPrefix+fmt.Sprint("long.", n), "-", "+").Result()
		must(t, err)
		if len(entries) != len(want[n]) {
			t.Fatalf("%d events on channel %d, want %d", len(entries), n, len(want[n]))
		}
		for i, one := range entries {
			if text, _ := one.Values[dataField].(string); !strings.Contains(text, want[n][i]) {
				t.Fatalf("event %d of channel %d is %s", i, n, text)
			}
		}
	}
}

// TestALinkThatIsCutAmidAnswersLeavesTheRestInDoubt cuts the link while a pipeline is under
// way: what was not answered is doubtful, and asked for again is accepted once.
func TestALinkThatIsCutAmidAnswersLeavesTheRestInDoubt(t *testing.T) {
	client := emptied(t)
	proxy, err := redistest.NewProxy(server.Address())
	must(t, err)
	defer func() { must(t, proxy.Close()) }()
	s := sender(t, proxy.URL())
	first := asked(t, "cut")
	s.Publish(t.Context(), []*remote.Request{first})
	must(t, first.Err)
	requests := []*remote.Request{asked(t, "cut"), asked(t, "cut", "cut2")}
	proxy.Cut()
	s.Publish(t.Context(), requests)
	for i, r := range requests {
		if !errors.Is(r.Err, remote.ErrDoubtful) || r.Note == nil {
			t.Errorf("request %d: %v, note %v", i, r.Err, r.Note)
		}
		r.Doubtful = true
	}
	s.Publish(t.Context(), requests)
	for i, r := range requests {
		if r.Err != nil {
			t.Errorf("request %d, asked for again: %v", i, r.Err)
		}
	}
	if a, b := client.XLen(t.Context(), streamPrefix+"cut").Val(), client.XLen(t.Context(), streamPrefix+"cut2").Val(); a != 3 || b != 1 {
		t.Errorf("%d and %d events, want 3 and 1", a, b)
	}
}

// TestWhatWasAcceptedBeforeALinkBrokeIsOfTheEpochInForce has a server that closes the
// connection in the middle of a pipeline: at a text that is too long for it. Whether what it
// had answered before arrives is up to the network, so it is tried until it does.
func TestWhatWasAcceptedBeforeALinkBrokeIsOfTheEpochInForce(t *testing.T) {
	own := startOwn(t, "--proto-max-bulk-len", "1mb")
	client := clientOf(t, own)
	long := []byte(`{"text":"` + strings.Repeat("x", 1<<20) + `"}`)
	for deadline := time.Now().Add(patience); ; {
		must(t, client.FlushAll(t.Context()).Err())
		s := sender(t, own.URL())
		must(t, client.Set(t.Context(), epochKey, "first", 0).Err())
		s.Publish(t.Context(), []*remote.Request{asked(t, "a")})
		must(t, client.Set(t.Context(), epochKey, "second", 0).Err())
		tooLong, err := event.New("plain", "a", long, "", "")
		must(t, err)
		accepted, refused := asked(t, "a"), &remote.Request{Events: []*event.Event{tooLong}}
		s.Publish(t.Context(), []*remote.Request{accepted, refused})
		if n := client.XLen(t.Context(), streamPrefix+"a").Val(); n != 2 {
			t.Fatalf("%d events, want 2", n)
		}
		if errors.Is(refused.Err, remote.ErrDoubtful) && time.Now().Before(deadline) {
			continue // the connection was reset while the text was being sent
		}
		if accepted.Err != nil || accepted.Positions[0].Epoch != "second" {
			t.Errorf("%v, positions %v, want one of the second epoch", accepted.Err, accepted.Positions)
		}
		if fault.CodeOf(refused.Err) != fault.BusError {
			t.Errorf("what is too long: %v", refused.Err)
		}
		return
	}
}

// TestAnIDPublishedAgainIsKnownThoughAnAnswerWasLost tells an event that somebody published
// earlier, which does not come back once more, from one's own of which no answer came.
func TestAnIDPublishedAgainIsKnownThoughAnAnswerWasLost(t *testing.T) {
	emptied(t)
	s := sender(t, server.URL())
	chosen := func(kind string) *remote.Request {
		return &remote.Request{Events: []*event.Event{bustest.NewEvent(t, kind, "a", "chosen")}}
	}
	first, again := chosen("first"), chosen("again")
	s.Publish(t.Context(), []*remote.Request{first})
	must(t, first.Err)
	for name, c := range map[string]struct {
		request *remote.Request
		before  bool
	}{"another": {again, true}, "the same": {first, false}} {
		c.request.Doubtful, c.request.Note = true, streamID{ms: 1}
		s.Publish(t.Context(), []*remote.Request{c.request})
		if before := c.request.Repeated != nil && c.request.Repeated[0]; c.request.Err != nil || before != c.before {
			t.Errorf("%s: accepted before it %v, %v", name, before, c.request.Err)
		}
	}
}
