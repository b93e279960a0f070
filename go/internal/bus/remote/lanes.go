package remote

import (
	"context"
	"sync"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

// maxPending is how many events may have been read and not dispatched: the reader
// waits, and the server keeps the rest.
const maxPending = 10_000

// lanes are the events that have been read and not yet dispatched: one in the reader's
// hand, and those of channels whose turn is a thread of the engine's. Guarded by
// Bus.mu.
type lanes struct {
	last       uint64 // offset of the newest event read: its place in this node's order
	dispatched uint64
	pending    int
	read       Mark // after the newest item read; nil before the first connection
	reached    Mark // after the newest one that is dispatched or in a lane
	inHand     uint64
	byChannel  map[string]*lane
	room       *sync.Cond
}

// lane is the order of one channel while it waits for Python.
type lane struct {
	channel string
	jobs    []*job // oldest first, the first one being dispatched
}

// job is an event in a lane. delivery belongs to the thread that runs the lane.
type job struct {
	item     Item
	delivery bus.Delivery // nil until it is the first
}

func (l *lanes) open(mu *sync.Mutex) {
	l.byChannel = make(map[string]*lane)
	l.room = sync.NewCond(mu)
}

// awaitRoom waits while too many events are pending. Bus.mu is let go meanwhile.
func (l *lanes) awaitRoom(ctx context.Context) {
	if l.pending < maxPending {
		return
	}
	stop := context.AfterFunc(ctx, l.room.Broadcast)
	defer stop()
	for l.pending >= maxPending && ctx.Err() == nil {
		l.room.Wait()
	}
}

// accept gives an event its offset, and puts it into its channel's lane if there is
// one: otherwise it is in the reader's hand.
func (l *lanes) accept(item Item) *lane {
	l.last++
	l.pending++
	item.Event.Offset = l.last
	found := l.byChannel[item.Event.Channel]
	if found == nil {
		l.inHand = l.last
		return nil
	}
	found.jobs = append(found.jobs, &job{item: item})
	l.reached = item.Mark
	return found
}

// begin makes a lane for the event in hand.
func (l *lanes) begin(item Item, delivery bus.Delivery) *lane {
	made := &lane{channel: item.Event.Channel, jobs: []*job{{item, delivery}}}
	l.byChannel[made.channel] = made
	l.inHand, l.reached = 0, item.Mark
	return made
}

// finishInHand notes that the event in hand has been dispatched.
func (l *lanes) finishInHand(item Item) {
	l.inHand, l.reached = 0, item.Mark
	l.finish()
}

// pop notes that the first event of a lane has been dispatched. An empty lane ends.
func (l *lanes) pop(from *lane) {
	from.jobs[0] = nil
	from.jobs = from.jobs[1:]
	if len(from.jobs) == 0 {
		delete(l.byChannel, from.channel)
	}
	l.finish()
}

func (l *lanes) finish() {
	l.pending--
	l.dispatched++
	if l.pending == maxPending-1 {
		l.room.Broadcast()
	}
}

func (l *lane) first() *job {
	if len(l.jobs) == 0 {
		return nil
	}
	return l.jobs[0]
}

// oldestPending is, of each channel that has a lane, the oldest event that is not
// dispatched. That of own, whose first event is being delivered, is the one behind it.
func (l *lanes) oldestPending(own *lane) (pending []Item) {
	for _, one := range l.byChannel {
		jobs := one.jobs
		if one == own {
			jobs = jobs[1:]
		}
		if len(jobs) > 0 {
			pending = append(pending, jobs[0].item)
		}
	}
	return pending
}

// oldest is the offset of the oldest event that is not dispatched.
func (l *lanes) oldest() (offset uint64, some bool) {
	offset, some = l.inHand, l.inHand != 0
	for _, one := range l.byChannel {
		if first := one.jobs[0].item.Event.Offset; !some || first < offset {
			offset, some = first, true
		}
	}
	return offset, some
}
