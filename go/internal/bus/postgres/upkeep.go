package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

const (
	readQueueUsage = `SELECT pg_catalog.pg_notification_queue_usage()`
	prune          = `SELECT fraiseql_subscriptions.prune()`

	// idleCheck is how often a connection is emptied of notifications that nobody reads.
	idleCheck = time.Second
	// pruneBatch is what prune deletes at most.
	pruneBatch = 5000
)

// upkeep prunes the outbox, watches the server's notification queue, and keeps this
// process from filling it. It runs until the server is closed.
func (s *Server) upkeep() {
	tick := time.NewTicker(min(idleCheck, s.options.Upkeep))
	defer tick.Stop()
	var last time.Time
	for {
		select {
		case <-s.closing.Done():
			return
		case <-tick.C:
		}
		s.swallow()
		if s.worked.Load() && time.Since(last) >= s.options.Upkeep {
			last = time.Now()
			s.noteUpkeep(s.tidy())
		}
	}
}

// swallow takes notifications off a connection on which nobody has read for a while,
// because dispatch is slow. The server cannot forget a notification before every
// listening session has taken it, and its queue is bounded, for everybody.
func (s *Server) swallow() {
	if !s.reading.TryLock() {
		return // somebody is reading
	}
	defer s.reading.Unlock()
	if s.conn == nil {
		return
	}
	for {
		soon, cancel := context.WithTimeout(s.closing, time.Millisecond)
		err := s.conn.PgConn().WaitForNotification(soon)
		cancel()
		if err != nil {
			return // none is left, or the connection is lost, which Read will see
		}
	}
}

func (s *Server) tidy() error {
	return s.ask(s.closing, func(ctx context.Context, conn *pgx.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		var used float64
		if err := conn.QueryRow(ctx, readQueueUsage, mode(conn)).Scan(&used); err != nil {
			return err
		}
		s.noteQueue(used)
		for {
			var deleted int
			if err := conn.QueryRow(ctx, prune, mode(conn)).Scan(&deleted); err != nil {
				return err
			}
			s.mu.Lock()
			s.pruned += deleted
			s.mu.Unlock()
			if deleted < pruneBatch {
				return nil
			}
		}
	})
}

func (s *Server) noteQueue(used float64) {
	s.mu.Lock()
	before := s.queue
	s.queue = used
	s.mu.Unlock()
	switch full := s.options.fullQueue; {
	case used >= full && before < full:
		s.options.Log.Warn(fmt.Sprintf("the server's notification queue is %.0f%% full, and at 100%% every transaction that notifies fails: a session that has executed LISTEN has a transaction open or does not read (pg_stat_activity)", 100*used))
	case used < full && before >= full:
		s.options.Log.Info("the server's notification queue is being emptied again")
	}
}

func (s *Server) noteUpkeep(err error) {
	s.mu.Lock()
	before := s.backstage
	s.backstage = err
	s.mu.Unlock()
	var final *fault.Error // otherwise the database is away, which reading tells
	if errors.As(err, &final) && before == nil {
		s.options.Log.Warn(fmt.Sprintf("the outbox could not be pruned: %v", err))
	}
}
