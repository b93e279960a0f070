package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	// place is behind everything that this node has published: its positions tell its own
	// events of one millisecond apart.
	place place
	epoch string
	// clock is the newest time of the server's that is known here: what is written from
	// now on has no earlier one.
	clock uint64
	// positions and cursors are memory for those of the requests in hand.
	positions []event.Position
	cursors   []cursor
	// doubt is the connection that may still hold what was sent over it; nil for none.
	doubt *peer

	// keys are what is sent for a channel, by its name.
	keys map[string]*keys

	mu         sync.Mutex
	channels   map[string]*written
	pruned     time.Time
	complaints occasional
}

// keys are a channel's name and its stream's as arguments of commands, and its hash.
type keys struct {
	name, stream any
	hash         uint64
}

// maxKeys bounds how many channels' keys are kept.
const maxKeys = 10_000

func (o *outgoing) keysOf(channel string) *keys {
	known := o.keys[channel]
	if known == nil {
		if len(o.keys) >= maxKeys {
			clear(o.keys)
		}
		known = &keys{channel, streamPrefix + channel, hashChannel(channel)}
		o.keys[channel] = known
	}
	return known
}

// written is a channel that this node publishes on. Guarded by outgoing.mu.
type written struct {
	tended time.Time // announced and trimmed
	count  int64     // of events since
	last   streamID
	at     time.Time // of the last
}

func (o *outgoing) open(s *Server) {
	o.server = s
	o.link.target = s.target
	o.link.introduce = o.introduce
	o.channels = make(map[string]*written)
	o.keys = make(map[string]*keys)
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
		if err := s.outgoing.send(ctx, requests[:count]); err != nil {
			for _, one := range requests[count:] {
				one.Err = err
			}
			return
		}
		requests = requests[count:]
	}
}

// attempt is a request on its way.
type attempt struct {
	request *remote.Request
	single  *redis.StringCmd // XADD, of one event
	keys    *keys            // of that
	script  *redis.Cmd       // of several, or of one that may be there already
	tending []tending
	id      [1]streamID // room for that of a single event
}

// tending is what is done for a channel with a request.
type tending struct {
	channel         string
	announced, done *redis.Cmd
}

// send lets the server accept requests, in one round trip. The error says that no more
// need be tried now.
func (o *outgoing) send(ctx context.Context, requests []*remote.Request) error {
	attempts := make([]attempt, 0, len(requests))
	var epoch *redis.StringCmd
	var began uint64 // the newest time that was known before
	sent, err := o.link.do(ctx, func(client *redis.Client) error {
		began = o.clock
		pipe := client.Pipeline()
		epoch = pipe.Get(ctx, epochKey)
		now := time.Now()
		room := make([]any, 0, 8*len(requests))
		for _, one := range requests {
			attempts = append(attempts, o.add(ctx, pipe, one, now, &room))
		}
		commands, _ := pipe.Exec(ctx) // its error is that of the first command that has one
		for _, command := range commands {
			if !isReply(command.Err()) {
				return command.Err()
			}
		}
		return nil
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
	} else if err := o.learn(ctx, epoch); err != nil {
		// The requests were accepted; only which epoch their positions are of is unknown.
		o.server.options.Log.Warn("the epoch of Redis cannot be read", "cause", err.Error())
	}
	o.positions = make([]event.Position, 0, len(attempts))
	o.cursors = make([]cursor, 0, len(attempts))
	for i := range attempts {
		o.settle(&attempts[i], began)
	}
	return err
}

// learn notes the epoch that positions are of. Where there is none, Redis has lost
// everything.
func (o *outgoing) learn(ctx context.Context, answer *redis.StringCmd) error {
	epoch, err := answer.Result()
	if errors.Is(err, redis.Nil) {
		_, err = o.link.do(ctx, func(client *redis.Client) (err error) {
			epoch, err = o.server.renew(ctx, client, "", o.epoch != "")
			return err
		})
	}
	if err != nil {
		return err
	}
	if epoch != o.epoch {
		o.epoch = epoch
	}
	return nil
}

// add puts a request into the pipeline. room is memory for the arguments of single events.
func (o *outgoing) add(ctx context.Context, pipe redis.Pipeliner, r *remote.Request, now time.Time, room *[]any) attempt {
	a := attempt{request: r}
	due := o.due(r.Events, now)
	for _, name := range due {
		c := call{}
		c.key(channelsKey, usedKey, floorsKey, streamPrefix+name)
		c.argument(name, o.server.options.horizon().Milliseconds(), o.server.options.tending().Milliseconds())
		a.tending = append(a.tending, tending{channel: name, announced: c.run(ctx, pipe, announceScript)})
	}
	if len(r.Events) == 1 && !r.Events[0].ChosenID && !r.Doubtful {
		a.keys = o.keysOf(r.Events[0].Channel)
		var data any = o.encode(r.Events[0])
		*room = append(*room, "xadd", a.keys.stream, "*", dataField, data, "publish", a.keys.name, data)
		own := (*room)[len(*room)-8:]
		a.single = redis.NewStringCmd(ctx, own[:5:5]...)
		_ = pipe.Process(ctx, a.single)
		_ = pipe.Process(ctx, redis.NewIntCmd(ctx, own[5:]...))
	} else {
		a.script = o.together(ctx, pipe, r)
	}
	for i, name := range due {
		c := call{}
		c.key(floorsKey, streamPrefix+name)
		c.argument(name, o.server.options.Retention.Milliseconds(), o.server.options.horizon().Milliseconds(), max(o.server.options.MaxLen, 0))
		a.tending[i].done = c.run(ctx, pipe, tendScript)
	}
	return a
}

// encode is an event as it is sent. If it comes back it will be known.
func (o *outgoing) encode(ev *event.Event) []byte {
	text := ev.AppendJSON(nil)
	if o.server.interests.follows(ev.Channel) {
		o.server.sent.add(ev, text)
	}
	return text
}

// clockSlack is by how much the server's clock may go back between two attempts, in
// milliseconds.
const clockSlack = 1000

// together runs the script that accepts all of a request or nothing.
func (o *outgoing) together(ctx context.Context, pipe redis.Pipeliner, r *remote.Request) *redis.Cmd {
	c := call{keys: make([]string, 0, 2*len(r.Events)), arguments: make([]any, 0, 1+4*len(r.Events))}
	c.argument(o.server.options.Retention.Milliseconds())
	after := ""
	if first, ok := r.Note.(streamID); ok && r.Doubtful {
		after = first.String()
	}
	for _, ev := range r.Events {
		stream := streamPrefix + ev.Channel
		noted := stream
		if ev.ChosenID {
			noted = idPrefix + ev.ID
		}
		c.key(stream, noted)
		data := o.encode(ev)
		c.argument(ev.Channel, data, data[:len(ev.AppendID(nil))], after)
	}
	return c.run(ctx, pipe, publishScript)
}

// settle sets a request's outcome. before is a time of the server's before the attempt.
func (o *outgoing) settle(a *attempt, before uint64) {
	r := a.request
	var ids []streamID
	var err error
	key := ""
	if a.single != nil {
		key, _ = a.keys.stream.(string)
		ids, err = o.settleSingle(a)
	} else {
		ids, err = o.settleScript(r, a.script)
	}
	o.note(a, ids)
	switch {
	case err == nil:
		r.Err = nil
	case isReply(err):
		r.Err = o.server.target.refusal(err, key)
	default:
		r.Err = fmt.Errorf("%w: %w", remote.ErrDoubtful, err)
		if r.Note == nil {
			r.Note = streamID{ms: before - min(before, clockSlack)}
		}
	}
}

func (o *outgoing) settleSingle(a *attempt) ([]streamID, error) {
	text, err := a.single.Result()
	if err != nil {
		return nil, err
	}
	id, ok := parseID(text)
	if !ok {
		return nil, fmt.Errorf("the server answers %q to XADD", text)
	}
	o.positions = append(o.positions, o.accept(a.keys.hash, id))
	a.request.Positions, a.request.Repeated = o.positions[len(o.positions)-1:len(o.positions):len(o.positions)], nil
	a.id[0] = id
	return a.id[:], nil
}

// settleScript gives zero ids to events that had been accepted before.
func (o *outgoing) settleScript(r *remote.Request, command *redis.Cmd) ([]streamID, error) {
	answer, err := command.Slice()
	if err != nil {
		return nil, err
	}
	const width = 3
	wrong := fmt.Errorf("the server answers %v about %d events", answer, len(r.Events))
	if len(answer) != width*len(r.Events) {
		return nil, wrong
	}
	ids, positions, repeated := make([]streamID, len(r.Events)), make([]event.Position, len(r.Events)), make([]bool, len(r.Events))
	for i := range r.Events {
		text, _ := answer[width*i].(string)
		channel, isText := answer[width*i+1].(string)
		again, isNumber := answer[width*i+2].(int64)
		id, ok := parseID(text)
		if !ok || !isText || !isNumber {
			return nil, wrong
		}
		if repeated[i] = again == 1; repeated[i] {
			positions[i] = o.position(place{}.pass(hashChannel(channel), id))
		} else {
			ids[i], positions[i] = id, o.accept(hashChannel(channel), id)
		}
	}
	r.Positions, r.Repeated = positions, repeated
	return ids, nil
}

func (o *outgoing) position(at place) event.Position {
	o.cursors = append(o.cursors, cursor{at: at}) // it may move; the ones before stay where they are
	return event.Position{Epoch: o.epoch, Place: &o.cursors[len(o.cursors)-1]}
}

// accept is the position of an event that was accepted now.
func (o *outgoing) accept(channel uint64, id streamID) event.Position {
	if id.ms < o.place.ms { // the clock went back; the reader sees to it
		return o.position(place{}.pass(channel, id))
	}
	o.place = o.place.pass(channel, id)
	o.clock = max(o.clock, id.ms)
	return o.position(o.place)
}

// due are the channels of events that have not been tended for a while.
func (o *outgoing) due(events []*event.Event, now time.Time) (names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.pruned) > o.server.options.tending() {
		o.prune(now)
	}
	for _, ev := range events {
		w := o.channels[ev.Channel]
		if w == nil {
			w = &written{}
			o.channels[ev.Channel] = w
		}
		w.count++
		w.at = now
		full := o.server.options.MaxLen > 0 && w.count > max(o.server.options.MaxLen/8, 100)
		if full || now.Sub(w.tended) >= o.server.options.tending() {
			w.count = 0
			w.tended = now
			names = append(names, ev.Channel)
		}
	}
	return names
}

// note keeps what was accepted, nil ids for nothing. A channel that could not be tended
// is due again.
func (o *outgoing) note(a *attempt, ids []streamID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, id := range ids {
		if w := o.channels[a.request.Events[i].Channel]; w != nil && !id.isZero() {
			w.last = id
		}
	}
	for _, one := range a.tending {
		err := one.announced.Err()
		if err == nil {
			err = one.done.Err()
		}
		if err == nil {
			continue
		}
		if w := o.channels[one.channel]; w != nil {
			w.tended = time.Time{}
		}
		if isReply(err) && o.complaints.allow(time.Now()) {
			o.server.options.Log.Warn("a channel cannot be announced and trimmed; it is tried again with its next event", "channel", one.channel, "cause", o.server.target.clean(replyOf(err)))
		}
	}
}

// prune forgets channels that nothing was published on for long. o.mu is held.
func (o *outgoing) prune(now time.Time) {
	o.pruned = now
	for name, one := range o.channels {
		if now.Sub(one.at) > o.server.options.horizon() {
			delete(o.channels, name)
		}
	}
}

// newest are the newest events that this node has published, by their channels.
func (o *outgoing) newest() map[string]streamID {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make(map[string]streamID, len(o.channels))
	for name, one := range o.channels {
		if !one.last.isZero() {
			all[name] = one.last
		}
	}
	return all
}

// forget lets every channel be announced again: the announcements are lost.
func (o *outgoing) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.channels)
}
