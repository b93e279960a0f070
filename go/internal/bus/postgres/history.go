package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/received"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

const (
	readIssued = `SELECT issued, (SELECT coalesce(max(seq), 0) FROM fraiseql_subscriptions.outbox WHERE seq <= $1)
FROM fraiseql_subscriptions.horizon()`
	readMissed = rowColumns + `WHERE seq > $1 AND seq <= $2 ORDER BY seq`
	// A join, since = ANY compares each row with all the channels. Without an index by channel, which
	// would cost every insert, rows are hashed; it is used if somebody makes one.
	readMissedOf = rowColumns + `JOIN (SELECT DISTINCT unnest($3::text[]) AS wanted) AS names ON channel = wanted
WHERE seq > $1 AND seq <= $2 ORDER BY seq`
	readPruned = `SELECT floor FROM fraiseql_subscriptions.settings`

	// A resume from further back than this says that it is not complete.
	mostMissed      = 100_000
	mostMissedBytes = 256 << 20
)

// CatchUp implements remote.Server. What Read has returned may not have been taken yet, so
// there is always a mark.
func (s *Server) CatchUp(ctx context.Context, since event.Position) (remote.Mark, error) {
	had, epoch, err := s.readPosition(since)
	if err != nil {
		return nil, err
	}
	newest := had.Newest()
	if s.hasRead(epoch, newest) {
		return mark{epoch, newest}, nil
	}
	var issued, last uint64
	err = s.ask(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, readIssued, mode(conn), newest).Scan(&issued, &last)
	})
	switch {
	case err != nil:
		return nil, err
	case newest > issued:
		return nil, fmt.Errorf("%w: %s is still to come", remote.ErrUnrecovered, since)
	}
	return mark{epoch, last}, nil // what is between has been pruned, or never was
}

// readPosition reads one, which must be of the present epoch.
func (s *Server) readPosition(at event.Position) (received.Set, *epoch, error) {
	epoch := s.current()
	if epoch == nil {
		return received.Set{}, nil, fmt.Errorf("the database at %s has not been reached yet", s.address())
	}
	had, ok := received.Of(at)
	if !ok || at.Epoch != epoch.name {
		return received.Set{}, nil, fmt.Errorf("%w: %s is not of the epoch %s", remote.ErrUnrecovered, at, epoch.name)
	}
	return had, epoch, nil
}

func (s *Server) hasRead(epoch *epoch, seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.place.epoch == epoch && s.place.seq >= seq
}

// ask runs f, which changes nothing, on a connection of the pool, and on another one
// where the first turns out to be lost.
func (s *Server) ask(ctx context.Context, f func(ctx context.Context, conn *pgx.Conn) error) error {
	ctx, done := s.call(ctx)
	defer done()
	for stale := 0; ; stale++ {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return s.failure(err, false)
		}
		err = f(ctx, conn.Conn())
		lost := conn.Conn().IsClosed()
		conn.Release()
		if !lost || stale == s.options.Connections || ctx.Err() != nil {
			return s.failure(err, false)
		}
	}
}

// History implements remote.Server.
func (s *Server) History(ctx context.Context, since event.Position, until remote.Mark, patterns []channel.Pattern) ([]remote.Item, error) {
	had, epoch, err := s.readPosition(since)
	if err != nil {
		return nil, err
	}
	end := until.(mark)
	if end.epoch != epoch {
		return nil, fmt.Errorf("%w: the history has changed", remote.ErrUnrecovered)
	}
	var rows []row
	var floor uint64
	err = s.ask(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		query, arguments := readMissed, []any{mode(conn), had.Complete(), end.seq}
		if wanted := names(patterns); wanted != nil {
			query, arguments = readMissedOf, append(arguments, wanted)
		}
		found, err := conn.Query(ctx, query, arguments...)
		if err != nil {
			return err
		}
		if rows, err = collect(found, had, patterns); err != nil {
			return err
		}
		// Read afterwards: what has been pruned by now counts as missing.
		return conn.QueryRow(ctx, readPruned, mode(conn)).Scan(&floor)
	})
	switch {
	case err != nil:
		return nil, err
	case floor > had.Complete():
		return nil, fmt.Errorf("%w: events up to %d have been pruned", remote.ErrUnrecovered, floor)
	}
	items := make([]remote.Item, 0, len(rows))
	for i := range rows {
		if item := s.item(&rows[i], epoch); item.Event != nil {
			items = append(items, item)
		}
	}
	return items, nil
}

// names are the channels of patterns without a wildcard; nil if there is another, and
// every channel must be looked at.
func names(patterns []channel.Pattern) []string {
	found := make([]string, 0, len(patterns))
	for _, p := range patterns {
		name, single := p.Name()
		if !single {
			return nil
		}
		found = append(found, name)
	}
	return found
}

// collect takes what a client lacks, as far as it matches.
func collect(found pgx.Rows, had received.Set, patterns []channel.Pattern) (rows []row, err error) {
	defer found.Close()
	bytes := 0
	for found.Next() {
		r, err := scan(found)
		if err != nil {
			return nil, err
		}
		if had.Has(r.channel, r.seq) || !matches(r.channel, patterns) {
			continue
		}
		rows = append(rows, r)
		bytes += len(r.data)
		if len(rows) > mostMissed || bytes > mostMissedBytes {
			return nil, fmt.Errorf("%w: more than %d events or %d bytes have come since", remote.ErrUnrecovered, mostMissed, mostMissedBytes)
		}
	}
	return rows, found.Err()
}

func matches(name string, patterns []channel.Pattern) bool {
	for _, p := range patterns {
		if p.Match(name) {
			return true
		}
	}
	return false
}
