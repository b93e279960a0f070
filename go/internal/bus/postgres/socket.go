package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

// attention is how long a socket that publishes waits in the kernel.
const attention = 10 * time.Millisecond

// socket is a connection that ends with a context.
type socket struct {
	net.Conn
	stop      func() bool
	raw       syscall.RawConn
	attentive atomic.Bool
}

// Read implements net.Conn. Where it is attentive, an answer that comes soon wakes the thread that
// waits for it: Go would have another one wait for all connections and wake that, which takes as
// long as the answer, and where all processors are in Python's hands, until its monitor looks, 10 ms.
func (s *socket) Read(b []byte) (int, error) {
	if s.raw != nil && s.attentive.Load() {
		if err := s.raw.Read(await); err != nil {
			return 0, err
		}
	}
	return s.Conn.Read(b)
}

// await waits until there is something to read, for a moment.
func await(descriptor uintptr) (done bool) {
	asked := []unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}
	for end := time.Now().Add(attention); ; {
		left := time.Until(end)
		if left <= 0 {
			return true
		}
		if _, err := unix.Poll(asked, int(left.Milliseconds())+1); !errors.Is(err, unix.EINTR) {
			return true // what it is, reading tells
		}
	}
}

// Close implements net.Conn.
func (s *socket) Close() error {
	s.stop()
	return s.Conn.Close()
}

// attend makes a connection's socket attentive, or ends that.
func attend(conn net.Conn, attentive bool) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if s, ok := conn.(*socket); ok {
		s.attentive.Store(attentive)
	}
}

// dial wraps a dialer so that closing the server waits for nobody who is silent.
func (s *Server) dial(inner pgconn.DialFunc, publishes bool) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, done := s.call(ctx)
		defer done()
		conn, err := inner(ctx, network, address)
		if err != nil {
			return nil, err
		}
		made := &socket{Conn: conn, stop: context.AfterFunc(s.sockets, func() { _ = conn.Close() })}
		if kernel, ok := conn.(syscall.Conn); ok && publishes {
			if made.raw, err = kernel.SyscallConn(); err != nil {
				return nil, errors.Join(err, made.Close())
			}
		}
		return made, nil
	}
}
