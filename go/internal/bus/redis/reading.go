package redis

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
)

const (
	// blockPatience is how long an XREAD waits for events.
	blockPatience = 2 * time.Second
	// tidying is how often the streams are looked through for those that nobody needs.
	tidying = time.Second
)

var errHistoryLost = errors.New("events were lost; finding out where the streams are")

// reading is what the reader's goroutine has.
type reading struct {
	link link
	tail *tail
	// ready are items to be returned before others.
	ready []remote.Item
	items []remote.Item // memory: those of the newest Read
	// astray says that the streams are not as they were: synchronise before reading on.
	astray bool
	told   bool // that events were lost: the streams tell nothing new
	tidied time.Time
	// complaints are those about gaps.
	complaints occasional
	wake       atomic.Pointer[streamID] // the newest wake-up read, for those who trim
}

func (r *reading) open(s *Server) {
	r.link.target = s.target
	r.tail = newTail(s.options.Batch, s.interests.wants)
	if most := s.options.MaxLen; most > 0 {
		r.tail.full = int(min(int64(r.tail.batch), most))
	}
	r.wake.Store(&streamID{})
}

// woken is the newest wake-up read: those before it need not be kept.
func (s *reading) woken() string { return s.wake.Load().String() }

// Open implements remote.Server.
func (s *Server) Open(ctx context.Context) (remote.Mark, error) {
	r := &s.reading
	s.flights.reclaim() // it is not the reader's, if what dispatches has panicked
	r.link.drop()
	// Nobody may have taken a number whose wake-up is not written yet.
	giveBack, err := s.calls.take(ctx)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	_, err = r.link.do(ctx, func(client *redis.Client) error {
		// Whoever may not read is to know it now.
		if err := client.XRead(ctx, &redis.XReadArgs{Streams: []string{channelsKey, "$"}, Block: -1}).Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		if r.tail.epoch == "" {
			return s.start(ctx, client)
		}
		return s.resume(ctx, client)
	})
	if err != nil {
		r.link.drop()
		return nil, err
	}
	r.astray, r.told = false, false
	s.met(r.link.peer)
	s.progress(r.tail.epoch, len(r.tail.byKey))
	return r.mark(), nil
}

// mark is where the reader is.
func (r *reading) mark() *mark { return &mark{epoch: r.tail.epoch, at: r.tail.at, wake: r.tail.wake} }

// start begins with what is published from now on.
func (s *Server) start(ctx context.Context, client *redis.Client) error {
	epoch, err := s.renew(ctx, client, "", false)
	if err != nil {
		return err
	}
	w, err := s.wakeUp(ctx, client, s.calls.wakes, nil, true)
	if err != nil {
		return err
	}
	t := s.reading.tail
	t.epoch, t.at = epoch, place{ms: max(w.id.ms, w.clock)}
	t.add(channelsKey, "", w.announced).known = w.announced
	t.add(wakePrefix+s.node, "", streamID{})
	return nil
}

// Read implements remote.Server.
func (s *Server) Read(ctx context.Context) ([]remote.Item, error) {
	r := &s.reading
	if r.astray || r.link.client == nil {
		return nil, errHistoryLost
	}
	now := time.Now()
	due := now.Sub(r.tidied) >= tidying
	if landed := s.flights.await(ctx, len(r.items) >= crowd, due); len(landed) > 0 {
		s.interests.advance(landed[len(landed)-1].mark.wake)
		return s.items(nil, landed), nil
	}
	if due {
		s.tidy(now)
	}
	var given []entry
	_, err := r.link.do(ctx, func(client *redis.Client) (err error) {
		if r.tail.skewed {
			if err := s.straighten(ctx, client); err != nil {
				return err
			}
		}
		given, err = r.tail.next(&r.link.wire, blockPatience)
		return err
	})
	if err != nil {
		return nil, err
	}
	ready := r.ready
	r.ready = nil
	items := s.items(ready, given)
	if missed := r.tail.takeGaps(); len(missed) > 0 {
		s.missed(missed)
		items = append(items, remote.Item{Mark: r.mark(), Skipped: missed.have})
		r.items = items
	}
	s.interests.advance(r.tail.wake)
	s.progress(r.tail.epoch, len(r.tail.byKey))
	if !r.astray {
		s.flights.release(r.link.peer.run)
	}
	return items, nil
}

// items are those that are ready, and entries, until it is called again.
func (s *Server) items(ready []remote.Item, entries []entry) []remote.Item {
	r := &s.reading
	items := append(r.items[:0], ready...)
	for i := range entries {
		items = append(items, s.item(&entries[i]))
	}
	clear(r.items[min(len(items), len(r.items)):])
	r.items = items
	return items
}

// item is an entry in the terms of remote.Server.
func (s *Server) item(e *entry) remote.Item {
	item := remote.Item{Event: e.event, Mark: e.mark}
	switch n := e.notice; {
	case n == nil && e.wrong != nil:
		s.malformed(e)
	case n != nil && n.wake != 0:
		id := e.id
		s.reading.wake.Store(&id)
	case n.isLoss():
		// Somebody else found that out; the reader has to look where its streams are.
		s.declareLost(n.epoch)
		item.Lost = true
		s.reading.astray, s.reading.told = true, true
	}
	return item
}

// straighten makes a new epoch: the clock of the server went back, so places from before
// could cover events that are still to come.
func (s *Server) straighten(ctx context.Context, client *redis.Client) error {
	t := s.reading.tail
	epoch, err := s.renew(ctx, client, t.epoch, false)
	if err != nil {
		return err
	}
	if epoch == t.epoch {
		return errors.New("the epoch could not be renewed")
	}
	s.counters.late.Add(1)
	s.options.Log.Warn("events came with times that had passed: the clock of Redis went back, or somebody chooses ids; positions from before recover nothing", "epoch", epoch)
	t.straighten(epoch)
	return nil
}

// tidy lets go of streams that nobody needs.
func (s *Server) tidy(now time.Time) {
	r := &s.reading
	r.tidied = now
	s.interests.sweep(now)
	old := uint64(2 * s.options.horizon().Milliseconds())
	r.tail.forget(func(one *stream) bool {
		if _, wanted := s.interests.wants(one.channel); !wanted {
			return true
		}
		// Nothing was written there for so long that the next writer announces it again.
		return one.active+old < r.tail.at.ms && !s.interests.names(one.channel)
	})
}
