package redis

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// parcel is requests that are accepted in one round trip. It is loaded, perhaps packed while another one has
// the connection, dispatched and answered. Its memory is used again.
type parcel struct {
	outgoing *outgoing
	requests []*remote.Request
	size     int       // their events
	attempts []attempt // one a request
	events   []sending

	draft   []byte // what a flight sends, if it has been packed; the XREAD is to come after so many bytes
	ahead   int
	flight  *flight           // nil for none
	flying  bool              // what is written is a flight's
	over    *redis.Client     // the connection on which it has been sent; nil: not yet
	began   uint64            // the newest time that was known then
	asked   []*channelWritten // whether somebody listens outside
	epoch   string            // that was in force
	refusal error             // of that question

	// Memory: of what is in hand, and of what Publish has told.
	read      []entry // by a flight
	text      []byte
	firsts    []int // of each stream its first event, in the request that is being written
	positions []event.Position
	places    []place // made anew for each round trip, since positions refer to them
}

// begin lets go of what the last Publish has told, and of what it has left behind in a panic.
func (p *parcel) begin() {
	p.empty()
	if clear(p.positions); cap(p.positions) > 4*maxPipelined {
		p.positions = nil
	}
	p.positions = p.positions[:0]
}

// load prepares as many requests as are sent at once, and returns the rest.
func (p *parcel) load(requests []*remote.Request) (rest []*remote.Request) {
	count, bytes := 0, 0
	p.size = 0
	for _, one := range requests {
		if count > 0 && (p.size+len(one.Events) > maxPipelined || bytes > maxPipelinedBytes) {
			break
		}
		count++
		p.size += len(one.Events)
		for _, ev := range one.Events {
			bytes += 2 * len(ev.Data)
		}
	}
	p.requests = requests[:count]
	p.prepare()
	return requests[count:]
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

// prepare makes attempts of the requests. What is due counts as done now, unless it is refused, or unpacked.
func (p *parcel) prepare() {
	p.positions = slices.Grow(p.positions, p.size)
	p.places = make([]place, 0, p.size)
	p.events = p.outgoing.written.visit(p.events[:0], p.requests, time.Now())
	left := p.events
	for _, one := range p.requests {
		count := len(one.Events)
		p.attempts = append(p.attempts, attempt{request: one, events: left[:count:count], form: formOf(one)})
		left = left[count:]
	}
}

// pack writes what is sent if the requests fly, so that it may be before their turn has come.
func (p *parcel) pack() {
	if p.size < crowd || !p.mayFly() {
		return
	}
	o := p.outgoing
	o.packing.Lock()
	defer o.packing.Unlock()
	p.flying = true
	w := wire{commands: p.draft[:0]}
	p.writeHead(&w)
	p.ahead = len(w.commands)
	p.writeBody(&w)
	p.draft = w.commands
	o.packed.Store(p)
}

var errUnsent = errors.New("it has not been sent")

// unpack has nothing come of what has been loaded.
func (p *parcel) unpack() {
	for i := range p.events {
		if p.events[i].due {
			p.events[i].untold = errUnsent
		}
	}
	p.outgoing.written.note(p.events)
	p.empty()
}

// empty lets go of what is in it.
func (p *parcel) empty() {
	clear(p.attempts)
	clear(p.events)
	p.attempts, p.events = p.attempts[:0], p.events[:0]
	if p.draft = p.draft[:0]; cap(p.draft) > maxIdle {
		p.draft = nil
	}
	p.flight, p.over, p.epoch, p.refusal = nil, nil, "", nil
}

// mayFly reports whether what has been prepared may be sent in one transaction.
func (p *parcel) mayFly() bool {
	return !slices.ContainsFunc(p.attempts, func(a attempt) bool { return a.form != single && a.form != together })
}

// dispatch sends the requests, on a connection.
func (p *parcel) dispatch(over *redis.Client) {
	o := p.outgoing
	p.over, p.began = over, o.clock
	if p.mayFly() {
		p.flight = o.server.flights.begin(p.size, o.link.peer.run)
	}
	if len(p.draft) == 0 || p.flight == nil {
		p.write()
		return
	}
	w := &o.link.wire
	w.begin(blockPatience + answerPatience)
	w.commands = p.flight.takeOff(append(w.commands, p.draft[:p.ahead]...))
	w.send()
	w.pass(p.draft[p.ahead:])
}

// write writes and sends what has been prepared.
func (p *parcel) write() {
	o := p.outgoing
	o.packing.Lock()
	defer o.packing.Unlock()
	p.flying = p.flight != nil
	w := &o.link.wire
	w.begin(blockPatience + answerPatience)
	p.writeHead(w)
	if p.flying {
		w.commands = p.flight.takeOff(w.commands)
	}
	p.writeBody(w)
	w.send()
}

// writeHead writes what comes before the events.
func (p *parcel) writeHead(w *wire) {
	w.commands = appendArgument(appendCommand(w.commands, "GET", 1), epochKey)
	for i := range p.attempts {
		w.commands = p.announce(w.commands, &p.attempts[i])
		w.spill()
	}
}

// writeBody writes the events, and what comes behind them.
func (p *parcel) writeBody(w *wire) {
	for i := range p.attempts {
		w.commands = p.add(w.commands, &p.attempts[i])
		w.spill()
	}
	if p.flying {
		w.commands = appendCommand(w.commands, "EXEC", 0)
	}
	for i := range p.attempts {
		w.commands = p.tend(w.commands, &p.attempts[i])
		w.spill()
	}
	w.commands = p.ask(w.commands)
}

// receive reads the answers. again says that a flight was refused, and nothing accepted.
func (p *parcel) receive(r reply) (again bool, err error) {
	o := p.outgoing
	var found, landed *brought
	defer func() { p.land(landed) }()
	if p.refusal = r.refusal(); p.refusal == nil {
		p.epoch = string(r.optional())
	}
	for i := range p.attempts {
		p.attempts[i].tended(&r)
	}
	if p.flight != nil {
		found, again = p.readFlight(&r)
	} else {
		for i := range p.attempts {
			p.attempts[i].read(&r, false)
		}
	}
	for i := range p.attempts {
		p.attempts[i].tended(&r)
	}
	o.audience.read(&r, p.asked)
	kept := false
	if found != nil {
		o.own.recognise(found.entries)
		kept = readEvents(found.entries)
	}
	landed = found // not before: after a panic the reader is to read it
	o.link.wire.done(&r, kept)
	if !again {
		return false, r.bad
	}
	for i := range p.attempts {
		a := &p.attempts[i]
		if r.bad == nil {
			a.err, a.refused = nil, nil
		} else {
			a.err = cmp.Or(a.err, r.bad)
		}
	}
	return r.bad == nil, r.bad
}

// land ends the flight, if it is one.
func (p *parcel) land(found *brought) {
	if p.flight != nil {
		p.outgoing.server.flights.land(p.flight, p.epoch, found, p.attempts)
		p.flight = nil
		clear(p.read)
	}
}

// isPlain reports whether everything was accepted, and nobody outside is to hear of it.
func (p *parcel) isPlain() bool {
	return !p.outgoing.audience.anywhere &&
		!slices.ContainsFunc(p.attempts, func(a attempt) bool { return a.err != nil || a.denied }) &&
		!slices.ContainsFunc(p.asked, func(one *channelWritten) bool { return one.heard })
}
