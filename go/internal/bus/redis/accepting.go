package redis

import (
	"bytes"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// form is how a request is sent.
type form uint8

const (
	// single is one event by XADD.
	single form = iota
	// together are several, in a transaction: all or none.
	together
	// known are some that may be there already, by a script that adds the others.
	known
	// decided has been found to be there, or has been refused: nothing is sent.
	decided
)

func formOf(r *remote.Request) form {
	for _, ev := range r.Events {
		if r.Doubtful || ev.ChosenID {
			return known
		}
	}
	return formOfNew(r)
}

// formOfNew is the form of what is certainly not there.
func formOfNew(r *remote.Request) form {
	if len(r.Events) == 1 {
		return single
	}
	return together
}

// announce appends what tells of the channels that are due, which comes before their events.
func (p *parcel) announce(dst []byte, a *attempt) []byte {
	options := &p.outgoing.server.options
	for _, one := range a.events {
		if one.due {
			c := call{}
			c.key(channelsKey, usedKey, floorsKey, streamPrefix+one.channel.name)
			c.argument(one.channel.name, options.horizon().Milliseconds(), options.tending().Milliseconds())
			dst = c.appendTo(dst, announceScript)
		}
	}
	return dst
}

// add appends what lets the server accept a request, in a flight's transaction or by itself.
func (p *parcel) add(dst []byte, a *attempt) []byte {
	switch a.form {
	case single:
		dst = appendArgument(append(dst, a.events[0].channel.add...), p.encode(a.request.Events[0]))
	case together:
		if p.flying {
			return p.addTogether(dst, a)
		}
		dst = p.addTogether(appendCommand(dst, "MULTI", 0), a)
		dst = appendCommand(dst, "EXEC", 0)
	case known:
		dst = p.addKnown(dst, a)
	}
	return dst
}

// tend appends what trims the channels that are due.
func (p *parcel) tend(dst []byte, a *attempt) []byte {
	options := &p.outgoing.server.options
	for _, one := range a.events {
		if one.due {
			c := call{}
			c.key(floorsKey, streamPrefix+one.channel.name)
			c.argument(one.channel.name, options.Retention.Milliseconds(), options.horizon().Milliseconds(), max(options.MaxLen, 0))
			dst = c.appendTo(dst, tendScript)
		}
	}
	return dst
}

// encode is what an event is sent as, until the next one is encoded.
func (p *parcel) encode(ev *event.Event) []byte {
	p.text = ev.AppendJSON(p.text[:0])
	if !p.flying { // otherwise it is not read again
		p.outgoing.own.note(ev, p.text)
	}
	return p.text
}

// addKnown appends the script that accepts of a request what had not been and has not been found, or nothing.
func (p *parcel) addKnown(dst []byte, a *attempt) []byte {
	c := call{}
	again := ""
	if a.request.Doubtful {
		again = "1"
	}
	c.argument(p.outgoing.server.options.Retention.Milliseconds(), again)
	for i, ev := range a.request.Events {
		there := ""
		if one := &a.events[i]; one.again {
			there = one.id.String()
		}
		stream := streamPrefix + ev.Channel
		noted := stream
		if ev.ChosenID {
			noted = idPrefix + ev.ID
		}
		c.key(stream, noted)
		c.argument(ev.Channel, bytes.Clone(p.encode(ev)), there)
	}
	return c.appendTo(dst, publishScript)
}

// read reads what answers add.
func (a *attempt) read(r *reply, within bool) {
	switch {
	case a.form == single:
		if err := r.refusal(); err == nil {
			a.events[0].accepted(r)
		} else if a.err == nil {
			a.err, a.refused = err, a.events[0].channel
		}
	case a.form == together && within:
		a.readTogether(r)
	case a.form == together:
		a.readTransaction(r)
	case a.form == known:
		if a.err = r.refusal(); a.err == nil { // the script's own refusals name the key
			a.readKnown(r)
		}
	}
	if a.err == nil {
		a.err = r.bad
	}
}

// tended reads what answers the scripts for channels that were due.
func (a *attempt) tended(r *reply) {
	for i := range a.events {
		one := &a.events[i]
		if !one.due {
			continue
		}
		err := r.refusal()
		if err == nil {
			r.number()
			err = r.bad
		}
		if one.untold == nil {
			one.untold = err
		}
	}
}

// accepted reads the id of an event's entry.
func (s *sending) accepted(r *reply) {
	s.id = r.id()
	s.hash = s.channel.hash
}

func (a *attempt) readKnown(r *reply) {
	const width = 3
	if !r.counted(width * len(a.events)) {
		return
	}
	for i := range a.events {
		one := &a.events[i]
		one.accepted(r)
		channel := string(r.text())
		again := r.number()
		one.again, one.before = again > 0, again == 1 || again == 2 && one.doubted
		if one.again {
			one.hash = hashChannel(channel)
		}
	}
}
