package redis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

const (
	// maxPipelined bounds the events and the bytes that are sent before answers are read:
	// what one lost connection makes doubtful.
	maxPipelined      = 1000
	maxPipelinedBytes = 4 << 20
)

// outgoing is what publishes, on one connection. It is used by whoever has the turn, but for what is said to be others', too.
type outgoing struct {
	server *Server
	link   link
	own    own
	// place is behind everything that this node has published: its positions tell its own
	// events of one millisecond apart.
	place place
	epoch string
	// clock is the newest time of the server's that is known here: what is written from
	// now on has no earlier one.
	clock uint64
	// doubt is the connection that may still hold what was sent over it; nil for none.
	doubt    *peer
	doubts   doubts
	written  written // others', too
	audience audience

	parcels [2]parcel // each turn's own
	// packed is the next turn's parcel, if it may be sent before that turn has come.
	packed  atomic.Pointer[parcel]
	packing sync.Mutex // held by who writes: what is noted of a channel meanwhile is one parcel's
}

func (o *outgoing) open(s *Server) {
	o.server = s
	o.link.target = s.target
	o.link.introduce = o.introduce
	o.own = s.reading.tail.own
	for i := range o.parcels {
		o.parcels[i].outgoing = o
	}
	o.written.open(s)
}

// introduce makes sure, on a new connection, that nothing sent over the last one is still
// to be executed: only then an event that is not in its stream was not accepted.
func (o *outgoing) introduce(ctx context.Context, client *redis.Client, p peer) error {
	o.clock = max(o.clock, p.clock.ms)
	if o.doubt == nil || o.doubt.run != p.run {
		o.doubt = nil // that server has ended, and its connections with it
		return nil
	}
	err := client.ClientKillByFilter(ctx, "ID", fmt.Sprint(o.doubt.number)).Err()
	switch {
	case err == nil:
	case isReply(err):
		o.server.options.Log.Warn("the Redis user may not end its own lost connections (CLIENT KILL); an event whose answer was lost could be accepted twice", "cause", o.server.target.clean(replyOf(err)))
	default:
		return err
	}
	o.doubt = nil
	return nil
}

// Publish implements remote.Server.
func (s *Server) Publish(ctx context.Context, requests []*remote.Request) {
	s.Turn(nil).Publish(ctx, requests)
}

// publish lets requests be accepted when a turn comes, in as many round trips as they need. open is why some are to be
// tried again.
func (o *outgoing) publish(ctx context.Context, t *turn, requests []*remote.Request) (open error) {
	p := t.parcel
	p.begin()
	defer func() { p.requests = nil }()
	rest := p.load(requests)
	if t.waits() {
		p.pack()
	}
	behind := t.await()
	o.packed.CompareAndSwap(p, nil)
	if behind != nil && p.over == nil {
		p.unpack()
		giveUp(requests, heldUp(behind))
		return behind
	}
	for {
		sent, err := o.exchange(ctx, p)
		if !sent {
			p.unpack()
			giveUp(p.requests, err)
		} else {
			plain := err == nil && p.isPlain()
			if plain && len(rest) == 0 {
				o.sendNext(ctx)
			}
			o.conclude(ctx, p, plain, err)
		}
		if err != nil {
			giveUp(rest, err)
			return err
		}
		if i := slices.IndexFunc(p.requests, (*remote.Request).IsOpen); i >= 0 {
			open = p.requests[i].Err
			giveUp(rest, heldUp(open))
			return open
		}
		if len(rest) == 0 {
			return nil
		}
		rest = p.load(rest)
	}
}

// heldUp is the outcome of what is behind something that is to be tried again for a cause.
func heldUp(cause error) error {
	return fmt.Errorf("%w: what was published before is to be tried again first: %v", remote.ErrBusy, cause)
}

func giveUp(requests []*remote.Request, err error) {
	for _, one := range requests {
		one.Err = err
	}
}

// exchange sends a parcel, if it has not been, and reads the answers. The error says that no more need be tried now; without
// sent, nothing has come of it.
func (o *outgoing) exchange(ctx context.Context, p *parcel) (sent bool, err error) {
	if p.over == nil {
		if err := o.seek(ctx, p); err != nil {
			return false, err
		}
	}
	if p.over != nil && p.over != o.link.client { // the answers are lost with that connection
		_, err = p.receive(reply{bad: errGone})
		sent, err = true, o.link.target.refusal(err, "")
	} else {
		sent, err = o.link.do(ctx, func(client *redis.Client) error {
			if p.over == nil {
				p.dispatch(client)
			}
			w := &o.link.wire
			again, err := p.receive(w.answer())
			if again { // in which each request is accepted or refused by itself
				p.write()
				_, err = p.receive(w.answer())
			}
			return err
		})
	}
	if !sent {
		return false, err
	}
	if err != nil {
		doubt := o.link.peer
		o.doubt = &doubt
		if p.epoch != "" {
			o.epoch = p.epoch
		}
	} else if err := o.learn(ctx, p.epoch, p.refusal); err != nil {
		// The requests were accepted; only which epoch their positions are of is unknown.
		o.server.options.Log.Warn("the epoch of Redis cannot be read", "cause", err.Error())
	}
	return true, err
}

// conclude sets the outcome of what has been answered. plain: nobody outside is to hear of it, and the next parcel may be
// on its way. err: the connection broke meanwhile.
func (o *outgoing) conclude(ctx context.Context, p *parcel, plain bool, err error) {
	denied := false
	for i := range p.attempts {
		o.settle(p, &p.attempts[i])
		denied = denied || p.attempts[i].denied
	}
	if err != nil { // what was accepted before is to be heard all the same
		soon, cancel := remote.Soon(ctx)
		defer cancel()
		ctx = soon
	}
	if !plain {
		o.publishOutside(ctx, p)
	}
	o.written.note(p.events)
	p.empty()
	if denied {
		o.link.drop() // one without transactions is not used
	}
}

// sendNext sends the next turn's parcel, if it has been packed. It is answered in its turn, which tells what went wrong.
func (o *outgoing) sendNext(ctx context.Context) {
	if o.link.client == nil || ctx.Err() != nil {
		return
	}
	if next := o.packed.Swap(nil); next != nil {
		_, _ = o.link.do(ctx, func(client *redis.Client) error {
			next.dispatch(client)
			return nil
		})
	}
}

// learn notes the epoch that positions are of. Where there is none, Redis has lost
// everything.
func (o *outgoing) learn(ctx context.Context, epoch string, err error) error {
	if err == nil && epoch == "" {
		_, err = o.link.do(ctx, func(client *redis.Client) (err error) {
			epoch, err = o.server.renew(ctx, client, "", o.epoch != "")
			return err
		})
	}
	if err == nil {
		o.epoch = epoch
	}
	return err
}

// clockSlack is by how much the server's clock may go back between two attempts, in
// milliseconds.
const clockSlack = 1000

// settle sets a request's outcome.
func (o *outgoing) settle(p *parcel, a *attempt) {
	r := a.request
	switch {
	case a.err == nil:
		o.accept(p, a)
		r.Err = nil
	case isReply(a.err):
		key := ""
		if a.refused != nil {
			key = streamPrefix + a.refused.name
		}
		r.Err = o.server.target.refusal(a.err, key)
	default:
		r.Err = fmt.Errorf("%w: %w", remote.ErrDoubtful, a.err)
		after, noted := r.Note.(streamID)
		if !noted {
			after = streamID{ms: p.began - min(p.began, clockSlack)}
			r.Note = after
		}
		for _, ev := range r.Events {
			o.doubts.note(ev, after)
		}
	}
}

// accept gives the events of a request their positions.
func (o *outgoing) accept(p *parcel, a *attempt) {
	first := len(p.positions)
	a.request.Repeated = nil
	for i := range a.events {
		one := &a.events[i]
		one.fresh = !one.before
		at := place{}
		switch {
		case one.again:
			if one.before && a.request.Repeated == nil {
				a.request.Repeated = make([]bool, len(a.events))
			}
			if one.before {
				a.request.Repeated[i] = true
			}
			at = at.pass(one.hash, one.id)
		case one.id.ms < o.place.ms: // the clock went back; the reader sees to it
			at = at.pass(one.hash, one.id)
		default:
			o.place = o.place.pass(one.hash, one.id)
			o.clock = max(o.clock, one.id.ms)
			at = o.place
		}
		p.places = append(p.places, at)
		p.positions = append(p.positions, event.Position{Epoch: o.epoch, Place: &p.places[len(p.places)-1]})
	}
	a.request.Positions = p.positions[first:len(p.positions):len(p.positions)]
}
