package redis

import (
	"cmp"
	"context"
	"fmt"
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
	channels []*channelWritten // memory: those asked for
}

// ask appends the questions, for the channels of what is being sent.
func (a *audience) ask(dst []byte, events []sending) []byte {
	a.channels = a.channels[:0]
	for i := range events {
		if one := events[i].channel; !one.asked {
			one.asked = true
			a.channels = append(a.channels, one)
		}
	}
	dst = appendArgument(appendCommand(dst, "PUBSUB", 1+len(a.channels)), "NUMSUB")
	for _, one := range a.channels {
		one.asked = false
		dst = append(dst, one.text...)
	}
	dst = appendArgument(appendCommand(dst, "PUBSUB", 1), "NUMPAT")
	return appendCommand(dst, "ROLE", 0)
}

// read reads the answers. A user that may not ask publishes everything.
func (a *audience) read(r *reply) {
	listened := r.refusal() != nil
	if !listened && r.counted(2*len(a.channels)) {
		for _, one := range a.channels {
			r.text()
			one.heard = r.number() > 0
		}
	}
	patterns := r.refusal() != nil || r.number() > 0
	a.anywhere = listened || patterns || hasReplicas(r)
}

// hasReplicas reads the answer to ROLE. https://redis.io/docs/latest/commands/role/
func hasReplicas(r *reply) bool {
	if r.refusal() != nil {
		return true
	}
	elements := r.array()
	switch role := string(r.text()); {
	case r.bad != nil:
	case role == "master" && elements == 3:
		r.number()
		replicas := r.array()
		for left := replicas; left > 0 && r.bad == nil; left-- {
			r.skip()
		}
		return replicas > 0
	case role == "slave" && elements == 5: // and it refused what it was to accept
		for range elements - 1 {
			r.skip()
		}
	default:
		r.bad = fmt.Errorf("the server answers the role %.40q", role)
	}
	return true
}

// publishOutside lets the audience hear what the newest attempts have had accepted: not
// before, since what is refused is not to be heard of.
func (o *outgoing) publishOutside(ctx context.Context) {
	if !slices.ContainsFunc(o.events, o.isHeard) {
		return
	}
	var refused error
	_, err := o.link.do(ctx, func(*redis.Client) error {
		w := &o.link.wire
		w.begin(answerPatience)
		count := 0
		for i := range o.attempts {
			a := &o.attempts[i]
			for k := range a.events {
				if one := a.events[k]; o.isHeard(one) {
					o.text = a.request.Events[k].AppendJSON(o.text[:0])
					w.commands = appendArgument(append(w.commands, one.channel.publish...), o.text)
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
	if err = cmp.Or(refused, err); err != nil && o.written.complaints.allow(time.Now()) {
		o.server.options.Log.Warn("listeners outside cannot be told of events", "cause", o.server.target.clean(err.Error()))
	}
}

// isHeard reports whether an event has been accepted just now, and may have an audience.
func (o *outgoing) isHeard(one sending) bool {
	return !one.id.isZero() && !one.before && (o.audience.anywhere || one.channel.heard)
}
