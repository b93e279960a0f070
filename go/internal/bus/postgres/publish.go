package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/received"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

const (
	publishBatch = `SELECT seqs, repeated, coalesce(final, 0) FROM fraiseql_subscriptions.publish_batch(
	$1::text[], $2::text[], $3::text[], $4::json[], $5::text[], $6::timestamptz[], $7::boolean, false, $8::text, true, $9::boolean)`
	readFinal = `SELECT final FROM fraiseql_subscriptions.horizon()`

	// A statement takes whole requests, up to about these.
	mostEvents     = 1000
	mostEventBytes = 4 << 20
	// A statement with ids that somebody else may have published without having committed
	// yet waits for shortTimeout, and next time, alone, for a little longer. Others wait for
	// nothing but the commits of those that notify.
	noTimeout     = 0 * time.Second
	shortTimeout  = 200 * time.Millisecond
	firstPatience = 25 * time.Millisecond
	// mostIDBytes is what fits into the index of ids.
	mostIDBytes = 255
)

// Publishers implements remote.Overlapper: a batch is under way on each connection of the pool.
func (s *Server) Publishers() int { return s.options.Connections }

// Publish implements remote.Server.
func (s *Server) Publish(ctx context.Context, requests []*remote.Request) {
	var sound []*remote.Request
	for _, r := range requests {
		if err := check(r.Events); err != nil {
			r.Err = err
		} else {
			sound = append(sound, r)
		}
	}
	if len(sound) == 0 {
		return
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		if ctx.Err() == nil { // otherwise what went wrong before says more
			fail(sound, s.failure(err, false))
		}
		return
	}
	defer conn.Release()
	sound, held := split(sound)
	for len(sound) > 0 {
		n := chunk(sound)
		s.publish(ctx, conn.Conn(), sound[:n], waitFor(sound[:n]))
		if slices.ContainsFunc(sound[:n], isToComeFirst) {
			return
		}
		sound = sound[n:]
	}
	for _, r := range held {
		s.publishHeld(ctx, conn.Conn(), r)
	}
}

// isToComeFirst tells that what is behind a request waits for its next attempt. An id that somebody
// else holds up alone does not hold up the others.
func isToComeFirst(r *remote.Request) bool {
	return r.Err != nil && !errors.As(r.Err, new(*fault.Error)) && !errors.Is(r.Err, remote.ErrBusy)
}

// split sets apart requests that were held up before.
func split(requests []*remote.Request) (others, held []*remote.Request) {
	for _, r := range requests {
		if r.Note != nil {
			held = append(held, r)
		} else {
			others = append(others, r)
		}
	}
	return others, held
}

// heldUp is a request's Note: how many attempts something has held up.
type heldUp uint

// waitFor is how long a statement may wait for a lock.
func waitFor(requests []*remote.Request) time.Duration {
	if slices.ContainsFunc(requests, mayBeKnown) {
		return shortTimeout
	}
	return noTimeout
}

// mayBeKnown tells that somebody else may have published an event of the request.
func mayBeKnown(r *remote.Request) bool {
	return r.Doubtful || slices.ContainsFunc(r.Events, func(ev *event.Event) bool { return ev.ChosenID })
}

// publishHeld publishes a request with an id that another transaction holds, or did a
// moment ago. What is in the same call waits meanwhile.
func (s *Server) publishHeld(ctx context.Context, conn *pgx.Conn, r *remote.Request) {
	attempts, _ := r.Note.(heldUp)
	s.publish(ctx, conn, []*remote.Request{r}, min(firstPatience<<attempts, shortTimeout))
	if errors.Is(r.Err, remote.ErrBusy) {
		r.Note = min(attempts+1, 8)
	} else {
		r.Note = nil
	}
}

// check refuses what the outbox cannot hold, before others are in the same statement.
func check(events []*event.Event) error {
	for _, ev := range events {
		if len(ev.ID) > mostIDBytes {
			return fault.New(fault.InvalidValue, "the event_id %.40q… has %d bytes; in PostgreSQL at most %d are allowed", ev.ID, len(ev.ID), mostIDBytes)
		}
		for _, text := range [...]string{ev.ID, ev.Type, ev.Channel, ev.CorrelationID} {
			if strings.IndexByte(text, 0) >= 0 {
				return fault.New(fault.InvalidValue, "%.40q has a NUL character, which PostgreSQL cannot hold; remove it", text)
			}
		}
	}
	return nil
}

// chunk is how many of the requests go into one statement.
func chunk(requests []*remote.Request) int {
	events, bytes := 0, 0
	for n, r := range requests {
		for _, ev := range r.Events {
			bytes += len(ev.Data)
		}
		if events += len(r.Events); n > 0 && (events > mostEvents || bytes > mostEventBytes) {
			return n
		}
	}
	return len(requests)
}

func fail(requests []*remote.Request, err error) {
	for _, r := range requests {
		r.Err = err
	}
}

// publish accepts requests in one transaction, which is one statement. Where the
// database refuses, it finds out for the sake of the others which one it was.
func (s *Server) publish(ctx context.Context, conn *pgx.Conn, requests []*remote.Request, patience time.Duration) {
	s.mu.Lock()
	known := s.finality
	number, asks := known.begin()
	s.mu.Unlock()
	done, err := s.send(ctx, conn, requests, patience, asks)
	done.finality = known
	s.mu.Lock()
	known.end(number)
	s.mu.Unlock()
	if err == nil {
		s.worked.Store(true)
		s.accept(ctx, conn, requests, done)
		return
	}
	failure := s.failure(err, !errors.As(err, new(unsent)))
	var said *pgconn.PgError
	switch {
	case conn.IsClosed() || !errors.As(err, &said):
		fail(requests, failure)
	case said.Code == lockNotAvailable:
		s.publishApart(ctx, conn, requests)
	case len(requests) > 1 && fault.CodeOf(failure) == fault.InvalidValue:
		half := len(requests) / 2
		s.publish(ctx, conn, requests[:half], patience)
		s.publish(ctx, conn, requests[half:], patience)
	default:
		fail(requests, failure)
	}
}

// publishApart publishes requests of which one is held up, those that cannot be it
// first.
func (s *Server) publishApart(ctx context.Context, conn *pgx.Conn, requests []*remote.Request) {
	others := slices.DeleteFunc(slices.Clone(requests), mayBeKnown)
	if len(others) == len(requests) || len(requests) == 1 {
		fail(requests, fmt.Errorf("%w: another transaction has published the same id, or commits, and has not ended", remote.ErrBusy))
		return
	}
	if len(others) > 0 {
		s.publish(ctx, conn, others, noTimeout)
	}
	for _, r := range requests {
		if mayBeKnown(r) {
			s.publishHeld(ctx, conn, r)
		}
	}
}

// batch is what the database made of a batch of events.
type batch struct {
	seqs     []int64
	repeated []bool    // nil: none was
	finality *finality // when it began
	asked    bool
	final    uint64 // what was final then, if that was asked
}

// columns are events as publish_batch takes them.
type columns struct {
	ids, channels, kinds, data, correlations []string
	times                                    []time.Time
}

func columnsOf(events []*event.Event) (all columns) {
	for _, ev := range events {
		all.ids = append(all.ids, ev.ID)
		all.channels = append(all.channels, ev.Channel)
		all.kinds = append(all.kinds, ev.Type)
		all.data = append(all.data, string(ev.Data))
		all.correlations = append(all.correlations, ev.CorrelationID)
		all.times = append(all.times, publishedAt(ev))
	}
	return all
}

func publishedAt(ev *event.Event) time.Time { return time.UnixMilli(int64(ev.Timestamp*1000 + 0.5)) }

func eventsOf(requests []*remote.Request) []*event.Event {
	if len(requests) == 1 {
		return requests[0].Events
	}
	var events []*event.Event
	for _, r := range requests {
		events = append(events, r.Events...)
	}
	return events
}

func (s *Server) send(ctx context.Context, conn *pgx.Conn, requests []*remote.Request, patience time.Duration, asks bool) (done batch, err error) {
	events := eventsOf(requests)
	known := slices.ContainsFunc(requests, mayBeKnown)
	// A pooler's statements are not prepared, and one is quicker than several.
	if found := session(conn); found.inserts && !found.pooled && !known {
		done, err = s.insertNew(ctx, conn, events, asks)
	} else {
		var limit *string
		if patience != noTimeout {
			text := strconv.FormatInt(patience.Milliseconds(), 10)
			limit = &text
		}
		all := columnsOf(events)
		err = conn.QueryRow(ctx, publishBatch, mode(conn), all.ids, all.channels, all.kinds, all.data, all.correlations, all.times, !known, limit, asks).Scan(&done.seqs, &done.repeated, &done.final)
	}
	done.asked = asks
	if err == nil && len(done.seqs) != len(events) {
		err = fmt.Errorf("%d events were published, and %d numbers came back", len(events), len(done.seqs))
	}
	return done, err
}

// accept sets the outcome of requests.
func (s *Server) accept(ctx context.Context, conn *pgx.Conn, requests []*remote.Request, done batch) {
	epoch, final := s.settle(ctx, conn, done)
	seqs, repeated := done.seqs, done.repeated
	newest := slices.Max(seqs)
	s.mu.Lock()
	defer s.mu.Unlock()
	same := s.epoch == epoch
	for _, r := range requests {
		r.Err = nil
		r.Positions = make([]event.Position, len(r.Events))
		var known []bool
		if repeated != nil {
			known, repeated = repeated[:len(r.Events)], repeated[len(r.Events):]
		}
		if r.Repeated = known; r.Doubtful { // it may have been this request itself
			r.Repeated = nil
		}
		for i, ev := range r.Events {
			ev.ReleaseDocument() // what is dispatched is what is read
			seq := uint64(seqs[0])
			seqs = seqs[1:]
			had := received.Set{UpTo: seq}
			if seq > final {
				had = received.Set{UpTo: final, Also: seq}
			}
			r.Positions[i] = had.Position(epoch.name)
			if same && r.Follows != nil && r.Follows[i] && (known == nil || !known[i]) { // it may be waited for
				s.noteOwn(seq, ev)
			}
			if same && seq == uint64(newest) && seq > s.accepted.seq {
				s.accepted = witness{seq, strings.Clone(ev.ID)} // which may lie in the event's memory
			}
		}
	}
}
