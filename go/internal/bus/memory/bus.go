// Package memory is the embedded event bus: events are dispatched in the
// publishing call, in one order per channel, and the newest ones of each channel
// are kept so that a subscription can resume.
//
// The order of a channel is kept by its lane: whoever holds the lane's turn
// dispatches its events one after another. Events that need no Python are
// dispatched by whichever publisher holds the turn (flat combining: Hendler,
// Incze, Shavit, Tzafrir 2010). An event whose answer needs a Python resolver is
// dispatched only by its own publisher or, where that does not wait for it, by a
// thread of the engine: never under another publisher's thread and locks.
package memory

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// Bus is the in-memory bus. All methods are safe for concurrent use.
type Bus struct {
	dispatcher bus.Dispatcher
	epoch      string
	patience   time.Duration // for which a granted turn may lie unused
	passing    bus.Thread    // stands for the holder of a turn on its way to another thread

	publishings sync.Pool // of *publishing: the memory of publishes that are over

	// mu guards everything below. It is held for tens of nanoseconds and never
	// across a dispatch, and nobody waits for the GIL while holding it.
	mu         sync.Mutex
	closed     bool
	last       uint64 // offset of the newest accepted event
	highest    uint64 // highest offset dispatched
	dispatched uint64
	lanes      map[string]*lane // of channels with events in flight
	flight     flight
	tickets    map[uint64]*job // of events in flight
	lastTicket uint64
	settling   []settling
	history    history
}

// settling is a call that waits until everything up to an offset is dispatched.
type settling struct {
	upTo uint64
	call func()
}

// New opens a bus that keeps the newest `retain` events of each channel. The
// epoch is new, so positions of an earlier process recover nothing.
func New(dispatcher bus.Dispatcher, retain int) *Bus {
	return &Bus{
		dispatcher: dispatcher,
		epoch:      rand.Text()[:10],
		patience:   grantPatience,
		lanes:      make(map[string]*lane),
		tickets:    make(map[uint64]*job),
		history:    newHistory(retain),
	}
}

// Name implements bus.Bus.
func (b *Bus) Name() string { return "memory" }

// Outcome implements bus.Bus: its receipts have positions.
func (b *Bus) Outcome(*bus.Thread, uint64) (event.Position, error) { return event.Position{}, nil }

// Follow implements bus.Bus: events are dispatched by whoever publishes them.
func (b *Bus) Follow(*bus.Thread, []channel.Pattern) error { return nil }

// Unfollow implements bus.Bus.
func (b *Bus) Unfollow([]channel.Pattern) {}

// State implements bus.Bus: there is no server.
func (b *Bus) State() map[string]any { return nil }

func (b *Bus) position(offset uint64) event.Position {
	return event.Position{Epoch: b.epoch, Offset: offset}
}

// reached is the position of a client that has received the event at offset:
// everything up to the highest dispatched one, except what is still on its way
// in other lanes. b.mu is held.
func (b *Bus) reached(offset uint64) event.Position {
	at := b.position(max(offset, b.highest))
	at.Missing = b.flight.below(at.Offset, offset)
	return at
}

// Replay implements bus.Bus.
func (b *Bus) Replay(t *bus.Thread, since event.Position, patterns []channel.Pattern, begin func([]bus.Replayed, uint64, bool)) error {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	if since.Epoch != b.epoch || since.Place != nil || since.Offset > b.last {
		begin(nil, b.last, false)
		return nil
	}
	events, complete := b.history.after(since, patterns)
	replayed := make([]bus.Replayed, len(events))
	for i, ev := range events {
		since = since.After(ev.Offset)
		replayed[i] = bus.Replayed{Event: ev, At: since}
	}
	begin(replayed, b.last, complete)
	return nil
}

// Cut implements bus.Bus.
func (b *Bus) Cut(t *bus.Thread, f func(last uint64)) {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	f(b.last)
}

// Settled implements bus.Bus.
func (b *Bus) Settled(t *bus.Thread, f func()) bool {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	if b.flight.len() == 0 {
		return true
	}
	b.settling = append(b.settling, settling{upTo: b.last, call: f})
	return false
}

// settled takes out the calls that have nothing left to wait for. b.mu is held.
func (b *Bus) settled() (calls []func()) {
	oldest, some := b.flight.oldest()
	b.settling = slices.DeleteFunc(b.settling, func(s settling) bool {
		if some && oldest <= s.upTo {
			return false
		}
		calls = append(calls, s.call)
		return true
	})
	return calls
}

// Stats implements bus.Bus.
func (b *Bus) Stats() bus.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bus.Stats{
		Published:  b.last,
		Dispatched: b.dispatched,
		Pending:    b.flight.len(),
		Retained:   b.history.len(),
	}
}

// Close implements bus.Bus. The history goes at once: whoever refers to a closed bus for a while need
// not keep all its events.
func (b *Bus) Close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.history.forget(b.last)
	}
	return b.flight.len() == 0
}
