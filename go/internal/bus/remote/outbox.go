package remote

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// outbox is what this node has published and somebody still waits for, or that has not
// come back through the reader yet. Guarded by Bus.mu.
type outbox struct {
	accepted  uint64 // events, since the bus was opened
	tickets   tickets
	returning returning
	line
	ended    error         // nothing more will be accepted, or come back
	lettings atomic.Uint64 // how often letGo was called
}

// ticket is one published event.
type ticket struct {
	number uint64 // 0 until it is given
	event  *event.Event
	// waits says that acceptance alone is not what its publisher waits for.
	waits      bool
	counted    bool // among what was accepted
	returns    bool // it is to come back, or was
	recognised bool // by the server, in what it read
	read       bool // and so it will be dispatched
	accepted   bool
	forsaken   bool // and not known to be accepted, or refused
	dispatched bool
	// astray says that its channel was let go of after it was sent: nobody knows whether
	// it comes back.
	astray bool
	isDone bool
	done   chan struct{} // closed when there is nothing left to wait for; nil while nobody waits
	at     event.Position
	err    error
	finish func(ticket uint64)
	// awaited is for returning, which it lies in, and prev and next are its.
	awaited    bool
	prev, next *ticket
}

// finishes are those to be told, once no lock is held: also who gives up waiting meanwhile.
type finishes []finish

type finish struct {
	tell   func(ticket uint64)
	ticket uint64
}

func (f finishes) tell() {
	for _, one := range f {
		one.tell(one.ticket)
	}
}

func (o *outbox) open(publishers int, turn func(before Turn) Turn) {
	o.line.open(publishers, turn)
	o.returning.open()
}

func (o *outbox) isEmpty() bool {
	return len(o.queue) == 0 && o.returning.isEmpty() && len(o.underWay) == 0
}

// add makes a request of events.
func (o *outbox) add(events []*event.Event, waits, ordered bool, finish func(uint64), deadline time.Time) *request {
	r := &request{Request: Request{Events: events}, ordered: ordered, deadline: deadline, tickets: make([]ticket, len(events))}
	for i, ev := range events {
		one := &r.tickets[i]
		one.event, one.waits, one.finish = ev, waits, finish
		ev.Sent = one
		r.ordered = r.ordered || ev.ChosenID // otherwise nobody has it
	}
	o.join(r)
	return r
}

// give lets the outcome of a ticket be asked for.
func (o *outbox) give(one *ticket) {
	o.tickets.add(one)
	if o.ended != nil && !one.isDone {
		one.err = o.ended
		o.settle(nil, one)
	}
}

// expect notes that an event which is to be sent comes back.
func (o *outbox) expect(one *ticket) {
	if one.returns {
		return
	}
	one.returns = true
	o.returning.add(one)
}

// forsake notes that nobody waits for a ticket any more.
func (o *outbox) forsake(one *ticket) {
	o.tickets.remove(one.number)
	if !one.accepted && !one.isDone {
		one.forsaken = true
		o.forsaken++
	}
}

// decided notes that it is known whether an event was accepted.
func (o *outbox) decided(one *ticket) {
	if one.forsaken {
		one.forsaken = false
		o.forsaken--
	}
}

// accept notes that the server has accepted a request.
func (o *outbox) accept(r *request) (told finishes) {
	for i := range r.tickets {
		one := &r.tickets[i]
		o.count(one)
		o.decided(one)
		one.accepted = true
		if !one.dispatched {
			one.at = r.Positions[i]
		}
		// One that had been accepted before may have been read before, too.
		if !r.Follows[i] || one.astray || r.Repeated != nil && r.Repeated[i] || o.isSkipped(one) {
			o.returning.take(one)
			one.waits = false
		}
		told = o.settle(told, one)
	}
	return told
}

// refuse notes that a request was not accepted, or that this is not known.
func (o *outbox) refuse(r *request, err error) (told finishes) {
	for i := range r.tickets {
		one := &r.tickets[i]
		o.decided(one)
		if one.dispatched { // so it was accepted
			continue
		}
		o.returning.take(one)
		one.err = err
		told = o.settle(told, one)
	}
	return told
}

// returned tells that all events of a request have been read and dispatched: so they
// were accepted, whatever became of the answer.
func (r *request) returned() bool {
	for i := range r.tickets {
		if !r.tickets[i].dispatched {
			return false
		}
	}
	return true
}

// dispatched notes that an event that was read has been dispatched.
func (o *outbox) dispatched(ev *event.Event, at event.Position) (told finishes) {
	arrive := func(one *ticket) bool {
		if one.event.ID != ev.ID {
			return false
		}
		one.dispatched, one.at = true, at
		told = o.settle(told, one)
		return true
	}
	if one := o.returning.only(ev); one != nil {
		o.returning.take(one)
		arrive(one)
	} else {
		o.returning.takeAll(ev.ID, arrive)
	}
	ev.Sent = nil // a history may keep the event
	return told
}

// recognise is an event that is to come back, once: of that id, or another one of its hash, since
// the server compares more than that anyway.
func (o *outbox) recognise(id []byte) *event.Event {
	for one := o.returning.like(string(id)); one != nil; one = one.next {
		if !one.recognised {
			one.recognised = true
			return one.event
		}
	}
	return nil
}

// cameBack notes that an event was read: it has been accepted, even where its publisher
// has not heard so yet. It returns the executor's account of its publisher, once: what has
// been read may be its dispatch's.
func (o *outbox) cameBack(ev *event.Event) (publication any) {
	arrive := func(one *ticket) {
		o.count(one)
		if publication == nil && !one.read {
			publication = one.event.Publication
		}
		one.read = true
	}
	if one := o.returning.only(ev); one != nil {
		arrive(one)
		return publication
	}
	for one := o.returning.like(ev.ID); one != nil; one = one.next {
		if one.event.ID == ev.ID {
			arrive(one)
		}
	}
	return publication
}

func (o *outbox) count(one *ticket) {
	if !one.counted {
		one.counted = true
		o.accepted++
	}
}

// letGo gives up on those whose channel is not followed any more.
func (o *outbox) letGo(follows func(channel string) bool) (told finishes) {
	o.lettings.Add(1)
	for _, one := range o.returning.which(func(one *ticket) bool { return !follows(one.event.Channel) }) {
		if one.astray = true; one.accepted {
			o.returning.take(one)
			one.waits = false
			told = o.settle(told, one)
		}
	}
	return told
}

// skip gives up on what was gone before it could be read. What has not been accepted yet is
// judged when it is.
func (o *outbox) skip(gone func(channel string, at event.Position) bool) (told finishes) {
	if len(o.underWay) > 0 || len(o.queue) > 0 {
		o.gaps = append(o.gaps, gap{o.newestTaken, gone})
	}
	for _, one := range o.returning.which(func(one *ticket) bool {
		return one.accepted && !one.read && gone(one.event.Channel, one.at)
	}) {
		o.returning.take(one)
		one.waits = false
		told = o.settle(told, one)
	}
	return told
}

// isSkipped reports whether an event that has been accepted now was in a gap.
func (o *outbox) isSkipped(one *ticket) bool {
	return !one.read && slices.ContainsFunc(o.gaps, func(gap gap) bool { return gap.gone(one.event.Channel, one.at) })
}

// lose gives up on what was accepted and will not come back: all but what was accepted
// in the epoch that has begun.
func (o *outbox) lose(epoch string) (told finishes) {
	for _, one := range o.returning.which(func(one *ticket) bool { return one.accepted && one.at.Epoch != epoch }) {
		o.returning.take(one)
		one.err = errLost
		told = o.settle(told, one)
	}
	return told
}

// fail ends everything.
func (o *outbox) fail(err error) (told finishes) {
	o.queue, o.waiting, o.ended = nil, 0, err
	for one := range o.tickets.all() {
		if !one.isDone {
			one.err = err
			told = o.settle(told, one)
		}
	}
	o.returning.clear()
	return told
}

// settle ends the wait for a ticket if there is nothing left to wait for. It stays until
// somebody asks for its outcome.
func (o *outbox) settle(told finishes, one *ticket) finishes {
	if one.isDone || one.err == nil && !one.dispatched && (one.waits || !one.accepted) {
		return told
	}
	one.isDone = true
	if one.done != nil {
		close(one.done)
	}
	if one.finish != nil {
		told = append(told, finish{one.finish, one.number})
	}
	return told
}

var errNeverSent = errors.New("it has not answered in time")
