package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

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

// outgoing is what the publisher's goroutine has.
type outgoing struct {
	server *Server
	link   link
	flight *flight // under way; nil for none
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
	written  written
	audience audience

	// Memory: of what is in hand, and of what the newest Publish has told.
	attempts  []attempt
	events    []sending
	read      []entry // by a flight
	text      []byte
	firsts    []int // of each stream its first event, in the request that is being written
	positions []event.Position
	places    []place // made anew for each round trip, since positions refer to them
}

func (o *outgoing) open(s *Server) {
	o.server = s
	o.link.target = s.target
	o.link.introduce = o.introduce
	o.own = s.reading.tail.own
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
	s.outgoing.forgetPositions()
	for len(requests) > 0 {
		count, events, bytes := 0, 0, 0
		for _, one := range requests {
			if count > 0 && (events+len(one.Events) > maxPipelined || bytes > maxPipelinedBytes) {
				break
			}
			count++
			events += len(one.Events)
			for _, ev := range one.Events {
				bytes += 2 * len(ev.Data)
			}
		}
		if err := s.outgoing.send(ctx, requests[:count], events); err != nil {
			for _, one := range requests[count:] {
				one.Err = err
			}
			return
		}
		requests = requests[count:]
	}
}

// forgetPositions lets go of what the last Publish has told.
func (o *outgoing) forgetPositions() {
	if clear(o.positions); cap(o.positions) > 4*maxPipelined {
		o.positions = nil
	}
	o.positions = o.positions[:0]
}

// attempt is a request on its way.
type attempt struct {
	request *remote.Request
	events  []sending // one an event
	form    form
	err     error
	refused *channelWritten // whose event err is about; nil where that is not told
	guarded bool            // a script ends the transaction
	denied  bool            // MULTI was refused: the commands were executed one by one
}

// sending is an event on its way.
type sending struct {
	channel *channelWritten
	due     bool     // its channel is announced and trimmed with it
	untold  error    // why that failed
	id      streamID // once it has been accepted
	hash    uint64   // of the channel on which that was
	doubted bool     // an earlier request of this node may have had it accepted
	again   bool     // it was before, and
	before  bool     // not by an earlier attempt of this request
	fresh   bool     // it has been now, for all who listen
}

// send lets the server accept requests, of so many events, in one round trip. The error
// says that no more need be tried now.
func (o *outgoing) send(ctx context.Context, requests []*remote.Request, events int) error {
	var epoch string
	var refusal error
	var began uint64 // the newest time that was known before
	sent, err := o.link.do(ctx, func(*redis.Client) error {
		o.prepare(requests, events) // not before: what is due counts as done, unless it is refused
		began = o.clock
		if o.flies() {
			o.flight = o.server.flights.begin(events, o.link.peer.run)
		}
		again, err := o.exchange(&epoch, &refusal)
		if again { // in which each request is accepted or refused by itself
			_, err = o.exchange(&epoch, &refusal)
		}
		return err
	})
	if !sent {
		for _, one := range requests {
			one.Err = err
		}
		return err
	}
	if err != nil {
		doubt := o.link.peer
		o.doubt = &doubt
		if epoch != "" {
			o.epoch = epoch
		}
	} else if err := o.learn(ctx, epoch, refusal); err != nil {
		// The requests were accepted; only which epoch their positions are of is unknown.
		o.server.options.Log.Warn("the epoch of Redis cannot be read", "cause", err.Error())
	}
	denied := false
	for i := range o.attempts {
		o.settle(&o.attempts[i], began)
		denied = denied || o.attempts[i].denied
	}
	if err != nil { // what was accepted before the connection broke is to be heard all the same
		soon, cancel := remote.Soon(ctx)
		defer cancel()
		ctx = soon
	}
	o.publishOutside(ctx)
	o.written.note(o.events)
	clear(o.attempts)
	clear(o.events)
	if denied {
		o.link.drop() // one without transactions is not used
	}
	return err
}

// flies reports whether what is prepared may be sent in one transaction.
func (o *outgoing) flies() bool {
	return !slices.ContainsFunc(o.attempts, func(a attempt) bool { return a.form == known })
}

// exchange sends the attempts and reads the answers. again says that a flight was refused, and nothing accepted.
func (o *outgoing) exchange(epoch *string, refusal *error) (again bool, err error) {
	one := o.flight
	var found *brought
	defer func() {
		o.flight = nil
		if one != nil {
			o.server.flights.land(one, *epoch, found, o.attempts)
			clear(o.read)
		}
	}()
	w := &o.link.wire
	w.begin(blockPatience + answerPatience)
	w.commands = appendArgument(appendCommand(w.commands, "GET", 1), epochKey)
	for i := range o.attempts {
		w.commands = o.announce(w.commands, &o.attempts[i])
		w.spill()
	}
	if one != nil {
		w.commands = one.takeOff(w.commands)
	}
	for i := range o.attempts {
		w.commands = o.add(w.commands, &o.attempts[i], one != nil)
		w.spill()
	}
	if one != nil {
		w.commands = appendCommand(w.commands, "EXEC", 0)
	}
	for i := range o.attempts {
		w.commands = o.tend(w.commands, &o.attempts[i])
		w.spill()
	}
	w.commands = o.audience.ask(w.commands, o.events)
	w.send()

	r := w.answer()
	if *refusal = r.refusal(); *refusal == nil {
		*epoch = string(r.optional())
	}
	for i := range o.attempts {
		o.attempts[i].tended(&r)
	}
	if one != nil {
		found, again = o.readFlight(&r, one)
	} else {
		for i := range o.attempts {
			o.attempts[i].read(&r, false)
		}
	}
	for i := range o.attempts {
		o.attempts[i].tended(&r)
	}
	o.audience.read(&r)
	kept := false
	if found != nil {
		o.own.recognise(found.entries)
		kept = readEvents(found.entries)
	}
	w.done(&r, kept)
	if !again {
		return false, r.bad
	}
	for i := range o.attempts {
		a := &o.attempts[i]
		if r.bad == nil {
			a.err, a.refused = nil, nil
		} else {
			a.err = cmp.Or(a.err, r.bad)
		}
	}
	return r.bad == nil, r.bad
}

// prepare makes attempts of requests.
func (o *outgoing) prepare(requests []*remote.Request, events int) {
	o.positions = slices.Grow(o.positions, events)
	o.places = make([]place, 0, events)
	o.events = o.written.visit(o.events[:0], requests, time.Now())
	o.attempts = o.attempts[:0]
	left := o.events
	for _, one := range requests {
		count := len(one.Events)
		o.attempts = append(o.attempts, attempt{request: one, events: left[:count:count], form: formOf(one)})
		left = left[count:]
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

// settle sets a request's outcome. before is a time of the server's before the attempt.
func (o *outgoing) settle(a *attempt, before uint64) {
	r := a.request
	switch {
	case a.err == nil:
		o.accept(a)
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
			after = streamID{ms: before - min(before, clockSlack)}
			r.Note = after
		}
		for _, ev := range r.Events {
			o.doubts.note(ev, after)
		}
	}
}

// accept gives the events of a request their positions.
func (o *outgoing) accept(a *attempt) {
	first := len(o.positions)
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
		o.places = append(o.places, at)
		o.positions = append(o.positions, event.Position{Epoch: o.epoch, Place: &o.places[len(o.places)-1]})
	}
	a.request.Positions = o.positions[first:len(o.positions):len(o.positions)]
}
