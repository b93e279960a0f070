package remote

import (
	"cmp"
	"slices"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

const (
	// calm is after how many batches a crowd counts as gone.
	calm = 8
	// mostTaken bounds the events of a batch of several requests: those behind them are told no later
	// than it takes, and meanwhile their publishers make the next ones.
	mostTaken = 1000
)

// line is what waits to be accepted, and what publishers have in their hands. Guarded by Bus.mu.
type line struct {
	queue       []*request             // to be accepted, oldest first
	waiting     int                    // events in it
	added       uint64                 // requests, since the bus was opened
	newestTaken uint64                 // the number of the newest that was taken
	underWay    []*batch               // in the hands of publishers,
	publishers  int                    // of which there may be so many
	turn        func(before Turn) Turn // the server's, if it is a Pipeliner
	calm        int                    // batches since there were more requests at once
	forsaken    int                    // of them and of the queue: events whose publisher has ceased to wait
	wake        chan struct{}
	gaps        []gap
}

// request is a publish on its way to the server.
type request struct {
	Request
	number  uint64   // in the order in which they came
	tickets []ticket // one an event
	// ordered requests do not overtake each other: their publishers may have published others
	// before without having waited, or their ids may be others', too.
	ordered bool
	// atOnce: whoever published has no need of tickets for what is done already. Once they are sent,
	// the events themselves are their dispatch's, which may take the publisher's account off them.
	atOnce   bool
	deadline time.Time
	failure  error // of the newest attempt
}

// batch is requests in the hands of a publisher.
type batch struct {
	requests []*request
	turn     Turn // nil: the server is no Pipeliner
}

// gap is an Item.Skipped, for what is accepted and has gone before its answer is read.
type gap struct {
	taken uint64 // the number of the newest request that it may concern
	gone  func(channel string, at event.Position) bool
}

func (l *line) open(publishers int, turn func(before Turn) Turn) {
	l.publishers, l.turn, l.calm = publishers, turn, calm
	l.wake = make(chan struct{}, 1)
}

// join puts a request at the end.
func (l *line) join(r *request) {
	l.added++
	r.number = l.added
	l.queue = append(l.queue, r)
	l.waiting += len(r.Events)
	count := len(l.queue)
	for _, one := range l.underWay {
		count += len(one.requests)
	}
	if count > l.publishers {
		l.calm = 0
	}
}

// mayTake reports whether a publisher may have something to send.
func (l *line) mayTake() bool {
	switch {
	case len(l.queue) == 0 || len(l.underWay) == l.publishers:
		return false
	case l.turn == nil || len(l.underWay) == 0:
		return true
	default: // what is to be tried again comes first
		return l.waiting >= mostTaken && l.queue[0].number > l.newestTaken
	}
}

// take is what a publisher may send now, nil for nothing. A Pipeliner is given a whole batch ahead. Otherwise it is
// what waits, and need not be behind anything that another one has under way. In a crowd one batch follows the other: with
// that, each is of more requests, and one transaction for all gains more than overlapping.
func (l *line) take() *batch {
	if !l.mayTake() {
		return nil
	}
	if l.turn != nil || len(l.underWay) == 0 {
		return l.send(l.takeFirst())
	}
	// Who forsakes an event may publish the next one.
	if l.forsaken > 0 || l.crowded() {
		return nil
	}
	ordered := false
	for _, one := range l.underWay {
		ordered = ordered || slices.ContainsFunc(one.requests, func(r *request) bool { return r.ordered })
	}
	var taken, left []*request
	for _, one := range l.queue {
		if ordered && one.ordered {
			left = append(left, one)
		} else {
			taken = append(taken, one)
		}
	}
	l.queue = left
	return l.send(taken)
}

// takeFirst takes as many requests off the queue as make a batch.
func (l *line) takeFirst() (taken []*request) {
	events := 0
	for i, one := range l.queue {
		if events += len(one.Events); i > 0 && events > mostTaken {
			taken = l.queue[:i:i]
			l.queue = slices.Clone(l.queue[i:]) // not behind what is taken: that is not to be kept
			return taken
		}
	}
	taken, l.queue = l.queue, nil
	return taken
}

// crowded tells that there have been more requests at once than can be under way, lately.
func (l *line) crowded() bool { return l.calm < calm }

// isLight tells that what waits will not take long.
func (l *line) isLight() bool {
	if l.waiting > mostLed {
		return false
	}
	bytes := 0
	for _, r := range l.queue {
		for _, ev := range r.Events {
			bytes += len(ev.Data)
		}
	}
	return bytes <= mostLedBytes
}

func (l *line) send(taken []*request) *batch {
	if len(taken) == 0 {
		return nil
	}
	one := &batch{requests: taken}
	if l.turn != nil {
		var before Turn
		if len(l.underWay) > 0 {
			before = l.underWay[0].turn
		}
		one.turn = l.turn(before)
	}
	for _, r := range taken {
		l.waiting -= len(r.Events)
	}
	l.newestTaken = max(l.newestTaken, taken[len(taken)-1].number)
	l.underWay = append(l.underWay, one)
	l.calm++
	if l.mayTake() {
		l.rouse()
	}
	return one
}

// putBack ends a publisher's batch, once: what is left of it is to be tried again first.
func (l *line) putBack(ended *batch, left []*request) bool {
	i := slices.Index(l.underWay, ended)
	if i < 0 {
		return false
	}
	l.underWay = slices.Delete(l.underWay, i, i+1)
	if len(left) > 0 {
		for _, r := range left {
			l.waiting += len(r.Events)
		}
		l.queue = append(left, l.queue...)
		slices.SortFunc(l.queue, func(a, b *request) int { return cmp.Compare(a.number, b.number) })
	}
	l.forgetGaps()
	if l.mayTake() {
		l.rouse()
	}
	return true
}

// forgetGaps forgets those that are older than all that is still to be accepted.
func (l *line) forgetGaps() {
	oldest := l.added + 1
	if len(l.queue) > 0 {
		oldest = l.queue[0].number
	}
	for _, one := range l.underWay {
		oldest = min(oldest, one.requests[0].number)
	}
	l.gaps = slices.DeleteFunc(l.gaps, func(one gap) bool { return one.taken < oldest })
}

// rouse wakes a goroutine that publishes.
func (l *line) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
