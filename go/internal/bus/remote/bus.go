package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// closeGrace bounds how long a closed bus goes on reading what it has published: a
// server that is away must not keep its threads for ever.
const closeGrace = 5 * time.Second

// loopPatience is how long an event loop's thread waits for the server at most, to
// follow a channel or to ask for history: the loop stands still meanwhile.
const loopPatience = 250 * time.Millisecond

// Options are what a Bus is told.
type Options struct {
	// PublishTimeout bounds how long a publish, a Follow and a Replay wait for the server.
	PublishTimeout time.Duration
	Log            *slog.Logger
	// Accepted is told how many events of this node's the server has accepted. Optional.
	Accepted func(n int)
	// Panicked is told of a panic on a goroutine of the bus, which goes on. Optional.
	Panicked func(cause any)
}

// Bus is a bus.Bus over a Server. All methods are safe for concurrent use.
type Bus struct {
	server     Server
	dispatcher bus.Dispatcher
	options    Options
	context    context.Context // of everything that the bus waits for: ends when it stops
	cancel     context.CancelFunc
	running    sync.WaitGroup
	link       link

	// mu is held for moments only, and nobody waits for the GIL while holding it.
	mu       sync.Mutex
	closed   bool // refuses
	leads    bool // publishers that wait ask the server themselves,
	slow     bool // but not while that takes long
	stopping bool // nothing is left to be done: the goroutines end
	stopped  bool
	settling []settling

	outbox  outbox
	lanes   lanes
	records []*recording
	// passing is closed, and made anew, when something was read; nil while nobody waits.
	passing chan struct{}
}

// settling is a call that waits until everything up to an offset is dispatched.
type settling struct {
	upTo uint64
	call func()
}

// New opens a bus. It connects in the background: calls wait for that as long as a
// publish may, and get the server's answer where that is a refusal.
func New(dispatcher bus.Dispatcher, server Server, options Options) *Bus {
	b := &Bus{server: server, dispatcher: dispatcher, options: options}
	b.context, b.cancel = context.WithCancel(context.Background())
	b.link.changed = make(chan struct{})
	publishers := 1
	if o, ok := server.(Overlapper); ok {
		publishers, b.leads = o.Publishers(), true
	}
	var turn func(before Turn) Turn
	if p, ok := server.(Pipeliner); ok {
		publishers, turn = 2, p.Turn
	}
	b.outbox.open(publishers, turn)
	b.lanes.open(&b.mu)
	if r, ok := server.(Recogniser); ok {
		r.Recognise(b.own)
	}
	b.running.Add(1 + publishers)
	go b.guarded(b.read)
	for range publishers {
		go b.guarded(b.publishAll)
	}
	return b
}

// guarded runs a goroutine of the bus until it ends by itself: a panic costs what was
// in hand, and is told.
func (b *Bus) guarded(work func()) {
	defer b.running.Done()
	for done := false; !done; {
		func() {
			defer func() {
				if cause := recover(); cause != nil && b.options.Panicked != nil {
					b.options.Panicked(cause)
				}
			}()
			work()
			done = true
		}()
		done = done || b.context.Err() != nil
	}
}

// Name implements bus.Bus.
func (b *Bus) Name() string { return b.server.Name() }

// Follow implements bus.Bus.
func (b *Bus) Follow(t *bus.Thread, patterns []channel.Pattern) (err error) {
	t.Unlocked(func() {
		ctx, cancel := b.question(t)
		defer cancel()
		if err = b.follow(ctx, patterns); err != nil {
			err = b.failure(err)
		}
	})
	return err
}

// question bounds how long t waits for an answer of the server's.
func (b *Bus) question(t *bus.Thread) (context.Context, context.CancelFunc) {
	patience := b.options.PublishTimeout
	if t.Loop {
		patience = min(patience, loopPatience)
	}
	return context.WithTimeout(b.context, patience)
}

func (b *Bus) follow(ctx context.Context, patterns []channel.Pattern) error {
	if err := b.link.await(ctx); err != nil {
		return err
	}
	mark, err := b.server.Follow(ctx, patterns)
	if err != nil || mark == nil {
		return err
	}
	if recent, ok := mark.(Recent); ok {
		soon, cancel := Soon(ctx)
		defer cancel()
		_ = b.pass(soon, recent.Mark) // behind a reader that lags, something older comes, too
		return nil
	}
	if err := b.pass(ctx, mark); err != nil {
		b.Unfollow(patterns)
		return err
	}
	return nil
}

// Soon is a fifth of the time that ctx has left: for what is better, and not needed.
func Soon(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, _ := ctx.Deadline() // a question has one
	return context.WithTimeout(ctx, time.Until(deadline)/5)
}

// Unfollow implements bus.Bus. Who waits for an event of a channel that nobody follows
// any more has no reason to.
func (b *Bus) Unfollow(patterns []channel.Pattern) {
	b.server.Unfollow(patterns)
	b.mu.Lock()
	told := b.outbox.letGo(b.server.Follows)
	b.stopIfIdle()
	b.mu.Unlock()
	if len(told) > 0 {
		go told.tell() // whoever calls holds locks of its own
	}
}

// pass waits until what lies before a mark has been read.
func (b *Bus) pass(ctx context.Context, mark Mark) error {
	for {
		b.mu.Lock()
		if b.lanes.read != nil && b.server.Covers(b.lanes.read, mark) {
			b.mu.Unlock()
			return nil
		}
		if b.passing == nil {
			b.passing = make(chan struct{})
		}
		passing := b.passing
		b.mu.Unlock()
		select {
		case <-passing:
		case <-ctx.Done():
			return fmt.Errorf("the reader lags behind: %w", ctx.Err())
		}
	}
}

// failure is an error of the server's as a caller gets it.
func (b *Bus) failure(err error) error {
	var final *fault.Error
	switch {
	case errors.As(err, &final):
		return final
	case b.context.Err() != nil:
		return errClosed
	default:
		return fault.New(fault.BusUnavailable, "the %s bus cannot be reached: %w", b.server.Name(), err)
	}
}

var errClosed = fault.New(fault.EngineClosed, "the executor is closed; make a new SubscriptionExecutor")

// Cut implements bus.Bus.
func (b *Bus) Cut(t *bus.Thread, f func(last uint64)) {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	f(b.lanes.last)
}

// Settled implements bus.Bus. That of a closed bus comes when all that it started has
// ended.
func (b *Bus) Settled(t *bus.Thread, f func()) bool {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	if b.isSettled(b.lanes.last) {
		return true
	}
	b.settling = append(b.settling, settling{b.lanes.last, f})
	return false
}

// isSettled tells that everything up to an offset is dispatched. b.mu is held.
func (b *Bus) isSettled(upTo uint64) bool {
	if b.closed {
		return b.stopped
	}
	oldest, some := b.lanes.oldest()
	return !some || oldest > upTo
}

// settled takes out the calls that have nothing left to wait for. b.mu is held.
func (b *Bus) settled() (calls []func()) {
	left := b.settling[:0]
	for _, one := range b.settling {
		if b.isSettled(one.upTo) {
			calls = append(calls, one.call)
		} else {
			left = append(left, one)
		}
	}
	clear(b.settling[len(left):])
	b.settling = left
	return calls
}

// Stats implements bus.Bus.
func (b *Bus) Stats() bus.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bus.Stats{Published: b.outbox.accepted, Dispatched: b.lanes.dispatched, Pending: b.lanes.pending}
}

// State implements bus.Bus.
func (b *Bus) State() map[string]any {
	state := b.server.State()
	if state == nil {
		state = map[string]any{}
	}
	b.link.describe(state)
	return state
}

// Close implements bus.Bus: what this node has published is still read and dispatched,
// for a few seconds at most.
func (b *Bus) Close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		time.AfterFunc(closeGrace, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.stop()
		})
		b.stopIfIdle()
	}
	return b.stopped
}

// stopIfIdle lets a closed bus end when there is nothing left for it to do. b.mu is
// held.
func (b *Bus) stopIfIdle() {
	if b.closed && b.outbox.isEmpty() && b.lanes.pending == 0 {
		b.stop()
	}
}

// stop ends the goroutines. b.mu is held.
func (b *Bus) stop() {
	if b.stopping {
		return
	}
	b.stopping = true
	b.cancel()
	go func() {
		b.server.Close()
		b.running.Wait()
		b.mu.Lock()
		b.stopped = true
		finishes := b.outbox.fail(errClosed)
		calls := b.settled()
		b.mu.Unlock()
		finishes.tell()
		for _, call := range calls {
			call()
		}
	}()
}
