package redis

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// audience is who listens to the channels' names outside, by SUBSCRIBE or PSUBSCRIBE. The
// server is asked right behind what it accepts, and PUBLISH is sent for those channels only:
// for a channel that nobody listens to it would cost the server half as much as the event
// itself. Whoever listened before an event was accepted is found; whoever began while it
// was may be, as with PUBLISH itself.
type audience struct {
	// anywhere says that any channel may have one: there are patterns, or replicas, whose
	// listeners the server does not know of, or the server does not tell.
	anywhere bool
	// replicated says that there have been replicas: one whose link is cut is not counted, and
	// catches up.
	replicated bool
	complaints occasional
}

// ask appends the questions, for the channels of what is being sent.
func (p *parcel) ask(dst []byte) []byte {
	p.asked = p.asked[:0]
	for i := range p.events {
		if one := p.events[i].channel; !one.asked {
			one.asked = true
			p.asked = append(p.asked, one)
		}
	}
	dst = appendArgument(appendCommand(dst, "PUBSUB", 1+len(p.asked)), "NUMSUB")
	for _, one := range p.asked {
		one.asked = false
		dst = append(dst, one.text...)
	}
	dst = appendArgument(appendCommand(dst, "PUBSUB", 1), "NUMPAT")
	return appendCommand(dst, "ROLE", 0)
}

// read reads the answers. A user that may not ask publishes everything.
func (a *audience) read(r *reply, asked []*channelWritten) {
	untold := r.refusal() != nil
	if !untold && r.counted(2*len(asked)) {
		for _, one := range asked {
			r.text()
			one.heard = r.number() > 0
		}
	}
	// Each is read, whatever the others say: what is left would be taken for the next answer.
	patterns := r.refusal() != nil || r.number() > 0
	elsewhere := r.refusal() != nil || a.readRole(r)
	a.anywhere = untold || patterns || elsewhere || a.replicated || r.bad != nil
}

// readRole reads the answer to ROLE, and reports whether it is another than a master's.
// https://redis.io/docs/latest/commands/role/
func (a *audience) readRole(r *reply) (other bool) {
	left := r.array() - 1
	other = string(r.text()) != "master" || left != 2
	if !other {
		r.skip()
		left = r.array()
		a.replicated = a.replicated || left > 0
	}
	for ; left > 0 && r.bad == nil; left-- {
		r.skip()
	}
	return other
}

// publishOutside lets the audience hear what the newest attempts have had accepted: not
// before, since what is refused is not to be heard of. It is sent once, and may be lost with the
// connection.
func (o *outgoing) publishOutside(ctx context.Context, p *parcel) {
	if !slices.ContainsFunc(p.events, o.isHeard) {
		return
	}
	var refused error
	_, err := o.link.do(ctx, func(*redis.Client) error {
		w := &o.link.wire
		w.begin(answerPatience)
		count := 0
		for i := range p.attempts {
			a := &p.attempts[i]
			for k := range a.events {
				if one := a.events[k]; o.isHeard(one) {
					p.text = a.request.Events[k].AppendJSON(p.text[:0])
					w.commands = appendArgument(append(w.commands, one.channel.publish...), p.text)
					w.spill()
					count++
				}
			}
		}
		w.send()
		r := w.answer()
		for range count {
			if err := r.refusal(); err != nil {
				refused = err
			} else {
				r.number()
			}
		}
		w.done(&r, false)
		return r.bad
	})
	if err = cmp.Or(refused, err); err != nil && o.audience.complaints.allow(time.Now()) {
		o.server.options.Log.Warn("listeners outside cannot be told of events", "cause", o.server.target.clean(err.Error()))
	}
}

// isHeard reports whether an event has been accepted just now, and may have an audience.
func (o *outgoing) isHeard(one sending) bool {
	return one.fresh && (o.audience.anywhere || one.channel.heard)
}
