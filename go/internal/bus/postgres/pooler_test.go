package postgres

import (
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/pgtest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func startBouncer(t *testing.T, mode string) *pgtest.Bouncer {
	t.Helper()
	bouncer, err := server.StartBouncer(mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bouncer.Stop(); err != nil {
			t.Error(err)
		}
	})
	return bouncer
}

// TestAPoolerThatSwallowsNotificationsIsNoticedAndNamed: the one that reads must have a
// session, and those that publish need none.
func TestAPoolerThatSwallowsNotificationsIsNoticedAndNamed(t *testing.T) {
	database := newDatabase(t)
	bouncer := startBouncer(t, "transaction")
	n := openBus(t, Options{URL: bouncer.URL(database)}, patience)
	if err := n.bus.Follow(new(bus.Thread), bustest.Patterns(t, "*")); fault.CodeOf(err) != fault.BusError || !words(err, "pool_mode=transaction", "reader_url") {
		t.Errorf("following through it: %v", err)
	}
	n = openNode(t, Options{URL: bouncer.URL(database), ReaderURL: server.URL(database), Poll: time.Hour})
	publishing(t, n)
	n.checkOutbox(t, connect(t, database))
}

func TestAPoolerInSessionModeIsAsGoodAsAServer(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: startBouncer(t, "session").URL(database), Poll: time.Hour})
	publishing(t, n)
	n.checkOutbox(t, connect(t, database))
}

// publishing goes through what a bus does: publish, also in parallel, refuse, repeat, replay.
func publishing(t *testing.T, n *node) {
	t.Helper()
	at, err := n.publish(t, "x", "a", "one", bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	c := startCrowd(t, n)
	c.await(t, 300)
	close(c.stop)
	c.running.Wait()
	if again, err := n.publish(t, "x", "a", "one", bus.WaitDispatched); err != nil || !again.Equal(at) {
		t.Errorf("again: at %v and %v, error %v", at, again, err)
	}
	if kinds, recovered := n.replay(t, at, "c1", "c2"); !recovered || len(kinds) < 100 {
		t.Errorf("replayed %d, recovered %v", len(kinds), recovered)
	}
}
