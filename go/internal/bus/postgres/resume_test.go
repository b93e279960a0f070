package postgres

import (
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/received"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// TestAPositionOfAnAcceptedEventMissesNothingThatIsCommittedLater is about numbers
// lower than the event's that are still on their way when it is accepted.
func TestAPositionOfAnAcceptedEventMissesNothingThatIsCommittedLater(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	one, two, other := connect(t, database), connect(t, database), connect(t, database)
	publish(t, other, "before")
	n.AwaitDelivered(1)
	must(t, one, "BEGIN")
	publish(t, one, "a")
	must(t, two, "BEGIN")
	publish(t, two, "lost")
	accepted, err := n.publish(t, "own", "a", "", bus.WaitAccepted)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	if err := other.QueryRow(t.Context(), "SELECT fraiseql_subscriptions.publish('a', 'sql', '{}')").Scan(&text); err != nil {
		t.Fatal(err)
	}
	published := parse(t, text)
	if !strings.HasSuffix(accepted.String(), ":u1+4") || !strings.HasSuffix(text, ":u1+5") {
		t.Errorf("accepted at %v, published at %v", accepted, published)
	}
	must(t, one, "COMMIT")
	must(t, two, "ROLLBACK")
	n.awaitKinds(t, "before a own sql")
	for _, c := range []struct {
		since event.Position
		want  string
	}{{accepted, "a sql"}, {parse(t, accepted.String()), "a sql"}, {published, "a own"}} {
		if got, recovered := n.replay(t, c.since, "*"); !recovered || got != c.want {
			t.Errorf("since %v: %q, recovered %v; want %q", c.since, got, recovered, c.want)
		}
	}
}

func TestPositionsArePlainNumbersWhereNothingIsOnItsWay(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	other := connect(t, database)
	for i := range 20 {
		// A rolled-back number leaves a gap; another publisher leaves numbers that this
		// node has to ask about.
		switch i % 4 {
		case 1:
			must(t, other, "BEGIN")
			publish(t, other, "lost")
			must(t, other, "ROLLBACK")
		case 2:
			publish(t, other, "other")
		}
		at, err := n.publish(t, "own", "a", "", bus.WaitAccepted)
		if err != nil || at.Place != nil {
			t.Fatalf("event %d is accepted at %v, error %v", i, at, err)
		}
		if got, recovered := n.replay(t, at, "*"); got != "" || !recovered {
			t.Errorf("after %v came %q, recovered %v", at, got, recovered)
		}
	}
}

func TestAPositionAheadOfThisNodeIsWaitedFor(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	long, other := connect(t, database), connect(t, database)
	must(t, long, "BEGIN")
	publish(t, long, "a")
	var text string
	if err := other.QueryRow(t.Context(), "SELECT fraiseql_subscriptions.publish('a', 'b', '{}')").Scan(&text); err != nil {
		t.Fatal(err)
	}
	resumed := make(chan string, 1)
	go func() {
		kinds, recovered := n.replay(t, parse(t, text), "*")
		resumed <- kinds + " " + strconv.FormatBool(recovered)
	}()
	until(t, "delivery to be held back", func() bool { return n.bus.State()["held_seconds"] != 0.0 })
	if len(resumed) > 0 {
		t.Error("resumed before its own event was read")
	}
	must(t, long, "COMMIT")
	if got := bustest.Receive(t, resumed, "the resume"); got != "a true" {
		t.Errorf("replayed %q", got)
	}
}

func TestAPositionWhoseFollowersWerePrunedRecoversNothing(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	conn := connect(t, database)
	var at []event.Position
	for range 6 {
		one, err := n.publish(t, "x", "a", "", bus.WaitDispatched)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, one)
	}
	expire(t, conn, 3)
	for i, since := range at {
		kinds, recovered := n.replay(t, since, "*")
		if want := i >= 2; recovered != want || recovered && len(strings.Fields(kinds)) != 5-i {
			t.Errorf("since event %d, with three pruned: %q, recovered %v", i+1, kinds, recovered)
		}
	}
	// What a channel lags behind counts from its first event.
	lagging := received.Set{UpTo: 6, Lags: []received.Lag{{Channel: received.Hash("a"), From: 3}}}.Position(at[0].Epoch)
	if _, recovered := n.replay(t, lagging, "*"); recovered {
		t.Error("recovered an event that was pruned")
	}
	lagging = received.Set{UpTo: 6, Lags: []received.Lag{{Channel: received.Hash("a"), From: 4}}}.Position(at[0].Epoch)
	if kinds, recovered := n.replay(t, lagging, "*"); !recovered || kinds != "x x x" {
		t.Errorf("replayed %q, recovered %v", kinds, recovered)
	}
}

// expire prunes the events up to seq, as if the retention had passed for them.
func expire(t testing.TB, conn *pgx.Conn, seq int) {
	t.Helper()
	must(t, conn, `INSERT INTO fraiseql_subscriptions.mark (marked_at, seq)
		SELECT now() - retention - interval '1 second', $1 FROM fraiseql_subscriptions.settings`, seq)
	must(t, conn, "SELECT fraiseql_subscriptions.prune()")
}

func TestResumesThatCannotBeServedSaySo(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	at, err := n.publish(t, "x", "a", "", bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"other:1", at.Epoch + ":2", at.Epoch + ":u1+9", at.Epoch + ":x", at.Epoch + ":1!0", at.Epoch + ":18446744073709551615",
	} {
		if kinds, recovered := n.replay(t, parse(t, text), "*"); recovered {
			t.Errorf("since %s: %q, recovered", text, kinds)
		}
	}
	if kinds, recovered := n.replay(t, parse(t, at.Epoch+":u1-a.1"), "*"); !recovered || kinds != "" {
		t.Errorf("another channel's lag: %q, recovered %v", kinds, recovered)
	}
}

func TestMoreThanAResumeMayTakeRecoversNothing(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	at, err := n.publish(t, "x", "a", "", bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	must(t, connect(t, database), `SELECT fraiseql_subscriptions.publish_batch(array_agg('n' || n), array_agg('a'::text), array_agg('x'::text),
		array_agg('{}'::json), array_agg(''::text), array_agg(now()), true, false, NULL, false, false) FROM generate_series(1, $1) AS n`, mostMissed+1)
	n.AwaitDelivered(mostMissed + 2)
	if _, recovered := n.replay(t, at, "*"); recovered {
		t.Error("recovered more than the most")
	}
	if kinds, recovered := n.replay(t, at, "b"); !recovered || kinds != "" {
		t.Errorf("on another channel: %q, recovered %v", kinds, recovered)
	}
}

func TestAPositionWithTooManyLagsGoesBackToTheFirst(t *testing.T) {
	s, of := new(Server), &epoch{name: "e", number: 1}
	var pending []remote.Item
	for i := range received.MostLags + 1 {
		pending = append(pending, remote.Item{Event: &event.Event{Channel: strconv.Itoa(i)}, Mark: mark{of, uint64(1000 + i)}})
	}
	if at := s.Reached(mark{of, 5000}, pending); at.Place != nil || at.Offset != 999 {
		t.Errorf("reached %v", at)
	}
	at := s.Reached(mark{of, 5000}, pending[:received.MostLags])
	if _, ok := received.Of(parse(t, at.String())); !ok {
		t.Errorf("%v cannot be read", at)
	}
	before := &epoch{name: "d", number: 0}
	pending[0].Mark = mark{before, 7}
	if at := s.Reached(mark{of, 5000}, pending[:1]); at.String() != "e:5000" {
		t.Errorf("what is pending of an earlier epoch makes it %v", at)
	}
	if !s.Covers(mark{of, 1}, mark{before, 7}) || s.Covers(mark{before, 7}, mark{of, 1}) {
		t.Error("a later epoch must cover an earlier one")
	}
}
