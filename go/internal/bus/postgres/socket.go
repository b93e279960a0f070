package postgres

import (
	"context"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// socket is a connection that ends with a context.
type socket struct {
	net.Conn
	stop func() bool
}

// Close implements net.Conn.
func (s socket) Close() error {
	s.stop()
	return s.Conn.Close()
}

// dial wraps a dialer so that closing the server waits for nobody who is silent.
func (s *Server) dial(inner pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, done := s.call(ctx)
		defer done()
		conn, err := inner(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return socket{conn, context.AfterFunc(s.sockets, func() { _ = conn.Close() })}, nil
	}
}
