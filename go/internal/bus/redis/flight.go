package redis

import (
	"context"
	"sync"
	"time"
)

// An event that this node publishes and reads again passes Redis twice: XREAD sends back what XADD has brought, and
// looking at each of 100 streams takes Redis 55 µs beside that. So the transaction that adds a crowd of events reads
// first. Nothing comes between its commands: its XREAD shows all that was there before, and what it adds then is known
// by the ids that are answered. Together this is what the reader would have read, in the order in which Redis has
// executed it. The reader only waits for it, and asks Redis itself when no crowd is published.

const (
	// crowd is from how many events on a transaction reads, and after how many read at once the reader waits
	// for another one, if this node has published one lately.
	crowd = 128
	// flightPatience is how long the reader waits for a flight to begin: publishers that have just been told of
	// their events publish the next ones. Reading too soon, it has the next crowd sent back, too; and others' events
	// wait no longer than during a flight.
	flightPatience = 3 * time.Millisecond
	// landingPatience is how long it waits for one to land, before it reads by itself what others have written.
	landingPatience = 100 * time.Millisecond
	// mostLanded is how many entries may wait for the reader before flights leave the next ones to Redis.
	mostLanded = 4 * maxPipelined
)

// flights are the transactions that read, one at a time.
type flights struct {
	mu sync.Mutex
	// tail is what reads the streams. It is the reader's while reading is set and no flight is current,
	// otherwise that of who holds mu.
	tail    *tail
	reading bool    // the reader reads, or will when no flight is current: none begins
	crowds  bool    // are published, since the reader has taken the tail
	run     string  // of the server that tail is read from
	current *flight // whose answer is awaited; nil: none is
	landed  []entry // what flights have brought
	news    chan struct{}

	taken   []entry // memory: what the reader has taken
	command []byte  // memory: the current flight's XREAD
}

// flight is a transaction that reads.
type flight struct {
	asked   []*stream
	command []byte // the XREAD
	batch   int
	begun   time.Time
}

// open gives the tail to the reader.
func (f *flights) open(t *tail) {
	f.tail, f.reading = t, true
	f.news = make(chan struct{}, 1)
}

// begin lets a transaction of so many events read what a server's run has for the reader. nil: it is not to,
// since there are few events, or the reader is about to read, or has to put things right.
func (f *flights) begin(events int, run string) *flight {
	if events < crowd {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crowds = true
	t := f.tail
	if f.reading || f.current != nil || len(f.landed) >= mostLanded || run != f.run || !t.isCalm() || len(t.byKey) > events {
		return nil
	}
	f.command = t.appendRead(f.command[:0], false, 0)
	f.current = &flight{asked: t.ordered, command: f.command, batch: t.batch, begun: time.Now()}
	return f.current
}

// land ends a flight. What it has brought counts as read, unless the reader has ceased to wait; nil: it has read
// nothing, so the reader is to. epoch was in force before it.
func (f *flights) land(one *flight, epoch string, found *brought, attempts []attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != one {
		return
	}
	f.current = nil
	if found == nil || epoch != f.tail.epoch {
		f.reading = true // the next one may read nothing either
	} else {
		given := f.tail.passTransaction(found, attempts)
		f.landed = append(f.landed, given...)
		for i := range given {
			f.reading = f.reading || given[i].notice.isLoss()
		}
	}
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// await gives what flights have brought, until it is called again. Otherwise the reader is to read the tail, which is
// its own until it calls release: because no flight is under way, and none begins soon where another crowd may come;
// because one takes too long; or because the reader must.
func (f *flights) await(ctx context.Context, another, mustRead bool) []entry {
	begun := time.Now()
	var timer *time.Timer
	for {
		wait := f.take(begun, another, mustRead, ctx.Err() != nil)
		if wait == 0 {
			return f.taken
		}
		if timer == nil {
			timer = time.NewTimer(wait)
			defer timer.Stop()
		} else {
			timer.Reset(wait)
		}
		select {
		case <-f.news:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// take takes what has landed, or else the tail, or tells how long to wait for them.
func (f *flights) take(begun time.Time, another, mustRead, ended bool) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.taken)
	f.taken = f.taken[:0]
	f.reading = f.reading || mustRead
	switch {
	case len(f.landed) > 0:
		f.taken, f.landed = f.landed, f.taken
		return 0
	case ended:
	case f.current != nil:
		wait = time.Until(f.current.begun.Add(landingPatience))
	case another && f.crowds && !f.reading && f.tail.isCalm():
		wait = time.Until(begun.Add(flightPatience))
	}
	if wait > 0 {
		return wait
	}
	f.current, f.reading, f.crowds = nil, true, false
	return 0
}

// reclaim gives the tail to the reader, whatever is under way.
func (f *flights) reclaim() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current, f.reading = nil, true
}

// release lets flights read again, from a server's run.
func (f *flights) release(run string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading, f.run = false, run
}

// takeOff appends the beginning of a flight's transaction.
func (one *flight) takeOff(dst []byte) []byte {
	return append(appendCommand(dst, "MULTI", 0), one.command...)
}

// readFlight reads what answers a flight's transaction. Where one of its commands is refused before it is executed, none is:
// refused says so, and nothing else has come of it.
func (p *parcel) readFlight(r *reply) (found *brought, refused bool) {
	denied := r.refusal() != nil // as in readTogether
	if !denied {
		r.line('+')
		queued := r.refusal()
		if queued == nil {
			r.line('+')
		}
		commands := 1
		for i := range p.attempts {
			a := &p.attempts[i]
			commands += a.commands()
			a.readQueued(r)
		}
		if r.refusal() != nil {
			return nil, true
		}
		r.counted(commands)
	}
	read, err := r.streams(p.flight.asked, p.flight.batch, p.read[:0])
	p.read = read.entries
	complete := err == nil && !denied
	for i := range p.attempts {
		a := &p.attempts[i]
		a.denied = denied
		a.read(r, true)
		complete = complete && a.err == nil
	}
	if denied {
		r.refusal() // EXEC's
	}
	if !complete || r.bad != nil {
		return nil, false
	}
	return &read, false
}
