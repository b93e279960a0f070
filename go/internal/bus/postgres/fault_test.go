package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/pgtest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// startServer starts a server that a test may break.
func startServer(t testing.TB, settings ...string) *pgtest.Server {
	t.Helper()
	own, err := pgtest.Start(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	})
	return own
}

// installOn installs the schema in the database "postgres" of a server.
func installOn(t testing.TB, own *pgtest.Server) string {
	t.Helper()
	url := own.URL("postgres")
	installAt(t, url)
	return url
}

// crowd publishes through nodes until it is told to stop, and remembers what became of
// every event.
type crowd struct {
	stop     chan struct{}
	running  sync.WaitGroup
	ended    atomic.Int64 // events whose outcome is known
	accepted sync.Map     // ids
	refused  sync.Map     // ids that were certainly not accepted
}

func startCrowd(t testing.TB, nodes ...*node) *crowd {
	c := &crowd{stop: make(chan struct{})}
	for i, n := range nodes {
		for p := range 3 {
			c.running.Go(func() {
				for number := 0; ; number++ {
					select {
					case <-c.stop:
						return
					default:
					}
					id := "" // new ones go another way than chosen ones
					if number/2%2 == 0 {
						id = fmt.Sprintf("%d.%d.%d", i, p, number)
					}
					ev := bustest.NewEvent(t, "x", fmt.Sprint("c", (p+number)%4), id)
					id = ev.ID
					_, err := n.put(t, ev, bus.Wait(number%2))
					switch fault.CodeOf(err) {
					case fault.BusUnavailable:
						c.refused.Store(id, err)
					case fault.PublishOutcomeUnknown: // honest
					default:
						if err != nil {
							t.Errorf("event %s: %v", id, err)
						}
						c.accepted.Store(id, true)
					}
					c.ended.Add(1)
				}
			})
		}
	}
	return c
}

// await waits until so many more events have had their outcome.
func (c *crowd) await(t testing.TB, more int64) {
	t.Helper()
	goal := c.ended.Load() + more
	until(t, "events to be published", func() bool { return c.ended.Load() >= goal })
}

// check ends the crowd and compares: what was accepted is in the outbox, what was
// refused is not, and every node has delivered the outbox in its order.
func (c *crowd) check(t testing.TB, url string, nodes ...*node) {
	t.Helper()
	close(c.stop)
	c.running.Wait()
	conn := connectTo(t, url)
	there := make(map[string]bool)
	for _, id := range outbox(t, conn) {
		there[id] = true
	}
	c.accepted.Range(func(id, _ any) bool {
		if !there[id.(string)] {
			t.Errorf("event %s was accepted and is lost", id)
		}
		return true
	})
	c.refused.Range(func(id, err any) bool {
		if there[id.(string)] {
			t.Errorf("event %s was refused (%v) and is there", id, err)
		}
		return true
	})
	if len(there) < 20 {
		t.Errorf("only %d events", len(there))
	}
	for _, n := range nodes {
		n.checkOutbox(t, conn)
	}
}

func TestNothingIsLostOrDoubledWhereTheServerIsRestartedOrKilled(t *testing.T) {
	own := startServer(t, "fsync=on")
	url := installOn(t, own)
	nodes := []*node{openNode(t, Options{URL: url}), openNode(t, Options{URL: url})}
	c := startCrowd(t, nodes...)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGINT, syscall.SIGKILL} {
		c.await(t, 200)
		if err := own.Down(signal); err != nil {
			t.Fatal(err)
		}
		if err := own.Up(); err != nil {
			t.Fatal(err)
		}
	}
	c.await(t, 200)
	c.check(t, url, nodes...)
	for _, n := range nodes {
		if lost := n.bus.State()["epochs_lost"]; lost != 0 {
			t.Errorf("%v epochs were lost by a server that keeps what it commits", lost)
		}
	}
}

func TestNothingIsLostOrDoubledWhereSessionsAreTerminatedAtAnyMoment(t *testing.T) {
	database := newDatabase(t)
	url := server.URL(database)
	nodes := []*node{openNode(t, Options{URL: url}), openNode(t, Options{URL: url})}
	c := startCrowd(t, nodes...)
	admin := connect(t, database)
	random := rand.New(rand.NewPCG(7, 7))
	terminated := 0
	for range 150 {
		c.await(t, int64(random.IntN(12)))
		var pid *int
		err := admin.QueryRow(t.Context(), `SELECT max(pid) FROM (SELECT pid, pg_terminate_backend(pid) FROM (
			SELECT pid FROM pg_stat_activity WHERE datname = $1 AND application_name = 'fraiseql_subscriptions' ORDER BY random() LIMIT 1
		) AS one) AS done`, database).Scan(&pid)
		if err != nil {
			t.Fatal(err)
		}
		if pid != nil {
			terminated++
		}
	}
	if terminated < 75 {
		t.Errorf("only %d sessions were terminated", terminated)
	}
	c.await(t, 100)
	c.check(t, url, nodes...)
}

// TestWhatIsRefusedWithTheCommitWasNotAccepted has a constraint that is checked after every
// statement has been answered.
func TestWhatIsRefusedWithTheCommitWasNotAccepted(t *testing.T) {
	database := newDatabase(t)
	conn := connect(t, database)
	must(t, conn, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END $$")
	must(t, conn, "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON fraiseql_subscriptions.outbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.event_type = 'bad') EXECUTE FUNCTION refuse()")
	n := openNode(t, Options{URL: server.URL(database)})
	for _, id := range []string{"", "chosen"} {
		if _, err := n.publish(t, "bad", "a", id, bus.WaitAccepted); fault.CodeOf(err) != fault.InvalidValue || !strings.Contains(err.Error(), "not this one") {
			t.Errorf("with the id %q: %v, want INVALID_VALUE", id, err)
		}
	}
	if _, err := n.publish(t, "good", "a", "", bus.WaitDispatched); err != nil {
		t.Fatal(err)
	}
	n.awaitKinds(t, "good")
}

func TestAServerThatIsSilentIsNotWaitedForBeyondTheTimeout(t *testing.T) {
	own := startServer(t)
	url := installOn(t, own)
	n := openBus(t, Options{URL: url}, time.Second)
	follow(t, n)
	if _, err := n.publish(t, "a", "a", "", bus.WaitDispatched); err != nil {
		t.Fatal(err)
	}
	own.Freeze()
	thawed := false
	defer func() {
		if !thawed {
			own.Thaw()
		}
	}()
	for i := range 3 {
		began := time.Now()
		_, err := n.publish(t, fmt.Sprint(i), "a", fmt.Sprint(i), bus.WaitAccepted)
		if code := fault.CodeOf(err); code != fault.BusUnavailable && (code != fault.PublishOutcomeUnknown || i > 0) {
			t.Errorf("event %d: %v", i, err) // only the first can find a connection
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("event %d: waited %v with a timeout of 1s", i, took)
		}
	}
	own.Thaw()
	thawed = true
	until(t, "the bus to take events again", func() bool {
		_, err := n.publish(t, "again", "a", "again", bus.WaitDispatched)
		return err == nil
	})
	n.checkOutbox(t, connectTo(t, url))
}

// TestALostAnswerIsFoundOutOrNamed ends the session in which an event is being published,
// which waits for a table that is locked meanwhile.
func TestALostAnswerIsFoundOutOrNamed(t *testing.T) {
	database := newDatabase(t)
	n := openBus(t, Options{URL: server.URL(database)}, 1500*time.Millisecond)
	follow(t, n)
	holder, admin := connect(t, database), connect(t, database)
	must(t, holder, "BEGIN")
	must(t, holder, "LOCK TABLE fraiseql_subscriptions.outbox IN EXCLUSIVE MODE")
	terminate := func() {
		until(t, "the publisher to wait", func() bool {
			var ended int
			if err := admin.QueryRow(t.Context(), "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE NOT granted AND relation = 'fraiseql_subscriptions.outbox'::regclass").Scan(&ended); err != nil {
				t.Fatal(err)
			}
			return ended > 0
		})
	}
	outcome := make(chan error, 1)
	go func() {
		_, err := n.publish(t, "unknown", "a", "one", bus.WaitDispatched)
		outcome <- err
	}()
	terminate()
	err := bustest.Receive(t, outcome, "the outcome")
	if fault.CodeOf(err) != fault.PublishOutcomeUnknown || !strings.Contains(err.Error(), `event_id="one"`) {
		t.Errorf("with the table locked until the timeout: %v", err)
	}
	go func() {
		_, err := n.publish(t, "found", "a", "two", bus.WaitDispatched)
		outcome <- err
	}()
	terminate()
	must(t, holder, "COMMIT")
	if err := bustest.Receive(t, outcome, "the outcome"); err != nil {
		t.Errorf("with the table free again: %v", err)
	}
	if _, err := n.publish(t, "again", "a", "one", bus.WaitDispatched); err != nil {
		t.Error(err)
	}
	n.awaitKinds(t, "found again")
}

func TestClosingWaitsForNobodyWhoIsSilent(t *testing.T) {
	own := startServer(t)
	url := installOn(t, own)
	s := openServer(t, Options{URL: url})
	if _, err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := request("one", "{}")
	s.Publish(t.Context(), []*remote.Request{r})
	if _, err := s.Read(t.Context()); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	own.Freeze()
	defer own.Thaw()
	ended := make(chan error, 2)
	go func() {
		_, err := s.Read(context.Background())
		ended <- err
	}()
	publishing, cancel := context.WithCancel(context.Background())
	go func() {
		two := request("two", "{}")
		s.Publish(publishing, []*remote.Request{two})
		ended <- two.Err
	}()
	began := time.Now()
	cancel()
	s.Close()
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a call went well on a server that was closed")
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
}

func TestAServerWithoutAConnectionToSpareIsWaitedFor(t *testing.T) {
	own := startServer(t, "max_connections=8", "superuser_reserved_connections=0")
	url := installOn(t, own)
	var taken []*pgx.Conn
	for range 7 {
		taken = append(taken, connectTo(t, url))
	}
	n := openBus(t, Options{URL: url}, time.Second)
	if _, err := n.publish(t, "x", "a", "", bus.WaitAccepted); fault.CodeOf(err) != fault.BusUnavailable || !strings.Contains(err.Error(), "53300") {
		t.Errorf("error %v", err)
	}
	for _, conn := range taken[:3] { // what an engine uses
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the bus to connect", func() bool { return n.bus.State()["connected"] == true })
	follow(t, n)
	if _, err := n.publish(t, "y", "a", "", bus.WaitDispatched); err != nil {
		t.Error(err)
	}
	n.awaitKinds(t, "y")
}
