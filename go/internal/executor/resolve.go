package executor

import (
	"bytes"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// InvokePythonResolver calls resolvers for one event in one crossing on thread t,
// and hands their results to give as Python.Resolve does. What they publish
// meanwhile waits until the event is done.
func (x *Executor) InvokePythonResolver(t *bus.Thread, ev *event.Event, calls []Call, give func(i int, result Result)) {
	t.Resolving(func() {
		x.python.Resolve(t, ev.Data, calls, ev.Document().HasBigNumber(), give)
	})
}

// resolve answers the targets that have resolvers, unless that has been done. An async
// answer's places are queued before its resolver is called, since it may settle at any
// time after.
func (d *delivery) resolve(t *bus.Thread, at event.Position) {
	if d.python == 0 {
		return
	}
	d.python = 0
	x := d.executor
	for i := range d.works {
		w := &d.works[i]
		if w.answer.flags&Async != 0 {
			w.pending = x.pending.open(t, w.answer, at)
		}
		if w.answer.resolver != 0 {
			d.calls = append(d.calls, x.call(w.answer, w.pending, d.event, at))
			d.called = append(d.called, i)
		}
	}
	for _, one := range d.targets {
		if pending := d.works[one.work].pending; pending != nil {
			one.cohort.members.each(func(m *member) {
				var wakes wakes
				if place := queue.PendingKeyed(one.key); m.takes(d.event.Offset) && x.paces(m, d.moment) && x.QueueResponse(m, place, d.publication, &wakes) {
					wakes.Flush()
					x.pending.add(t, pending, m, place)
					d.queued.Add(1)
				}
			})
		}
	}
	for i := range d.works {
		if pending := d.works[i].pending; pending != nil {
			x.startTimeout(t, pending)
		}
	}
	var unstarted []unstartedAnswer
	x.InvokePythonResolver(t, d.event, d.calls, func(i int, result Result) {
		w := &d.works[d.called[i]]
		switch {
		case w.pending == nil:
			w.response = queue.Ready(x.payload(w.answer, result, at))
		case result.Kind != KindPending:
			result.Value = bytes.Clone(result.Value)
			unstarted = append(unstarted, unstartedAnswer{w.pending.ticket, result})
		}
	})
	for _, one := range unstarted {
		x.Settle(t, one.ticket, one.result)
	}
}

// unstartedAnswer is an async call that could not even be started.
type unstartedAnswer struct {
	ticket uint64
	result Result
}

// call is what the resolver of a is to be called with.
func (x *Executor) call(a *answer, pending *pendingAnswer, ev *event.Event, at event.Position) Call {
	call := Call{Resolver: a.resolver}
	if pending != nil {
		call.Ticket = pending.ticket
	}
	if a.flags&(TakesVariables|TakesInfo) != 0 {
		call.Variables = a.plan.Variables()
	}
	if a.flags&TakesInfo != 0 {
		call.Info = resolverInfo(ev, at, a)
	}
	return call
}

// payload is the response's payload for what a resolver gave, which is only lent.
func (x *Executor) payload(a *answer, result Result, at event.Position) []byte {
	if a.flags&Projects != 0 && (result.Kind == KindData || result.Kind == KindResult) {
		return a.project(result.Value, at)
	}
	switch result.Kind {
	case KindData:
		return EncodeResponseBytes(result.Value, nil, a.position(&at))
	case KindResult:
		if a.key.positions {
			return addExtension(result.Value, "position", appendPosition(nil, &at))
		}
		return bytes.Clone(result.Value)
	default:
		x.metrics.ResolverError()
		return a.failure(string(result.Value), "RESOLVER_ERROR", at)
	}
}

// project is the payload that shows what the query selects of value, the JSON of the
// root field's.
func (a *answer) project(value []byte, at event.Position) []byte {
	parsed := document.New(len(value))
	if err := parsed.Parse(value); err != nil {
		return a.failure("the resolver's value cannot be read: "+err.Error(), "RESOLVER_ERROR", at)
	}
	payload, problems := a.plan.AppendData([]byte(dataHead), parsed.Root(), nil)
	return appendTail(payload, problems, a.position(&at))
}

// failure is the payload of a response that has only an error.
func (a *answer) failure(message, code string, at event.Position) []byte {
	problem := query.Problem{Message: message, Path: a.plan.RootPath(), Code: code}
	return EncodeResponseBytes([]byte("null"), []query.Problem{problem}, a.position(&at))
}
