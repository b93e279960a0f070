package postgres

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// echoTimeout is how long a notification to oneself may take.
const echoTimeout = 3 * time.Second

// checkNotifications sends a notification on a connection of the pool and waits for it on
// the one that reads, which leads through a pooler. In its transaction mode, PgBouncer
// gives every transaction another session of the server's: LISTEN succeeds there, and
// nothing ever comes. s.reading is held.
func (s *Server) checkNotifications(ctx context.Context, prefix string) error {
	s.expected = rand.Text()
	err := s.ask(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_catalog.pg_notify($1::text, $2::text)", mode(conn), prefix, s.expected)
		return err
	})
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, echoTimeout)
	defer cancel()
	for s.expected != "" {
		err := s.conn.PgConn().WaitForNotification(waiting)
		switch {
		case err == nil:
		case ctx.Err() == nil && pgconn.Timeout(err):
			return fault.New(fault.BusError, "notifications do not get through what is at %s port %d in front of the server, as with PgBouncer's pool_mode=transaction; give the reader a URL that leads straight to the server, or to a pool in session mode (reader_url)", s.reader.Host, s.reader.Port)
		default:
			return err
		}
	}
	return nil
}

// notified is called by the connection that reads while it is used. s.reading is held.
func (s *Server) notified(_ *pgconn.PgConn, n *pgconn.Notification) {
	s.due = true
	if n.Payload == s.expected {
		s.expected = ""
	}
}
