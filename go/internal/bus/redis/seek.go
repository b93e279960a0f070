package redis

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// A connection that breaks leaves hundreds of events in doubt. Before they are sent again they are looked for: all
// those of a stream in one pass through what has been written to it since. Nothing can add them meanwhile, since the
// connection over which they were sent has been ended (introduce). Where an event has a chosen id, the script that adds
// it notes it; it is looked for only if it was sent before without one.

const (
	// mostSought bounds how many entries the server looks at until it does something else: for some 20 ms.
	mostSought = 10_000
	// leastSought is how many of a stream it looks at, however many streams there are.
	leastSought = 100
)

// sought is a stream in which events are looked for.
type sought struct {
	channel *channelWritten
	after   streamID // up to where it has been looked through
	last    string   // where that ends; "+": at its newest entry, which is not known yet
	events  []soughtEvent
	ended   bool
	refused error
}

var errNoPage = errors.New("the server answers with something else when it is to look for events")

// soughtEvent is one that has not been found yet.
type soughtEvent struct {
	attempt *attempt
	event   *sending
	head    []byte // how its JSON begins
}

// behind is the id behind which an event may be in its stream already, if it may.
func (o *outgoing) behind(r *remote.Request, ev *event.Event) (after streamID, may bool) {
	switch {
	case ev.ChosenID:
		after, may = o.doubts.after[ev.ID]
	case r.Doubtful:
		after, _ = r.Note.(streamID)
		may = true
	}
	return after, may
}

// seek looks for those of a parcel's events that may have been accepted. After an error they are in doubt as before,
// and nothing may overtake them.
func (o *outgoing) seek(ctx context.Context, p *parcel) error {
	left := p.toSeek()
	if len(left) == 0 {
		return nil
	}
	_, err := o.link.do(ctx, func(*redis.Client) error {
		for len(left) > 0 {
			if err := o.look(left); err != nil {
				return err
			}
			left = slices.DeleteFunc(left, func(s *sought) bool { return s.ended })
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range p.attempts {
		p.attempts[i].decide()
	}
	return nil
}

// toSeek are the streams in which events may be.
func (p *parcel) toSeek() (streams []*sought) {
	byChannel := map[*channelWritten]*sought{}
	for i := range p.attempts {
		a := &p.attempts[i]
		if a.form != known {
			continue
		}
		for k, ev := range a.request.Events {
			after, may := p.outgoing.behind(a.request, ev)
			if !may {
				continue
			}
			one := &a.events[k]
			one.doubted = ev.ChosenID
			s := byChannel[one.channel]
			if s == nil {
				s = &sought{channel: one.channel, after: after, last: "+"}
				byChannel[one.channel] = s
				streams = append(streams, s)
			}
			if after.compare(s.after) < 0 {
				s.after = after
			}
			s.events = append(s.events, soughtEvent{a, one, ev.AppendID(nil)})
		}
	}
	return streams
}

// look has the server look at the next entries of streams.
func (o *outgoing) look(streams []*sought) error {
	w := &o.link.wire
	w.begin(answerPatience)
	for _, s := range streams {
		w.commands = s.appendTo(w.commands, max(mostSought/len(streams), leastSought))
		w.spill()
	}
	w.send()
	r := w.answer()
	for _, s := range streams {
		s.read(&r)
	}
	w.done(&r, false)
	if r.bad != nil {
		return r.bad
	}
	for _, s := range streams {
		var final *fault.Error
		if s.refused != nil && !errors.As(o.server.target.refusal(s.refused, ""), &final) {
			return s.refused
		}
	}
	return nil
}

// appendTo appends the script that looks at so many entries.
func (s *sought) appendTo(dst []byte, entries int) []byte {
	c := call{}
	c.key(streamPrefix + s.channel.name)
	c.argument(s.after.String(), s.last, entries)
	for i := range s.events {
		c.argument(s.events[i].head)
	}
	return c.appendTo(dst, seekScript)
}

// read reads what it is answered with.
func (s *sought) read(r *reply) {
	if s.refused = r.refusal(); s.refused != nil {
		s.ended = true
		for _, one := range s.events {
			one.attempt.err, one.attempt.refused = s.refused, s.channel
		}
		return
	}
	left := r.array() - 2
	next := r.text()
	s.last = string(r.text())
	if s.ended = len(next) == 0; !s.ended {
		var ok bool
		if s.after, ok = parseID(next); !ok {
			r.bad = cmp.Or(r.bad, errNoPage)
		}
	}
	for ; left > 0 && r.bad == nil; left -= 2 {
		number, id := r.number(), r.id()
		if number < 1 || number > int64(len(s.events)) {
			r.bad = cmp.Or(r.bad, errNoPage)
			return
		}
		one := s.events[number-1].event
		one.id, one.hash, one.again = id, s.channel.hash, true
	}
	s.events = slices.DeleteFunc(s.events, func(one soughtEvent) bool { return one.event.again })
	s.ended = s.ended || len(s.events) == 0
}

// decide says what becomes of a request, now that it is known which of its events are there.
func (a *attempt) decide() {
	there := 0
	for i := range a.events {
		if a.events[i].again {
			there++
		}
	}
	switch {
	case a.err != nil:
		a.form = decided
	case a.form != known || slices.ContainsFunc(a.request.Events, func(ev *event.Event) bool { return ev.ChosenID }):
	case there == 0:
		a.form = formOfNew(a.request)
	case there == len(a.events):
		a.form = decided
	}
}
