package bustest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// deadline bounds every wait of a test. It is never waited out unless the test
// fails.
const deadline = 20 * time.Second

// Types of events: NeedsPython's answer needs a resolver; a thread with an event loop
// leaves what is Large to others.
const (
	NeedsPython      = "resolved"
	Large            = "large"
	LargeNeedsPython = "large, resolved"
)

// Dispatcher is a bus.Dispatcher whose audience is the test: it records what is
// delivered, and can hold deliveries up and run code inside them. All methods are
// safe for concurrent use.
type Dispatcher struct {
	tb testing.TB
	// Resolver is called inside Deliver, as a resolver is, for events that need
	// Python. Set before the first publish; nil does nothing.
	Resolver func(t *bus.Thread, ev *event.Event)
	// Matching is called inside DispatchEventToSubscriptions. Set before the first publish.
	Matching func(ev *event.Event)

	engines sync.WaitGroup // threads lent to the bus

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced on every change
	delivered []Delivered
	inside    map[string]int           // deliveries under way, by channel
	held      map[string]chan struct{} // closed on release
}

// Delivered is one delivery.
type Delivered struct {
	Event  *event.Event
	At     event.Position
	Thread *bus.Thread
	// Overtook is true if another delivery on the channel was still under way.
	Overtook bool
}

// NewDispatcher makes a Dispatcher. When the test ends, it waits for the threads
// that it lent.
func NewDispatcher(tb testing.TB) *Dispatcher {
	d := &Dispatcher{
		tb:      tb,
		changed: make(chan struct{}),
		inside:  make(map[string]int),
		held:    make(map[string]chan struct{}),
	}
	tb.Cleanup(func() {
		ended := make(chan struct{})
		go func() {
			d.engines.Wait()
			close(ended)
		}()
		Receive(tb, ended, "the engine's threads to end")
	})
	return d
}

// DispatchEventToSubscriptions implements bus.Dispatcher.
func (d *Dispatcher) DispatchEventToSubscriptions(_ *bus.Thread, ev *event.Event) bus.Delivery {
	if d.Matching != nil {
		d.Matching(ev)
	}
	return &delivery{dispatcher: d, event: ev}
}

// Lend implements bus.Dispatcher.
func (d *Dispatcher) Lend(task func(t *bus.Thread)) {
	d.engines.Go(func() { task(&bus.Thread{Engine: true}) })
}

type delivery struct {
	dispatcher *Dispatcher
	event      *event.Event
	left       bool
}

func (one *delivery) NeedsPython() bool {
	return !one.left && (one.event.Type == NeedsPython || one.event.Type == LargeNeedsPython)
}

func (one *delivery) Leave(t *bus.Thread, _ event.Position) bool {
	if one.event.Type != Large && one.event.Type != LargeNeedsPython {
		return false
	}
	if one.NeedsPython() {
		one.resolve(t)
	}
	one.left = true
	return true
}

func (one *delivery) resolve(t *bus.Thread) {
	if one.dispatcher.Resolver != nil {
		t.Resolving(func() { one.dispatcher.Resolver(t, one.event) })
	}
}

func (one *delivery) Deliver(t *bus.Thread, at event.Position) {
	d, ev := one.dispatcher, one.event
	d.mu.Lock()
	overtook := d.inside[ev.Channel] > 0
	d.inside[ev.Channel]++
	held := d.held[ev.Channel]
	d.change()
	d.mu.Unlock()
	if held != nil {
		Receive(d.tb, held, "channel "+ev.Channel+" to be released")
	}
	if one.NeedsPython() {
		one.resolve(t)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inside[ev.Channel]--
	d.delivered = append(d.delivered, Delivered{ev, at, t, overtook})
	d.change()
}

// change wakes everybody in await. d.mu is held.
func (d *Dispatcher) change() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// Hold lets no delivery on the channel end until release is called; calling it
// again does nothing.
func (d *Dispatcher) Hold(channel string) (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.held[channel] = gate
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.held, channel)
		close(gate)
	})
}

// AwaitEntered returns once a delivery on the channel is under way.
func (d *Dispatcher) AwaitEntered(channel string) {
	d.tb.Helper()
	d.await("a delivery on "+channel+" to begin", func() bool { return d.inside[channel] > 0 })
}

// AwaitDelivered returns what has been delivered, once that is at least n events.
func (d *Dispatcher) AwaitDelivered(n int) []Delivered {
	d.tb.Helper()
	d.await("deliveries", func() bool { return len(d.delivered) >= n })
	return d.Delivered()
}

// Delivered is what has been delivered so far, in the order in which deliveries
// ended.
func (d *Dispatcher) Delivered() []Delivered {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.delivered)
}

func (d *Dispatcher) await(what string, reached func() bool) {
	d.tb.Helper()
	timeout := time.After(deadline)
	for {
		d.mu.Lock()
		ok, changed, count := reached(), d.changed, len(d.delivered)
		d.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			d.tb.Fatalf("waited %v for %s; %d events are delivered", deadline, what, count)
		}
	}
}

// Receive waits for a value or for c to be closed; past the deadline the test
// fails.
func Receive[T any](tb testing.TB, c <-chan T, what string) (value T) {
	tb.Helper()
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case value = <-c:
	case <-timer.C:
		tb.Errorf("waited %v for %s", deadline, what)
	}
	return value
}

// Started runs f on a goroutine of its own; the channel is closed when f returns.
func Started(f func()) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	return ended
}
