package remote

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// maxOutbox is how many events may be published and not yet have come back. Publishers
// that never wait could otherwise fill the memory while the server is away.
const maxOutbox = 100_000

// leadPatience bounds how long a publisher's own thread asks the server, and slow is from when on
// it leaves that to another one, until the server is quick again. What has more events or bytes may
// take longer, and is another one's from the beginning.
const (
	leadPatience = time.Second
	slow         = 100 * time.Millisecond
	mostLed      = 1000
	mostLedBytes = 1 << 20
)

var errLost = fault.New(fault.PublishOutcomeUnknown, "the server lost what it had accepted last, and this event may be among it; publish it again with the same event_id if it must not be missed")

// PublishWithExecutor implements bus.Bus. Its receipts have tickets and no positions, since the
// server has not been asked yet, but where this thread has asked it.
func (b *Bus) PublishWithExecutor(t *bus.Thread, events []*event.Event, wait bus.Wait) ([]bus.Receipt, error) {
	if len(events) == 0 {
		return []bus.Receipt{}, nil
	}
	r, led, err := b.enter(t, events, wait)
	if err != nil {
		return nil, err
	}
	if led != nil {
		t.Unlocked(func() { b.lead(led) })
	}
	return b.receipts(t, r), nil
}

// enter takes events in. led is what t is to publish itself, if anything: events and
// whatever else waits.
func (b *Bus) enter(t *bus.Thread, events []*event.Event, wait bus.Wait) (r *request, led *batch, err error) {
	// Who cannot wait for a dispatch, or would wait for itself, waits for acceptance.
	waits := wait == bus.WaitDispatched && !t.Nested() && !t.Engine && (!t.Loop || t.Finish != nil)
	deadline := time.Now().Add(b.options.PublishTimeout)
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, errClosed
	}
	if out := b.outbox.tickets.count; out+len(events) > maxOutbox {
		return nil, nil, fault.Exceeded(fault.LimitExceeded, "max_pending_events", maxOutbox, float64(out+len(events)), "%d published events wait for the %s bus, the most there may be; nothing was published, publish again when it has caught up", out, b.server.Name())
	}
	r = b.outbox.add(events, waits, !t.Awaits, t.Finish, deadline)
	r.atOnce = t.Awaits && t.Finish == nil && !slices.ContainsFunc(events, func(ev *event.Event) bool { return ev.Publication != nil })
	if b.leads && !b.slow && !b.outbox.crowded() && t.Awaits && t.Finish == nil && b.outbox.isLight() {
		led = b.outbox.take()
	}
	if led == nil && b.outbox.mayTake() {
		b.outbox.rouse()
	}
	if !r.atOnce {
		for i := range r.tickets {
			b.outbox.give(&r.tickets[i])
		}
	}
	return r, led, nil
}

// receipts are those of a request: positions of what is done already and has nobody else
// waiting for it, tickets of the rest.
func (b *Bus) receipts(t *bus.Thread, r *request) []bus.Receipt {
	receipts := t.TakeReceipts(len(r.tickets))
	if r.atOnce {
		t.Lock(&b.mu)
		defer b.mu.Unlock()
	}
	for i := range r.tickets {
		one := &r.tickets[i]
		if r.atOnce && one.isDone && one.err == nil {
			receipts[i].Position = one.at
			continue
		}
		if r.atOnce {
			b.outbox.give(one)
		}
		receipts[i].Ticket = one.number
	}
	return receipts
}

// Await implements bus.Bus.
func (b *Bus) Await(t *bus.Thread, number uint64, timeout time.Duration) bool {
	t.Lock(&b.mu)
	one := b.outbox.tickets.of(number)
	if one == nil || one.isDone || timeout <= 0 {
		defer b.mu.Unlock()
		return one == nil || one.isDone
	}
	if one.done == nil {
		one.done = make(chan struct{})
	}
	ended := one.done
	b.mu.Unlock()
	done := false
	t.Unlocked(func() {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		select {
		case <-ended:
			done = true
		case <-timer.C:
		}
	})
	return done
}

// Outcome implements bus.Bus.
func (b *Bus) Outcome(t *bus.Thread, number uint64) (event.Position, error) {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	one := b.outbox.tickets.of(number)
	if one == nil {
		return event.Position{}, fault.New(fault.InvalidValue, "there is no ticket %d", number)
	}
	if one.isDone {
		b.outbox.tickets.remove(number)
	}
	return one.at, one.err
}

// Forsake implements bus.Bus.
func (b *Bus) Forsake(number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if one := b.outbox.tickets.of(number); one != nil {
		one.finish = nil
		b.outbox.forsake(one)
	}
}

// publishAll is the goroutine of one publisher: it lets the server accept whatever waits, in
// one go, until the bus stops.
func (b *Bus) publishAll() {
	var pause pause
	for b.context.Err() == nil {
		b.mu.Lock()
		batch := b.outbox.take()
		b.mu.Unlock()
		if batch == nil {
			select {
			case <-b.outbox.wake:
			case <-b.context.Done():
			}
			continue
		}
		again, away := b.send(b.context, batch, b.options.PublishTimeout)
		if !away {
			pause.reset()
		}
		if again {
			pause.wait(b.context)
		}
	}
}

// lead publishes a batch on the thread of a publisher, which has to wait for it: handing it to
// another one, and being woken by that, takes a good part of the time that the server needs.
// A signal cannot reach that thread meanwhile, so its patience is short.
func (b *Bus) lead(batch *batch) {
	b.send(b.context, batch, leadPatience)
}

// send tries to have a batch accepted. again: some of it is to be tried again; away:
// because the server is.
func (b *Bus) send(ctx context.Context, batch *batch, patience time.Duration) (again, away bool) {
	defer b.abandon(batch)
	begin := time.Now()
	earliest := begin.Add(patience)
	requests := make([]*Request, len(batch.requests))
	for i, one := range batch.requests {
		requests[i] = &one.Request
		one.Err = errNeverSent
		if one.deadline.Before(earliest) {
			earliest = one.deadline
		}
	}
	// What is followed before it is accepted comes back. Asked afterwards, a channel could
	// be followed from a moment on that is later than the event.
	b.ask(batch.requests)
	ctx, cancel := context.WithDeadline(ctx, earliest)
	defer cancel()
	b.publish(ctx, batch.turn, requests)

	now, cut := time.Now(), ctx.Err() != nil
	accepted := 0
	for _, one := range batch.requests {
		if one.Err == nil {
			accepted += len(one.Events)
		}
	}
	var left []*request
	var told finishes
	b.mu.Lock()
	for _, one := range batch.requests {
		if one.Err == nil || one.returned() {
			told = append(told, b.outbox.accept(one)...)
		} else if err := b.verdict(one, now, cut); err != nil {
			told = append(told, b.outbox.refuse(one, err)...)
		} else {
			away = away || !errors.Is(one.Err, ErrBusy)
			left = append(left, one)
		}
	}
	b.outbox.putBack(batch, left)
	b.slow = away || now.Sub(begin) > slow
	b.stopIfIdle()
	b.mu.Unlock()
	if accepted > 0 && b.options.Accepted != nil {
		b.options.Accepted(accepted)
	}
	told.tell()
	return len(left) > 0, away
}

// abandon ends a batch that has panicked: others are published, and nobody waits for ever.
func (b *Bus) abandon(batch *batch) {
	if batch.turn != nil {
		batch.turn.Leave()
	}
	b.mu.Lock()
	var told finishes
	if b.outbox.putBack(batch, nil) {
		err := fault.New(fault.Engine, "publishing through the %s bus panicked", b.server.Name())
		for _, one := range batch.requests {
			told = append(told, b.outbox.refuse(one, err)...)
		}
	}
	b.mu.Unlock()
	told.tell()
}

// publish asks the server. A panic there must not leave publishers waiting for ever.
func (b *Bus) publish(ctx context.Context, turn Turn, requests []*Request) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		for _, one := range requests {
			one.Err = fault.New(fault.Engine, "publishing through the %s bus panicked: %v", b.server.Name(), cause)
		}
		if b.options.Panicked != nil {
			b.options.Panicked(cause)
		}
	}()
	if turn != nil {
		turn.Publish(ctx, requests)
	} else {
		b.server.Publish(ctx, requests)
	}
}

// ask notes which events come back. An event that may have been accepted when nobody followed its
// channel is not waited for.
func (b *Bus) ask(batch []*request) {
	lettings := b.outbox.lettings.Load()
	events := 0
	for _, one := range batch {
		events += len(one.Events)
	}
	follows := make([]bool, events)
	for _, one := range batch {
		count := len(one.Events)
		one.Follows, follows = follows[:count:count], follows[count:]
		b.askFor(one)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// Who has let go of a channel meanwhile has not found the batch here: it is asked for again.
	again := lettings != b.outbox.lettings.Load()
	for _, one := range batch {
		if again {
			b.askFor(one)
		}
		for i, comes := range one.Follows {
			if comes {
				b.outbox.expect(&one.tickets[i])
			}
		}
	}
}

// askFor asks the server, which may take a while where many patterns are followed: b.mu is better not held.
func (b *Bus) askFor(r *request) {
	channel, followed := "", false
	for i, ev := range r.Events {
		if ev.Channel != channel {
			channel, followed = ev.Channel, b.server.Follows(ev.Channel)
		}
		r.Follows[i] = followed && (!r.Doubtful || r.tickets[i].returns)
	}
}

// verdict is the error with which a request that was not accepted ends, nil when it is
// to be tried again. cut: a deadline ended the attempt, which says less than the one before.
func (b *Bus) verdict(r *request, now time.Time, cut bool) error {
	switch final := r.Refusal(); {
	case final != nil && r.Doubtful: // what is refused now may have been accepted before
		return b.unknown(r, final)
	case final != nil:
		return final
	}
	r.Doubtful = r.Doubtful || errors.Is(r.Err, ErrDoubtful)
	r.ordered = r.ordered || r.Doubtful
	if r.failure == nil || !cut && !errors.Is(r.Err, errNeverSent) {
		r.failure = r.Err
	}
	switch {
	// Those that are tried again together have the time that the first of them has left.
	case b.context.Err() == nil && now.Add(b.options.PublishTimeout/20).Before(r.deadline):
		return nil
	case r.Doubtful:
		return b.unknown(r, r.failure)
	case b.context.Err() != nil:
		return errClosed
	default:
		return fault.New(fault.BusUnavailable, "the %s bus cannot be reached: %w; nothing was published", b.server.Name(), r.failure)
	}
}

func (b *Bus) unknown(r *request, cause error) error {
	id := r.Events[0].ID
	return fault.New(fault.PublishOutcomeUnknown, "whether the %s bus accepted event %s could not be found out: %w; publish it again with event_id=%q, which is accepted once", b.server.Name(), id, cause, id)
}
