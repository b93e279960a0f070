// Package postgres is an event bus in an application's PostgreSQL database: it
// publishes into the outbox that the schema fraiseql_subscriptions keeps, and reads it
// in an order that concurrent transactions cannot break. No event is passed over, none
// is given twice, whoever published it and however connections and servers end.
package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/dial"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
)

const (
	// connectTimeout leaves room for an answer within a publish's usual 5 seconds.
	connectTimeout = 4 * time.Second
	// farewell is how long closing waits for the server before it drops the connections.
	farewell = time.Second
)

// Server implements remote.Server. It opens Options.Connections connections at most for
// publishing and for looking into the history, and one for reading.
type Server struct {
	options Options
	config  *pgx.ConnConfig // of the pool
	reader  *pgx.ConnConfig // of the connection that reads
	pool    *pgxpool.Pool

	closing    context.Context // ends every call
	close      context.CancelFunc
	sockets    context.Context // ends every connection
	hangUp     context.CancelFunc
	background sync.WaitGroup

	// reading guards what reads. It is held by Open, Read and, between two reads, upkeep.
	reading  sync.Mutex
	conn     *pgx.Conn // nil when there is none
	tail     tail
	due      bool   // there may be something to read at once
	expected string // the payload of a notification that is waited for
	// In a new epoch: Read is to tell of the place, and later of what was lost.
	moved, losing bool
	losingUpTo    uint64
	limit         int       // of rows at once
	lastRead      time.Time // when rows were last looked for
	checked       time.Time // when the epoch was last looked at
	warned        bool      // that delivery is held back
	prefix        string    // of the notifications' names
	// listening is false in a process in which nobody subscribes, since idleSince.
	listening bool
	idleSince time.Time

	followed followed
	wake     chan struct{} // has an element when somebody follows first
	worked   atomic.Bool   // the server has been the bus's before

	mu        sync.Mutex
	epoch     *epoch // nil before the first connection
	renewals  int
	retention float64 // seconds
	place     mark    // up to where rows have been read
	read      witness
	accepted  witness
	finality  *finality // nil as epoch is
	held      held
	strange   int // rows that are no events
	queue     float64
	pruned    int
	backstage error // what upkeep ran into last
	own       []own // by seq
	// What was there when somebody followed first: reading begins behind it.
	beginning   row
	beginningIn *epoch
}

var _ remote.Server = (*Server)(nil)

// New makes a Server. Nothing is connected yet. The error has the code InvalidValue.
func New(options Options) (*Server, error) {
	s := &Server{options: options.withDefaults(), limit: firstLimit, wake: make(chan struct{}, 1)}
	pool, err := dial.ParsePool(s.options.URL)
	if err != nil {
		return nil, err
	}
	if s.reader, err = dial.Parse(s.options.ReaderURL); err != nil {
		return nil, err
	}
	s.closing, s.close = context.WithCancel(context.Background())
	s.sockets, s.hangUp = context.WithCancel(context.Background())
	s.config = pool.ConnConfig
	for _, config := range []*pgx.ConnConfig{s.config, s.reader} {
		config.ConnectTimeout = min(config.ConnectTimeout, connectTimeout)
		config.DialFunc = s.dial(config.DialFunc, config == s.config)
		config.RuntimeParams["client_encoding"] = "UTF8" // JSON's, whatever the database's is
		if config.RuntimeParams["application_name"] == "" {
			config.RuntimeParams["application_name"] = "fraiseql_subscriptions"
		}
	}
	s.reader.OnNotification = s.notified
	pool.MaxConns, pool.MinConns, pool.MinIdleConns = int32(s.options.Connections), 0, 0
	pool.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		found, err := s.inspect(ctx, conn)
		if err == nil {
			conn.PgConn().CustomData()[sessionKey] = found
		}
		return err
	}
	if s.pool, err = pgxpool.NewWithConfig(s.closing, pool); err != nil {
		return nil, err
	}
	s.background.Go(s.upkeep)
	return s, nil
}

// sessionKey is where a connection's settings are kept.
const sessionKey = "fraiseql session"

// session is what was found when a connection of the pool was made.
func session(conn *pgx.Conn) settings {
	found, _ := conn.PgConn().CustomData()[sessionKey].(settings) // the reader's has none
	return found
}

// mode is how statements are run on a connection: prepared where it has a session of
// its own.
func mode(conn *pgx.Conn) pgx.QueryExecMode {
	if session(conn).pooled {
		return pgx.QueryExecModeExec
	}
	return pgx.QueryExecModeCacheStatement
}

// call is a context for one call, which ends also when the server is closed.
func (s *Server) call(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.closing, func() { cancel(errClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// Name implements remote.Server.
func (s *Server) Name() string { return "postgresql" }

// Unfollow implements remote.Server.
func (s *Server) Unfollow(patterns []channel.Pattern) { s.followed.remove(patterns) }

// Follows implements remote.Server.
func (s *Server) Follows(channel string) bool { return s.followed.has(channel) }

// current is the epoch, nil before the first connection.
func (s *Server) current() *epoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// State implements remote.Server.
func (s *Server) State() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := map[string]any{
		"address":            s.address(),
		"database":           s.config.Database,
		"read":               s.place.seq,
		"epochs_lost":        s.renewals,
		"not_events":         s.strange,
		"notification_queue": s.queue,
		"pruned":             s.pruned,
		"held_seconds":       0.0,
		"connections":        int(s.pool.Stat().TotalConns()),
		"max_connections":    s.options.Connections + 1,
		"retention_seconds":  s.retention,
	}
	if s.epoch != nil {
		state["epoch"] = s.epoch.name
	}
	if !s.held.since.IsZero() {
		state["held_seconds"] = time.Since(s.held.since).Seconds()
		state["held_by"] = s.held.holder
	}
	if s.backstage != nil {
		state["upkeep_error"] = s.backstage.Error()
	}
	return state
}

// Close implements remote.Server. It waits for the calls that are under way, which end
// at once.
func (s *Server) Close() {
	s.close()
	dropped := time.AfterFunc(farewell, s.hangUp)
	defer dropped.Stop()
	s.background.Wait()
	s.reading.Lock()
	s.disconnect()
	s.reading.Unlock()
	s.pool.Close()
	s.hangUp()
}
