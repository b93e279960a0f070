package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/schema"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

const (
	// readSettings also tells whether the rows that this process knows are still there, if
	// they have not been pruned.
	readSettings = `SELECT epoch, prefix, extract(epoch FROM retention)::float8,
	(SELECT coalesce(max(version), 0) FROM fraiseql_subscriptions.migration),
	pg_catalog.current_setting('transaction_read_only') = 'on', pg_catalog.pg_backend_pid(),
	pg_catalog.has_any_column_privilege('fraiseql_subscriptions.outbox', 'INSERT')
		AND pg_catalog.has_sequence_privilege('fraiseql_subscriptions.outbox_seq', 'USAGE'),
	NOT EXISTS (
		SELECT FROM unnest($1::bigint[], $2::text[]) AS known (seq, id) WHERE known.seq > settings.floor AND NOT EXISTS (
			SELECT FROM fraiseql_subscriptions.outbox WHERE outbox.seq = known.seq AND outbox.id = known.id))
FROM fraiseql_subscriptions.settings`
	renewEpoch = `SELECT fraiseql_subscriptions.renew_epoch($1)`
	readEpoch  = `SELECT epoch FROM fraiseql_subscriptions.settings`

	rowColumns = `SELECT seq, id, channel, event_type, data::text, correlation_id, published_at FROM fraiseql_subscriptions.outbox `
	readCommon = rowColumns + `WHERE seq BETWEEN $1 AND $2 ORDER BY seq DESC`
	readBefore = rowColumns + `WHERE published_at <= $1 ORDER BY seq DESC LIMIT 1`
	readNewest = `SELECT coalesce(max(seq), 0) FROM fraiseql_subscriptions.outbox`
	readFloor  = `SELECT floor, pg_catalog.clock_timestamp() FROM fraiseql_subscriptions.settings`
)

// witness is a row that was read or accepted: as long as the database has it, its
// history is the one that this process knows.
type witness struct {
	seq uint64
	id  string
}

// settings are what the schema was installed with.
type settings struct {
	epoch, prefix string
	retention     float64 // seconds
	pooled        bool    // the connection leads through something that has session ids of its own
	inserts       bool    // the role may insert by itself
}

// inspect looks at the database behind a new connection, and refuses one that cannot
// be the bus's. What it finds of history becomes the server's current epoch.
func (s *Server) inspect(ctx context.Context, conn *pgx.Conn) (found settings, err error) {
	if err := schema.CheckServer(conn); err != nil {
		return found, err
	}
	s.mu.Lock()
	witnesses := []witness{s.read, s.accepted}
	s.mu.Unlock()
	seqs, ids := []int64{}, []string{}
	for _, w := range witnesses {
		if w.seq > 0 {
			seqs, ids = append(seqs, int64(w.seq)), append(ids, w.id)
		}
	}
	var version int
	var readOnly, intact bool
	var pid uint32
	// A pooler may not know statements that were prepared.
	err = conn.QueryRow(ctx, readSettings, pgx.QueryExecModeExec, seqs, ids).Scan(
		&found.epoch, &found.prefix, &found.retention, &version, &readOnly, &pid, &found.inserts, &intact)
	if err != nil {
		return found, err
	}
	found.pooled = pid != conn.PgConn().PID()
	switch {
	case readOnly:
		return found, errReadOnly
	case version < schema.Version:
		return found, fault.New(fault.BusError, "the schema in the database %q has the version %d, and this program needs %d; run python -m fraiseql_subscriptions postgres install", s.config.Database, version, schema.Version)
	case s.options.Prefix != "" && found.prefix != s.options.Prefix:
		return found, fault.New(fault.BusError, "the prefix is %q, and the schema was installed with %q; name that one, or run python -m fraiseql_subscriptions postgres install --prefix %s", s.options.Prefix, found.prefix, s.options.Prefix)
	}
	if !intact && found.epoch == s.epochName() {
		// Whoever is first renews it; the others get what it made.
		if err := conn.QueryRow(ctx, renewEpoch, pgx.QueryExecModeExec, found.epoch).Scan(&found.epoch); err != nil {
			return found, err
		}
	}
	s.enter(found)
	return found, nil
}

func (s *Server) epochName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == nil {
		return ""
	}
	return s.epoch.name
}

// enter notes the epoch that the database is in.
func (s *Server) enter(found settings) {
	s.mu.Lock()
	s.retention = found.retention
	before := s.epoch
	if before != nil && before.name == found.epoch {
		s.finality = &finality{epoch: before}
		s.mu.Unlock()
		return
	}
	s.epoch = &epoch{name: found.epoch, number: 1}
	s.finality = &finality{epoch: s.epoch}
	if before != nil {
		s.epoch.number = before.number + 1
		s.renewals++
		s.accepted, s.own = witness{}, nil
	}
	s.mu.Unlock()
	if before != nil {
		s.options.Log.Warn("the database has come back with another history: a failover or restored backup that lost events, or a new installation; clients that resume from before it are told that they were not recovered")
	}
}

// locate finds out from where the tail reads on: at first from now; in another
// history, after the newest row that both have.
func (s *Server) locate(ctx context.Context, conn *pgx.Conn) error {
	current := s.current()
	if s.tail.epoch == current {
		return nil
	}
	var newest row
	var err error
	switch {
	case s.tail.epoch == nil:
		newest, err = s.newestOf(ctx, conn, readFinalRow)
	default:
		newest, err = s.locateCommon(ctx, conn)
	}
	if err != nil {
		return err
	}
	if s.tail.epoch != nil {
		s.moved, s.losing = true, true
		if err := conn.QueryRow(ctx, readNewest).Scan(&s.losingUpTo); err != nil {
			return err
		}
	}
	s.tail.restart(current, newest)
	s.noteRead()
	return nil
}

// locateCommon is the newest row that was read and is still there, or else the newest
// that was published before the last one read: everything else is new.
func (s *Server) locateCommon(ctx context.Context, conn *pgx.Conn) (newest row, err error) {
	memory := &s.tail.memory
	if lowest, highest, some := memory.span(); some {
		found, err := conn.Query(ctx, readCommon, lowest, highest)
		if err != nil {
			return row{}, err
		}
		defer found.Close()
		for found.Next() {
			if newest, err = scan(found); err != nil {
				return row{}, err
			}
			if memory.knows(newest.seq, newest.id) {
				return newest, nil
			}
		}
		if err := found.Err(); err != nil {
			return row{}, err
		}
	}
	return s.newestOf(ctx, conn, readBefore, memory.last)
}

// newestOf is the one row that a query finds. Where there is none, it is a row
// without an id and with the highest number that has been pruned.
func (s *Server) newestOf(ctx context.Context, conn *pgx.Conn, query string, arguments ...any) (newest row, err error) {
	found, err := conn.Query(ctx, query, slices.Insert(arguments, 0, any(mode(conn)))...)
	if err != nil {
		return row{}, err
	}
	rows, err := pgx.CollectRows(found, scan)
	if err != nil {
		return row{}, err
	}
	if len(rows) == 1 {
		return rows[0], nil
	}
	if err := conn.QueryRow(ctx, readFloor, mode(conn)).Scan(&newest.seq, &newest.publishedAt); err != nil {
		return row{}, fmt.Errorf("the outbox's settings: %w", err)
	}
	return newest, nil
}
