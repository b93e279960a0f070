package postgres

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/pgtest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// startPair starts a primary with a standby. The URL finds whichever is the primary.
func startPair(t *testing.T) (primary, standby *pgtest.Server, url string) {
	t.Helper()
	primary = startServer(t)
	installOn(t, primary)
	standby, err := primary.Standby("standby")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Stop(); err != nil {
			t.Error(err)
		}
	})
	return primary, standby, fmt.Sprintf("postgresql://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&target_session_attrs=read-write", primary.Port, standby.Port)
}

func TestAFailoverToASynchronousStandbyLosesNothing(t *testing.T) {
	primary, standby, url := startPair(t)
	admin := connectTo(t, primary.URL("postgres"))
	must(t, admin, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
	must(t, admin, "SELECT pg_reload_conf()")
	until(t, "the standby to be synchronous", func() bool {
		var state string
		err := admin.QueryRow(t.Context(), "SELECT coalesce(max(sync_state), '') FROM pg_stat_replication").Scan(&state)
		return err == nil && state == "sync"
	})
	nodes := []*node{openNode(t, Options{URL: url}), openNode(t, Options{URL: url})}
	c := startCrowd(t, nodes...)
	c.await(t, 300)
	if err := primary.Down(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The new primary has no standby to wait for.
	conn := connectTo(t, standby.URL("postgres"))
	must(t, conn, "ALTER SYSTEM RESET synchronous_standby_names")
	must(t, conn, "SELECT pg_reload_conf()")
	c.await(t, 300)
	c.check(t, standby.URL("postgres"), nodes...)
	for _, n := range nodes {
		if lost := n.bus.State()["epochs_lost"]; lost != 0 {
			t.Errorf("%v epochs were lost though the standby had everything", lost)
		}
	}
}

// TestAFailoverThatLosesCommitsIsNoticed promotes a standby that has been cut off: what
// was published meanwhile is gone, and its numbers are drawn again.
func TestAFailoverThatLosesCommitsIsNoticed(t *testing.T) {
	primary, standby, url := startPair(t)
	n := openNode(t, Options{URL: url})
	other := openNode(t, Options{URL: url})
	at, err := n.publish(t, "a", "a", "", bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	other.AwaitDelivered(1)
	awaitReplay(t, primary, standby)
	must(t, connectTo(t, standby.URL("postgres")), "ALTER SYSTEM SET primary_conninfo = ''")
	must(t, connectTo(t, standby.URL("postgres")), "SELECT pg_reload_conf()")
	admin := connectTo(t, primary.URL("postgres"))
	until(t, "the standby to be cut off", func() bool {
		var count int
		err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_replication").Scan(&count)
		return err == nil && count == 0
	})
	var lost []string
	for _, kind := range []string{"lost", "lost", "lost"} {
		gone, err := n.publish(t, kind, "a", "", bus.WaitDispatched)
		if err != nil {
			t.Fatal(err)
		}
		lost = append(lost, gone.String())
	}
	other.AwaitDelivered(4)
	if err := primary.Down(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Published before any node has come back.
	conn := connectTo(t, standby.URL("postgres"))
	publish(t, conn, "new")
	for _, one := range []*node{n, other} {
		one.awaitKinds(t, "a lost lost lost new")
	}
	after, err := other.publish(t, "after", "a", "", bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	n.awaitKinds(t, "a lost lost lost new after")
	if after.Epoch == at.Epoch {
		t.Error("the epoch is still the old one")
	}
	for _, one := range []*node{n, other} {
		if lost := one.bus.State()["epochs_lost"]; lost != 1 {
			t.Errorf("%v epochs were lost, want 1", lost)
		}
		if !one.log.has("another history") {
			t.Error("nothing is logged")
		}
		if one.bus.State()["epoch"] != after.Epoch {
			t.Errorf("two epochs: %v and %v", one.bus.State()["epoch"], after.Epoch)
		}
	}
	for _, since := range append(lost, at.String()) {
		if _, recovered := n.replay(t, parse(t, since), "*"); recovered {
			t.Errorf("recovered from %s, which is of a history that is lost", since)
		}
	}
	if kinds, recovered := n.replay(t, after, "*"); kinds != "" || !recovered {
		t.Errorf("since %v: %q, recovered %v", after, kinds, recovered)
	}
}

func awaitReplay(t testing.TB, primary, standby *pgtest.Server) {
	t.Helper()
	from, to := connectTo(t, primary.URL("postgres")), connectTo(t, standby.URL("postgres"))
	var position string
	if err := from.QueryRow(t.Context(), "SELECT pg_current_wal_lsn()::text").Scan(&position); err != nil {
		t.Fatal(err)
	}
	until(t, "the standby to have what the primary has", func() bool {
		var there bool
		err := to.QueryRow(t.Context(), "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", position).Scan(&there)
		return err == nil && there
	})
}

func TestAStandbyIsNoBus(t *testing.T) {
	_, standby, _ := startPair(t)
	refused(t, Options{URL: standby.URL("postgres")}, fault.BusError, "standby", "the primary's URL")
}

// TestACrashThatLosesCommitsIsNoticed has a server that says yes before it has written
// anything.
func TestACrashThatLosesCommitsIsNoticed(t *testing.T) {
	own := startServer(t, "synchronous_commit=off", "checkpoint_timeout=1h", "autovacuum=off")
	url := installOn(t, own)
	n := openNode(t, Options{URL: url})
	publish(t, connectTo(t, url), "a")
	n.awaitKinds(t, "a")
	admin := connectTo(t, url)
	must(t, admin, "CHECKPOINT")
	var writer int
	if err := admin.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'").Scan(&writer); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(writer, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := n.publish(t, "lost", "a", "", bus.WaitDispatched); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	if err := own.Down(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := own.Up(); err != nil {
		t.Fatal(err)
	}
	conn := connectTo(t, url)
	if got := outbox(t, conn); len(got) != 1 {
		t.Fatalf("%d events have survived: the test does not test what it should", len(got))
	}
	publish(t, conn, "new")
	n.awaitKinds(t, "a lost lost lost new")
	if lost := n.bus.State()["epochs_lost"]; lost != 1 {
		t.Errorf("%v epochs were lost, want 1", lost)
	}
}

// TestASchemaThatIsInstalledAnewIsNoticed does so behind connections that stay.
func TestASchemaThatIsInstalledAnewIsNoticed(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database), Poll: 50 * time.Millisecond})
	for range 5 {
		if _, err := n.publish(t, "old", "a", "", bus.WaitDispatched); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, database)
	must(t, conn, "DROP SCHEMA fraiseql_subscriptions CASCADE")
	install(t, database)
	publish(t, conn, "new")
	n.awaitKinds(t, "old old old old old new")
	if _, err := n.publish(t, "own", "a", "", bus.WaitDispatched); err != nil {
		t.Error(err)
	}
	n.awaitKinds(t, "old old old old old new own")
}

// TestWhatWasAcceptedAndLostIsNamed has a publisher that waits for its event to be
// delivered while the database loses it.
func TestWhatWasAcceptedAndLostIsNamed(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	conn := connect(t, database)
	if _, err := n.publish(t, "old", "a", "", bus.WaitDispatched); err != nil {
		t.Fatal(err)
	}
	must(t, conn, "BEGIN")
	publish(t, conn, "held")
	outcome := make(chan error, 1)
	go func() {
		_, err := n.publish(t, "waits", "a", "", bus.WaitDispatched)
		outcome <- err
	}()
	until(t, "the event to be accepted and held back", func() bool { return n.bus.State()["held_seconds"] != 0.0 })
	must(t, conn, "DROP SCHEMA fraiseql_subscriptions CASCADE")
	must(t, conn, "COMMIT")
	install(t, database)
	publish(t, conn, "new")
	if err := bustest.Receive(t, outcome, "the outcome"); fault.CodeOf(err) != fault.PublishOutcomeUnknown {
		t.Errorf("an event that was accepted and lost: %v", err)
	}
	n.awaitKinds(t, "old new")
}
