package postgres

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// patience bounds every wait of a test. It is never waited out unless the test fails.
const patience = 30 * time.Second

// node is a bus with what it dispatches to: it follows every channel.
type node struct {
	*bustest.Dispatcher
	bus    *remote.Bus
	server *Server
	log    *logBook
}

// openNode opens a node that ends with the test.
func openNode(t testing.TB, options Options) *node {
	t.Helper()
	n := openBus(t, options, patience)
	follow(t, n)
	return n
}

func follow(t testing.TB, n *node) {
	t.Helper()
	if err := n.bus.Follow(new(bus.Thread), bustest.Patterns(t, "*")); err != nil {
		t.Fatal(err)
	}
}

func openBus(t testing.TB, options Options, timeout time.Duration) *node {
	t.Helper()
	n := &node{Dispatcher: bustest.NewDispatcher(t), log: new(logBook)}
	options.Log = slog.New(slog.NewTextHandler(n.log, nil))
	var err error
	if n.server, err = New(options); err != nil {
		t.Fatal(err)
	}
	n.bus = remote.New(n, n.server, remote.Options{PublishTimeout: timeout, Log: options.Log})
	t.Cleanup(func() { n.close(t) })
	return n
}

func (n *node) close(t testing.TB) {
	ended := make(chan struct{})
	n.bus.Close()
	if !n.bus.Settled(new(bus.Thread), func() { close(ended) }) {
		bustest.Receive(t, ended, "the bus to end")
	}
}

// publish publishes one event of a type and returns its position.
func (n *node) publish(t testing.TB, kind, channel, id string, wait bus.Wait) (event.Position, error) {
	t.Helper()
	return n.put(t, bustest.NewEvent(t, kind, channel, id), wait)
}

// put publishes an event and returns its position.
func (n *node) put(t testing.TB, ev *event.Event, wait bus.Wait) (event.Position, error) {
	t.Helper()
	thread := &bus.Thread{Awaits: true}
	receipts, err := n.bus.PublishWithExecutor(thread, []*event.Event{ev}, wait)
	if err != nil {
		return event.Position{}, err
	}
	if receipts[0].Ticket == 0 {
		return receipts[0].Position, nil
	}
	if !n.bus.Await(thread, receipts[0].Ticket, patience) {
		t.Fatalf("waited %v for the outcome of a publish", patience)
	}
	return n.bus.Outcome(thread, receipts[0].Ticket)
}

// kinds are the types of the events delivered so far.
func (n *node) kinds() string {
	var all []string
	for _, one := range n.Delivered() {
		all = append(all, one.Event.Type)
	}
	return strings.Join(all, " ")
}

// awaitKinds waits until just these have been delivered.
func (n *node) awaitKinds(t testing.TB, want string) {
	t.Helper()
	n.AwaitDelivered(len(strings.Fields(want)))
	if got := n.kinds(); got != want {
		t.Fatalf("delivered %q, want %q", got, want)
	}
}

// replay is the types of the events that came after a position.
func (n *node) replay(t testing.TB, since event.Position, patterns ...string) (kinds string, recovered bool) {
	t.Helper()
	var all []string
	err := n.bus.Replay(new(bus.Thread), since, bustest.Patterns(t, patterns...), func(events []bus.Replayed, _ uint64, complete bool) {
		recovered = complete
		for _, one := range events {
			all = append(all, one.Event.Type)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " "), recovered
}

// checkOutbox compares what was delivered with the outbox: the same events, in its
// order, each once.
func (n *node) checkOutbox(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	want := outbox(t, conn)
	var got []string
	for _, one := range n.AwaitDelivered(len(want)) {
		got = append(got, one.Event.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("delivered %d events, not the %d of the outbox in its order", len(got), len(want))
	}
}

// outbox is the ids of the outbox.
func outbox(t testing.TB, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT id FROM fraiseql_subscriptions.outbox ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// until waits for a condition.
func until(t testing.TB, what string, reached func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !reached(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// logBook keeps what is logged.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *logBook) has(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Contains(b.text.String(), text)
}

func parse(t testing.TB, text string) event.Position {
	t.Helper()
	at, err := event.ParsePosition(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestABusInPostgreSQLKeepsTheContract(t *testing.T) {
	bustest.Run(t, func(t *testing.T, d bus.Dispatcher) bus.Bus {
		made, err := New(Options{URL: server.URL(newDatabase(t))})
		if err != nil {
			t.Fatal(err)
		}
		b := remote.New(d, made, remote.Options{PublishTimeout: patience, Log: slog.New(slog.DiscardHandler)})
		t.Cleanup(func() { (&node{bus: b}).close(t) })
		return b
	})
}
