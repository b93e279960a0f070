package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

func TestTheOutboxIsPrunedWhileItIsUsed(t *testing.T) {
	database := newDatabase(t)
	conn := connect(t, database)
	must(t, conn, "UPDATE fraiseql_subscriptions.settings SET retention = '300 milliseconds'")
	options := Options{URL: server.URL(database), Upkeep: 20 * time.Millisecond}
	nodes := []*node{openNode(t, options), openNode(t, options)}
	at, err := nodes[0].publish(t, "x", "a", "one", bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := nodes[1].publish(t, "x", "a", "", bus.WaitDispatched); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the outbox to be empty", func() bool { return len(outbox(t, conn)) == 0 })
	pruned := func() int {
		return nodes[0].bus.State()["pruned"].(int) + nodes[1].bus.State()["pruned"].(int)
	}
	until(t, "the nodes to have counted it", func() bool { return pruned() == 21 })
	if _, recovered := nodes[0].replay(t, at, "*"); recovered {
		t.Error("recovered what was pruned")
	}
	// Beyond the retention, an id is new.
	if again, err := nodes[0].publish(t, "y", "a", "one", bus.WaitDispatched); err != nil || again.Offset <= at.Offset {
		t.Errorf("at %v, error %v", again, err)
	}
	nodes[1].AwaitDelivered(22)
	if strange := nodes[0].bus.State()["upkeep_error"]; strange != nil {
		t.Error(strange)
	}
}

func TestAReaderThatMayNotPruneSaysSoAndReads(t *testing.T) {
	database := newDatabase(t)
	conn := connect(t, database)
	looker, _ := newRole(t, conn, "looker")
	must(t, conn, "SELECT fraiseql_subscriptions.allow_reading($1::text::regrole)", looker)
	must(t, conn, "REVOKE EXECUTE ON FUNCTION fraiseql_subscriptions.prune FROM "+looker)
	n := openNode(t, Options{URL: server.URLFor(looker, database), Upkeep: 20 * time.Millisecond})
	until(t, "the complaint", func() bool {
		text, _ := n.bus.State()["upkeep_error"].(string)
		return strings.Contains(text, "prune") && n.log.has("could not be pruned")
	})
	publish(t, conn, "x")
	n.awaitKinds(t, "x")
}

// TestAFullNotificationQueueIsSeenBeforeItHappens has a session that listens in a
// transaction that stays open: so nothing can leave the queue.
func TestAFullNotificationQueueIsSeenBeforeItHappens(t *testing.T) {
	own := startServer(t)
	url := installOn(t, own)
	n := openNode(t, Options{URL: url, Upkeep: 20 * time.Millisecond, fullQueue: 0.005})
	listener, conn := connectTo(t, url), connectTo(t, url)
	must(t, listener, "LISTEN other")
	must(t, listener, "BEGIN")
	usage := func() float64 { return n.bus.State()["notification_queue"].(float64) }
	for _, messages := range []int{3000, 9000} { // of the size of a page: 8 GB are a million
		must(t, conn, "SELECT pg_notify('other', n || repeat('x', 7900)) FROM generate_series(1, $1) AS n", messages)
		var used float64
		if err := conn.QueryRow(t.Context(), readQueueUsage).Scan(&used); err != nil {
			t.Fatal(err)
		}
		until(t, "the node to see it", func() bool { return usage() >= used })
		if used <= 0.005 && n.log.has("notification queue is") {
			t.Errorf("warned at %v", used)
		}
	}
	until(t, "the warning", func() bool { return n.log.has("notification queue is") })
	must(t, listener, "ROLLBACK")
	until(t, "the queue to be empty", func() bool { return usage() < 0.005 && n.log.has("being emptied") })
}

// TestANodeThatDispatchesSlowlyFillsNoQueue stops reading, and notifies more than
// sockets hold: the server must be able to forget it.
func TestANodeThatDispatchesSlowlyFillsNoQueue(t *testing.T) {
	own := startServer(t)
	url := installOn(t, own)
	s := openServer(t, Options{URL: url})
	if _, err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := connectTo(t, url)
	must(t, conn, "SELECT pg_notify('fraiseql', n || repeat('x', 7900)) FROM generate_series(1, 5000) AS n")
	until(t, "the queue to be empty", func() bool {
		var used float64
		if err := conn.QueryRow(t.Context(), readQueueUsage).Scan(&used); err != nil {
			t.Fatal(err)
		}
		return used == 0
	})
	publish(t, conn, "x")
	items, err := s.Read(t.Context())
	if err != nil || len(items) != 1 {
		t.Errorf("then read %d items, error %v", len(items), err)
	}
}
