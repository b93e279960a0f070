package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// A process in which nobody subscribes reads nothing: every few seconds it passes over
// what has come meanwhile, and nobody wakes it. Who follows first lets it pass over
// everything up to then, and reading begins.

// readFinalRow is the newest row up to the horizon. Its snapshot is older than the horizon,
// so it may miss some: they are read instead.
const readFinalRow = rowColumns + `WHERE seq <= (SELECT final FROM fraiseql_subscriptions.horizon()) ORDER BY seq DESC LIMIT 1`

// mostOwn bounds what is remembered of this process's own events while reading does not
// get on.
const mostOwn = 10_000

// own is an event that this process published and has not read yet.
type own struct {
	seq   uint64
	event *event.Event
}

// Follow implements remote.Server. All channels are read as long as one is followed.
func (s *Server) Follow(ctx context.Context, patterns []channel.Pattern) (remote.Mark, error) {
	if s.followed.join(patterns) {
		return s.recent(ctx), nil
	}
	var newest row
	var at *epoch
	err := s.ask(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		at = s.current()
		newest, err = s.newestOf(ctx, conn, readFinalRow)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.followed.begin(patterns, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.beginning, s.beginningIn = newest, at
	})
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return mark{at, newest.seq}, nil
}

// readRecent is the newest row that nothing holds back.
const readRecent = `SELECT coalesce(max(seq), 0) FROM fraiseql_subscriptions.outbox WHERE seq <= (SELECT final FROM fraiseql_subscriptions.horizon())`

// recent is how far the outbox has come, or nil where that cannot be asked at once: whoever
// follows then misses nothing either, and may get an event that is a moment older.
func (s *Server) recent(ctx context.Context) remote.Mark {
	soon, cancel := remote.Soon(ctx)
	defer cancel()
	conn, err := s.pool.Acquire(soon)
	if err != nil {
		return nil
	}
	defer conn.Release()
	at := s.current()
	var newest uint64
	if err := conn.QueryRow(ctx, readRecent, mode(conn.Conn())).Scan(&newest); err != nil {
		return nil
	}
	return remote.Recent{Mark: mark{at, newest}}
}

// begin lets the tail pass over what had come before somebody followed. s.reading is held.
func (s *Server) begin(ctx context.Context) ([]remote.Item, error) {
	s.mu.Lock()
	newest, in := s.beginning, s.beginningIn
	s.beginning, s.beginningIn = row{}, nil
	s.mu.Unlock()
	if !s.listening {
		if err := s.listen(ctx); err != nil {
			return nil, err
		}
	}
	if in != s.tail.epoch || newest.seq <= s.tail.passed {
		return nil, nil
	}
	return s.passOver(newest), nil
}

// listen asks for notifications, and looks at once for what came before.
func (s *Server) listen(ctx context.Context) error {
	if _, err := s.conn.Exec(ctx, "LISTEN "+pgx.Identifier{s.prefix}.Sanitize()); err != nil {
		return err
	}
	s.listening, s.due, s.idleSince = true, true, time.Time{}
	return nil
}

// idle is Read while nothing is followed. s.reading is held.
func (s *Server) idle(ctx context.Context) ([]remote.Item, error) {
	switch {
	case s.idleSince.IsZero():
		s.idleSince = time.Now()
	case s.listening && time.Since(s.idleSince) >= s.options.Poll:
		if _, err := s.conn.Exec(ctx, "UNLISTEN *"); err != nil {
			return nil, err
		}
		s.listening = false
	}
	timer := time.NewTimer(s.options.Poll)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	ctx, cancel := s.withTimeout(ctx)
	defer cancel()
	newest, err := s.newestOf(ctx, s.conn, readFinalRow)
	if err == nil {
		err = s.checkEpoch(ctx)
	}
	if err != nil {
		return nil, err
	}
	var items []remote.Item
	s.followed.unlessSome(func() {
		if newest.seq > s.tail.passed {
			items = s.passOver(newest)
		}
	})
	return s.lostUntil(items, true), nil
}

// passOver lets the tail go on after a row. This process's own events up to there are
// handed on all the same, since their publishers may wait for that.
func (s *Server) passOver(newest row) (items []remote.Item) {
	s.mu.Lock()
	for _, one := range s.own {
		if one.seq > s.tail.passed && one.seq <= newest.seq {
			items = append(items, remote.Item{Event: copyOf(one.event), Mark: mark{s.tail.epoch, one.seq}})
		}
	}
	s.mu.Unlock()
	s.tail.restart(s.tail.epoch, newest)
	s.noteRead()
	return append(items, remote.Item{Mark: mark{s.tail.epoch, newest.seq}})
}

// copyOf is the event as it would have been read.
func copyOf(ev *event.Event) *event.Event {
	return &event.Event{ID: ev.ID, Type: ev.Type, Channel: ev.Channel, CorrelationID: ev.CorrelationID, Data: ev.Data, Timestamp: ev.Timestamp}
}

// noteOwn remembers events that were accepted and may be waited for, until they have been read.
// s.mu is held.
func (s *Server) noteOwn(seq uint64, ev *event.Event) {
	if s.place.epoch == s.epoch && seq <= s.place.seq {
		return
	}
	if len(s.own) >= mostOwn {
		s.own = slices.Delete(s.own, 0, mostOwn/2)
	}
	at := len(s.own) // of two batches at once, the later one may be told first
	for at > 0 && s.own[at-1].seq > seq {
		at--
	}
	s.own = slices.Insert(s.own, at, own{seq, ev})
}

// forgetOwn drops those that have been read. s.mu is held.
func (s *Server) forgetOwn() {
	read := slices.IndexFunc(s.own, func(one own) bool { return one.seq > s.place.seq })
	if read < 0 {
		read = len(s.own)
	}
	if s.own = s.own[read:]; len(s.own) == 0 {
		s.own = nil
	}
}
