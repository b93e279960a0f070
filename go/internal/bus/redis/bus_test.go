package redis

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// patience bounds every wait of a test. It is never waited out unless the test fails.
const patience = 30 * time.Second

// node is a bus with what it dispatches to.
type node struct {
	*bustest.Dispatcher
	bus    *remote.Bus
	server *Server
	log    *logBook
	close  func()
}

// openNode opens a node that ends with the test, and lets it follow patterns.
func openNode(t testing.TB, options Options, patterns ...string) *node {
	t.Helper()
	n := openBus(t, options, patience)
	n.follow(t, patterns...)
	return n
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
	n.close = sync.OnceFunc(func() {
		ended := make(chan struct{})
		n.bus.Close()
		if !n.bus.Settled(new(bus.Thread), func() { close(ended) }) {
			bustest.Receive(t, ended, "the bus to end")
		}
	})
	t.Cleanup(n.close)
	return n
}

func (n *node) follow(t testing.TB, patterns ...string) {
	t.Helper()
	if err := n.bus.Follow(new(bus.Thread), bustest.Patterns(t, patterns...)); err != nil {
		t.Fatal(err)
	}
}

// publish publishes events in one request, and returns what became of the first.
func (n *node) publish(t testing.TB, wait bus.Wait, events ...*event.Event) (event.Position, error) {
	t.Helper()
	thread := new(bus.Thread)
	receipts, err := n.bus.PublishWithExecutor(thread, events, wait)
	if err != nil {
		return event.Position{}, err
	}
	var at event.Position
	for i, receipt := range receipts {
		if !n.bus.Await(thread, receipt.Ticket, patience) {
			t.Fatalf("waited %v for the outcome of a publish", patience)
		}
		one, problem := n.bus.Outcome(thread, receipt.Ticket)
		if i == 0 {
			at, err = one, problem
		}
	}
	return at, err
}

// say publishes one event of a type, which must be accepted and dispatched.
func (n *node) say(t testing.TB, channel, kind string) event.Position {
	t.Helper()
	at, err := n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, kind, channel, ""))
	if err != nil {
		t.Fatal(err)
	}
	return at
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

// checkStreams compares what a node delivered on channels with their streams: the same
// events in the same order, each once, and none counted as missed.
func (n *node) checkStreams(ctx context.Context, t testing.TB, client *redis.Client, channels ...string) {
	t.Helper()
	want := map[string][]string{}
	count := 0
	for _, channel := range channels {
		messages, err := client.XRange(ctx, streamPrefix+channel, "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range messages {
			text, _ := message.Values[dataField].(string)
			e, err := parseEntry(&stream{channel: channel}, []byte(message.ID), fields{[]byte(dataField), []byte(text)})
			read := []entry{e}
			readEvents(read)
			if e = read[0]; err != nil || e.event == nil {
				t.Fatalf("entry %s of %s: %v, %v", message.ID, channel, err, e.wrong)
			}
			want[channel] = append(want[channel], e.event.ID)
			count++
		}
	}
	got := map[string][]string{}
	for _, one := range n.AwaitDelivered(count) {
		got[one.Event.Channel] = append(got[one.Event.Channel], one.Event.ID)
	}
	for _, channel := range channels {
		if !slices.Equal(got[channel], want[channel]) {
			t.Errorf("on %s %d events were delivered, not the %d of the stream in its order", channel, len(got[channel]), len(want[channel]))
		}
	}
	if wrongly := missed(n); wrongly > 0 {
		t.Errorf("%d events are said to have been missed", wrongly)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, reached func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		if reached() {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// executed is how often the server has executed a command.
func executed(t *testing.T, client *redis.Client, command string) (count int) {
	t.Helper()
	for line := range strings.Lines(client.Info(t.Context(), "commandstats").Val()) {
		if text, ok := strings.CutPrefix(line, "cmdstat_"+command+":calls="); ok {
			_, err := fmt.Sscanf(text, "%d", &count)
			must(t, err)
		}
	}
	return count
}

// logBook is what a node has logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestABusInRedisKeepsTheContract(t *testing.T) {
	emptied(t)
	bustest.Run(t, func(t *testing.T, d bus.Dispatcher) bus.Bus {
		own, err := New(Options{URL: server.URL()})
		if err != nil {
			t.Fatal(err)
		}
		b := remote.New(d, own, remote.Options{PublishTimeout: patience, Log: slog.New(slog.DiscardHandler)})
		t.Cleanup(func() {
			ended := make(chan struct{})
			b.Close()
			if !b.Settled(new(bus.Thread), func() { close(ended) }) {
				bustest.Receive(t, ended, "the bus to end")
			}
		})
		return b
	})
}
