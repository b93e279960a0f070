package executor

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

const (
	// largeAudience is the number of subscribers from which queueing takes longer
	// than the GIL may be kept: about 100 µs.
	largeAudience = 512
	// leftAudience is the number from which a thread with an event loop leaves queueing
	// to another one. A queue that is cold, or needs memory, takes microseconds instead
	// of 30 ns.
	leftAudience = 1024
	// maxScratch is the size in bytes from which scratch memory is not kept.
	maxScratch = 1 << 20
	// manyAnswers is the number from which an answer is looked up by hash.
	manyAnswers = 8
)

// delivery is one event with its audience. Pooled: it goes back when delivered.
type delivery struct {
	lookup
	executor   *Executor
	event      *event.Event
	at         event.Position
	facts      facts
	now        int64 // unix nanoseconds, 0 while no context expires
	candidates []*cohort
	targets    []target
	slots      *[]atomic.Pointer[member] // of the only target
	works      []work
	calls      []Call          // of works that need a resolver
	called     []int           // the works of calls
	byAnswer   map[*answer]int // into works, beyond manyAnswers
	audience   int
	python     int // works that need a resolver
	denied     [security.Modules]int
	expired    int
	filtered   int
	queued     atomic.Int64
	keys       []eventKey
	moment     int64 // of the delivery, on the limits' clock, where there are rates
	// publication is the event's, which waits where a policy wants that; or nil.
	publication *publication
}

// target is a cohort that may see the event, and its answer's index in works.
type target struct {
	cohort *cohort
	work   int
	key    string // of its responses, under queue.Latest
}

// work is an answer to be made for this event.
type work struct {
	answer   *answer
	response *queue.Response // what every member gets, unless it is pending
	pending  *pendingAnswer  // an async answer: each member has a place of its own
}

// DispatchEventToSubscriptions decides who may see ev, and returns what makes each
// distinct answer once and queues it for its subscribers: Deliver, for the holder
// of the event's turn. A panic means that nobody sees it.
func (x *Executor) DispatchEventToSubscriptions(t *bus.Thread, ev *event.Event) (matched bus.Delivery) {
	d := x.deliveries.Get().(*delivery)
	d.executor, d.event = x, ev
	defer func() {
		if cause := recover(); cause != nil {
			x.LogPanic("matching event "+ev.ID+" panicked", cause)
			matched = &delivery{executor: x, event: ev}
		}
	}()
	d.look()
	if len(d.candidates) >= largeAudience {
		t.Unlocked(d.match)
	} else {
		d.match()
	}
	return d
}

// look reads what the decisions need of the event, and finds the candidates.
func (d *delivery) look() {
	x, ev := d.executor, d.event
	d.facts = d.facts.about(ev)
	d.now = x.expiryClock()
	d.candidates = x.index.AppendCandidates(d.candidates[:0], ev.Channel, d)
}

// match decides for every candidate.
func (d *delivery) match() {
	x := d.executor
	for _, c := range d.candidates {
		live := int(c.members.live.Load())
		d.visit(c, live)
		switch verdict, module := x.DispatchEventToSingle(d.event, &d.facts, d.now, c); verdict {
		case Deliver:
			d.include(c, live)
		case Denied:
			d.denied[module] += live
		case Expired:
			d.expired += live
		case Filtered:
			d.filtered += live
		}
	}
	d.countPassedOver()
	for module, subscriptions := range d.denied {
		if subscriptions > 0 {
			x.metrics.Denied(security.Module(module), subscriptions)
		}
	}
	x.metrics.Denied(Expired, d.expired)
	if d.expired > 0 || d.denied != [security.Modules]int{} {
		x.auditDenied(d)
	}
	x.metrics.Filtered(d.filtered)
}

// Verdict is what was decided for one candidate.
type Verdict uint8

// The verdicts. Only Deliver lets the candidate see the event.
const (
	Deliver    Verdict = iota
	Ended              // no live subscription is left
	OtherType          // it asked for other event types
	Denied             // a security module refused
	Filtered           // its filter does not let the event pass
	Expired            // its context has expired
	OffChannel         // it is on other channels; only Explain says so
)

var verdictNames = [...]string{"delivered", "ended", "other_event_type", "denied", "filtered", "expired", "not_on_channel"}

func (v Verdict) String() string { return verdictNames[v] }

// DispatchEventToSingle decides whether one candidate may see ev: it is alive,
// its context has not expired now, the security policy allows it, and its filter lets
// it pass. A candidate is a cohort: the subscriptions for which the decision is the
// same. now is in unix nanoseconds, 0 while no context expires. module is the one that
// denied.
func (x *Executor) DispatchEventToSingle(ev *event.Event, facts *facts, now int64, c *cohort) (verdict Verdict, module security.Module) {
	if c.members.live.Load() == 0 {
		return Ended, security.NoModule
	}
	if c.spec.eventTypes != nil && !slices.Contains(c.spec.eventTypes, ev.Type) {
		return OtherType, security.NoModule
	}
	if c.spec.isExpired(now) {
		return Expired, security.NoModule
	}
	if c.spec.context != nil {
		if allowed, module := c.spec.policy.Check(c.spec.context, facts.by(c.spec.policy), &c.clearance); !allowed {
			return Denied, module
		}
	}
	if c.spec.filter != nil && !c.spec.filter.Match(ev.Document().Root()) {
		return Filtered, security.NoModule
	}
	return Deliver, security.NoModule
}

// include makes c a target, with the work of its answer.
func (d *delivery) include(c *cohort, live int) {
	d.audience += live
	d.targets = append(d.targets, target{c, d.workFor(c.answer), d.keyFor(c.spec.queue)})
}

func (d *delivery) workFor(a *answer) int {
	if len(d.works) <= manyAnswers {
		for i := range d.works {
			if d.works[i].answer == a {
				return i
			}
		}
	} else if i, found := d.byAnswer[a]; found {
		return i
	}
	i := len(d.works)
	d.works = append(d.works, work{answer: a})
	if a.resolver != 0 {
		d.python++
	}
	if i >= manyAnswers {
		if d.byAnswer == nil {
			d.byAnswer = make(map[*answer]int)
		}
		if i == manyAnswers {
			for earlier := range d.works {
				d.byAnswer[d.works[earlier].answer] = earlier
			}
		}
		d.byAnswer[a] = i
	}
	return i
}

// NeedsPython implements bus.Delivery.
func (d *delivery) NeedsPython() bool { return d.python > 0 }

// Leave implements bus.Delivery: resolvers run where their publisher is, whatever the
// number of subscribers.
func (d *delivery) Leave(t *bus.Thread, at event.Position) (left bool) {
	if d.audience < leftAudience {
		return false
	}
	defer func() {
		if cause := recover(); cause != nil {
			d.executor.LogPanic("dispatching event "+d.event.ID+" panicked", cause)
			d.targets, left = nil, false // nobody gets it
		}
	}()
	d.begin()
	d.resolve(t, at)
	return true
}

// Deliver implements bus.Delivery.
func (d *delivery) Deliver(t *bus.Thread, at event.Position) {
	x := d.executor
	began := x.limits.elapsed()
	d.begin()
	d.event.Publication = nil // the history keeps the event
	defer d.publication.wasDelivered()
	defer func() {
		if cause := recover(); cause != nil {
			x.LogPanic("dispatching event "+d.event.ID+" panicked", cause)
			return
		}
		x.metrics.Dispatched(1)
		x.metrics.DispatchTook(time.Duration(x.limits.elapsed() - began))
		d.recycle()
	}()
	if len(d.targets) == 0 {
		return
	}
	d.at = at
	d.resolve(t, at)
	if d.audience >= largeAudience || len(d.event.Data) >= longText {
		t.Unlocked(d.projectAndQueue)
	} else {
		d.projectAndQueue()
	}
	x.metrics.Delivered(int(d.queued.Load()))
	x.unlistEnded(t)
}

// begin finds out what queueing needs to know of the publish.
func (d *delivery) begin() {
	if d.executor.limits.rates != nil {
		d.moment = d.executor.limits.elapsed()
	}
	d.publication, _ = d.event.Publication.(*publication)
}

func (d *delivery) projectAndQueue() {
	d.parallel(len(d.works), len(d.works), (*delivery).project)
	d.queueAll()
}

// project answers, of works [from,to), those that have no resolver from the event's
// own data, by its plan and as EncodeResponseBytes would encode it, with one
// allocation an answer: the response itself.
func (d *delivery) project(from, to int) {
	scratch := d.executor.scratch.Get().(*scratch)
	for i := from; i < to; i++ {
		w := &d.works[i]
		if w.answer.resolver != 0 {
			continue
		}
		payload, problems := w.answer.appendPayload(scratch.payload[:0], d.event, &d.at, scratch.problems[:0])
		w.response = queue.Copied(payload)
		scratch.payload, scratch.problems = payload, problems
	}
	if cap(scratch.payload) <= maxScratch {
		clear(scratch.problems[:cap(scratch.problems)])
		d.executor.scratch.Put(scratch)
	}
}

// scratch is where an answer is written before its size is known.
type scratch struct {
	payload  []byte
	problems []query.Problem
}

// position is at for answers that carry the position, otherwise nil.
func (a *answer) position(at *event.Position) *event.Position {
	if !a.key.positions {
		return nil
	}
	return at
}

// queueAll hands every target's members their response.
func (d *delivery) queueAll() {
	if len(d.targets) == 1 { // one big cohort: split its members
		one := d.targets[0]
		d.slots = one.cohort.members.slots.Load()
		if d.slots != nil {
			d.parallel(len(*d.slots), d.audience, (*delivery).queueMembers)
		}
		return
	}
	d.parallel(len(d.targets), d.audience, (*delivery).queueTargets)
}

// queueMembers hands members [from,to) of the only target their response.
func (d *delivery) queueMembers(from, to int) {
	var wakes wakes
	defer wakes.Flush()
	if response := d.responseFor(d.targets[0]); response != nil {
		d.queued.Add(d.queueSlots((*d.slots)[from:to], response, &wakes))
	}
}

// queueTargets hands the members of targets [from,to) their response.
func (d *delivery) queueTargets(from, to int) {
	var wakes wakes
	defer wakes.Flush()
	queued := int64(0)
	for _, one := range d.targets[from:to] {
		slots, response := one.cohort.members.slots.Load(), d.responseFor(one)
		if slots != nil && response != nil {
			queued += d.queueSlots(*slots, response, &wakes)
		}
	}
	d.queued.Add(queued)
}

func (d *delivery) queueSlots(slots []atomic.Pointer[member], response *queue.Response, wakes *wakes) (queued int64) {
	if d.executor.limits.rates != nil {
		return d.queuePaced(slots, response, wakes)
	}
	offset := d.event.Offset
	for i := range slots {
		if m := slots[i].Load(); m != nil && m.takes(offset) && d.executor.QueueResponse(m, response, d.publication, wakes) {
			queued++
		}
	}
	return queued
}

// recycle gives the delivery's memory to a later event, and lets go of everything
// that it refers to.
func (d *delivery) recycle() {
	clear(d.candidates)
	clear(d.targets)
	clear(d.works)
	clear(d.byAnswer)
	clear(d.keys)
	clear(d.calls)
	x := d.executor
	*d = delivery{
		lookup:     lookup{values: d.values, round: d.round + 1},
		facts:      d.facts.about(nil),
		candidates: d.candidates[:0],
		targets:    d.targets[:0],
		works:      d.works[:0],
		calls:      d.calls[:0],
		called:     d.called[:0],
		byAnswer:   d.byAnswer,
		keys:       d.keys[:0],
	}
	x.deliveries.Put(d)
}
