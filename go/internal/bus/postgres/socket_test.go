package postgres

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"
	"golang.org/x/sys/unix"
)

// sockets are both ends of a connection. Either may be closed again.
func sockets(network, address string) (one, other *socket, stop func(), err error) {
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, nil, nil, err
	}
	defer listener.Close()
	dialled, err := net.Dial(network, listener.Addr().String())
	if err != nil {
		return nil, nil, nil, err
	}
	accepted, err := listener.Accept()
	if err != nil {
		return nil, nil, nil, errors.Join(err, dialled.Close())
	}
	if one, err = newSocket(dialled); err == nil {
		other, err = newSocket(accepted)
	}
	return one, other, func() {
		_ = one.Close()
		_ = other.Close()
	}, err
}

// connected are both ends of a TCP connection, until the test ends.
func connected(t *testing.T) (one, other *socket) {
	t.Helper()
	one, other, stop, err := sockets("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return one, other
}

func TestASocketIsANetConn(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": t.TempDir() + "/socket"} {
		t.Run(network, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) { return sockets(network, address) })
		})
	}
}

func TestASocketTellsThatItsPeerResetIt(t *testing.T) {
	one, other := connected(t)
	// Closing resets.
	if err := unix.SetsockoptLinger(other.descriptor, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reading ended with %v", err)
	}
}

// TestAClosedSocketLeavesNothing: also when somebody reads it meanwhile, the descriptor goes.
func TestAClosedSocketLeavesNothing(t *testing.T) {
	one, _ := connected(t)
	ended := make(chan error)
	go func() {
		_, err := one.Read(make([]byte, 1))
		ended <- err
	}()
	descriptor := one.descriptor
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("reading does not end")
	}
	if err := syscall.Fstat(descriptor, new(syscall.Stat_t)); !errors.Is(err, syscall.EBADF) {
		t.Errorf("the descriptor is still there: %v", err)
	}
}

// TestAnyDeadlineIsKept: also those that are beyond what nanoseconds since 1970 can tell.
func TestAnyDeadlineIsKept(t *testing.T) {
	one, other := connected(t)
	if _, err := other.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, future := range []time.Time{{}, time.Now().Add(time.Hour), time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if err := one.SetDeadline(future); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Write([]byte("x")); err != nil {
			t.Errorf("until %v: %v", future, err)
		}
	}
	for _, past := range []time.Time{time.Now(), time.Unix(0, 0), time.Unix(1, 0), time.Date(1, 1, 1, 1, 0, 0, 0, time.UTC), time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if err := one.SetDeadline(past); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("until %v: %v", past, err)
		}
	}
}
