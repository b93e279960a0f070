package redis

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
)

// A transaction is executed as a whole or, where one of its commands is refused before that (no
// memory, no right to the key, a replica), not at all. But where a key holds something else than
// a stream, its other commands are executed all the same. Unless all are for that key, a script at
// the end takes them back then: nobody sees what happens within a transaction.
// https://redis.io/docs/latest/develop/using-commands/transactions/

// addTogether appends what, within a transaction, accepts all of a request or nothing.
func (p *parcel) addTogether(dst []byte, a *attempt) []byte {
	for _, one := range a.events {
		one.channel.adding = 0
	}
	p.firsts = p.firsts[:0]
	for i, ev := range a.request.Events {
		one := a.events[i].channel
		dst = appendArgument(append(dst, one.add...), p.encode(ev))
		if one.adding++; one.adding == 1 {
			p.firsts = append(p.firsts, i)
		}
	}
	if a.guarded = len(p.firsts) > 1; a.guarded {
		dst = appendScript(dst, guardScript, len(p.firsts), 1+2*len(p.firsts))
		for _, i := range p.firsts {
			dst = append(dst, a.events[i].channel.stream...)
		}
		dst = appendArgument(dst, undoScript)
		for _, i := range p.firsts {
			dst = appendArgument(dst, strconv.Itoa(a.events[i].channel.adding))
			p.text = a.request.Events[i].AppendID(p.text[:0])
			dst = appendArgument(dst, p.text)
		}
	}
	return dst
}

// readTransaction reads what answers a transaction of one's own. MULTI was permitted when the connection was made:
// where it is refused all the same, what follows has been executed, and is answered as by EXEC. If it
// was for several streams, and one of them was none, what is taken back then may have been read.
func (a *attempt) readTransaction(r *reply) {
	if a.denied = r.refusal() != nil; !a.denied {
		r.line('+')
		a.readQueued(r)
		if err := r.refusal(); a.err == nil { // EXEC's, which refuses where another was refused, and may tell nothing else
			a.err = err
		}
		if a.err != nil {
			return
		}
		r.counted(a.commands())
	}
	a.readTogether(r)
	if a.denied {
		r.refusal() // EXEC's
	}
}

// readTogether reads what addTogether is answered with once it is executed.
func (a *attempt) readTogether(r *reply) {
	var first error
	refused, undone := 0, false
	for i := range a.events {
		one := &a.events[i]
		if err := r.refusal(); err == nil {
			one.accepted(r)
		} else if refused++; refused == 1 {
			first, a.refused = err, one.channel
		}
	}
	if a.guarded && r.refusal() == nil {
		undone = r.number() > 0
	}
	if refused == 0 && !undone && r.bad == nil {
		return
	}
	for i := range a.events {
		a.events[i].id = streamID{}
	}
	switch {
	case r.bad != nil: // it may have been taken back
	case refused == len(a.events), refused > 0 && undone && !a.denied:
		a.err = first
	default:
		a.err = fmt.Errorf("only some of its events were accepted: %v", cmp.Or(first, errTakenBack))
	}
}

// errTakenBack is said where no event's own answer says why.
var errTakenBack = errors.New("what was added has been taken back")

// commands is how many a transaction has of a request.
func (a *attempt) commands() int {
	if a.guarded {
		return len(a.events) + 1
	}
	return len(a.events)
}

// readQueued reads what answers the commands within a transaction until it is executed. The first that was refused
// is the request's error.
func (a *attempt) readQueued(r *reply) {
	for i := range a.commands() {
		if err := r.refusal(); err == nil {
			r.line('+')
		} else if a.err == nil {
			a.err = err
			if i < len(a.events) {
				a.refused = a.events[i].channel
			}
		}
	}
}
