package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

// Go's monitor takes the processor from a thread that has been in the kernel for 10 ms, and, as of
// Go 1.26, from one in the kernel whose processor has run the same goroutine for 10 ms: that is, at
// every look, from a thread that comes from Python and publishes one batch after the other. Whenever it
// has taken one it looks every 20 µs for a while, which was 11 to 19% of a publishing process.
const (
	// attention is how long a socket waits in the kernel before it looks whether it still should.
	attention = 2 * time.Millisecond
	// turn is after how long a reader lets Go schedule its goroutine anew, at a wait, which takes two
	// wake-ups of threads. With the millisecond that poll may add, and what a publisher does between
	// waits, it is less than the monitor's 10.
	turn = 8 * time.Millisecond
)

// socket is a connection whose reader waits in the kernel, on its own thread. Of Go's sockets another
// thread waits for all, and wakes the one that wants to read: that takes about as long as an answer
// does, and where all processors are in Python's hands nobody waits for them until Go's monitor
// looks, every 10 ms. A deadline, and closing, end what waits within attention.
type socket struct {
	begun         time.Time
	descriptor    int
	local, remote net.Addr
	// using is held by those who use the descriptor; Close waits for them.
	using         sync.RWMutex
	closed        atomic.Bool
	reads, writes deadline
	scheduled     atomic.Int64 // when its reader last was, in nanoseconds since begun
}

// deadline is when one direction ends: nanoseconds since the socket has begun, 0 for never.
type deadline struct{ atomic.Int64 }

// until sets a deadline. No clock that is set meanwhile changes it.
func (s *socket) until(t time.Time, ending ...*deadline) {
	after := int64(0)
	if !t.IsZero() {
		after = max(int64(t.Sub(s.begun)), 1)
	}
	for _, d := range ending {
		d.Store(after)
	}
}

// newSocket takes a connection over.
func newSocket(conn net.Conn) (*socket, error) {
	from, ok := conn.(syscall.Conn)
	if !ok {
		return nil, errors.Join(errors.ErrUnsupported, conn.Close())
	}
	s := &socket{begun: time.Now(), local: conn.LocalAddr(), remote: conn.RemoteAddr()}
	raw, err := from.SyscallConn()
	if err == nil {
		failed := raw.Control(func(descriptor uintptr) {
			// Closing the original takes it out of Go's hands, and not this one.
			s.descriptor, err = unix.FcntlInt(descriptor, unix.F_DUPFD_CLOEXEC, 0)
		})
		err = errors.Join(err, failed)
	}
	if closed := conn.Close(); err != nil {
		return nil, errors.Join(err, closed)
	}
	return s, nil
}

// Read implements net.Conn.
func (s *socket) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.using.RLock()
	defer s.using.RUnlock()
	for {
		if err := s.wait(unix.POLLIN, &s.reads); err != nil {
			return 0, s.failed("read", err)
		}
		switch n, err := unix.Read(s.descriptor, b); {
		case isTransient(err):
		case err != nil:
			return 0, s.failed("read", os.NewSyscallError("read", err))
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements net.Conn.
func (s *socket) Write(b []byte) (written int, err error) {
	s.using.RLock()
	defer s.using.RUnlock()
	for written < len(b) {
		if err := s.ended(&s.writes); err != nil {
			return written, s.failed("write", err)
		}
		n, err := unix.Write(s.descriptor, b[written:])
		if n > 0 {
			written += n
		}
		switch {
		case isTransient(err):
			if err := s.wait(unix.POLLOUT, &s.writes); err != nil {
				return written, s.failed("write", err)
			}
		case err != nil:
			return written, s.failed("write", os.NewSyscallError("write", err))
		}
	}
	return written, nil
}

// wait waits until the kernel is ready for events, or one direction has ended.
func (s *socket) wait(events int16, until *deadline) error {
	asked := []unix.PollFd{{Fd: int32(s.descriptor), Events: events}}
	for {
		if err := s.ended(until); err != nil {
			return err
		}
		now, turned := time.Since(s.begun), time.Duration(s.scheduled.Load())
		if now-turned >= turn {
			runtime.Gosched()
			now = time.Since(s.begun)
			s.scheduled.Store(int64(now))
			turned = now
		}
		patience := min(attention, turned+turn-now)
		if at := until.Load(); at != 0 {
			patience = min(patience, time.Duration(at)-now)
		}
		ready, err := unix.Poll(asked, max(int(patience.Milliseconds()), 0)+1)
		if ready > 0 {
			return nil // an error of the connection's, too: using it tells which
		}
		if err != nil && !isTransient(err) {
			return os.NewSyscallError("poll", err)
		}
	}
}

func isTransient(err error) bool { return errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) }

// ended is why one direction is not to be waited for any more.
func (s *socket) ended(d *deadline) error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	if at := d.Load(); at != 0 && int64(time.Since(s.begun)) >= at {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (s *socket) failed(operation string, err error) error {
	return &net.OpError{Op: operation, Net: s.local.Network(), Source: s.local, Addr: s.remote, Err: err}
}

// Close implements net.Conn.
func (s *socket) Close() error {
	if s.closed.Swap(true) {
		return s.failed("close", net.ErrClosed)
	}
	s.using.Lock()
	defer s.using.Unlock()
	if err := unix.Close(s.descriptor); err != nil {
		return s.failed("close", os.NewSyscallError("close", err))
	}
	return nil
}

// LocalAddr implements net.Conn.
func (s *socket) LocalAddr() net.Addr { return s.local }

// RemoteAddr implements net.Conn.
func (s *socket) RemoteAddr() net.Addr { return s.remote }

// SetDeadline implements net.Conn.
func (s *socket) SetDeadline(t time.Time) error {
	s.until(t, &s.reads, &s.writes)
	return nil
}

// SetReadDeadline implements net.Conn.
func (s *socket) SetReadDeadline(t time.Time) error {
	s.until(t, &s.reads)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (s *socket) SetWriteDeadline(t time.Time) error {
	s.until(t, &s.writes)
	return nil
}

// ending is a connection that ends with a context.
type ending struct {
	net.Conn
	stop func() bool
}

// Close implements net.Conn.
func (e ending) Close() error {
	e.stop()
	return e.Conn.Close()
}

// dial wraps a dialer so that closing the server waits for nobody who is silent.
func (s *Server) dial(inner pgconn.DialFunc, publishes bool) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, done := s.call(ctx)
		defer done()
		conn, err := inner(ctx, network, address)
		if err == nil && publishes {
			conn, err = newSocket(conn)
		}
		if err != nil {
			return nil, err
		}
		return ending{conn, context.AfterFunc(s.sockets, func() { _ = conn.Close() })}, nil
	}
}
