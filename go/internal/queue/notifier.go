package queue

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Notifier is a file descriptor that becomes readable when something has been
// scheduled: an eventfd on Linux, a pipe elsewhere. Methods may be called by any
// goroutine at any time and never wait.
//
// The consumer's round: wait until FD is readable, Clear, then empty its list. A
// Signal before Clear concerns something that the list already shows; one after
// it makes the descriptor readable again. A consumer that stops before the list
// is empty calls Signal itself.
type Notifier struct {
	reader, writer int
	// state is the round (counted by Clear) and the phase of the signal within it.
	state atomic.Uint64
	// users are the open notifier itself and the calls inside the descriptors; the
	// last one closes them, so that none is used after its number was reused.
	users  atomic.Int64
	closed atomic.Bool
}

// Phases. A Signal that finds another one under way writes too: it must not
// depend on a goroutine that may be stopped before its write.
const (
	unsignalled uint64 = iota
	signalling         // somebody is about to write, or has
	signalled          // written: readable until Clear
	phases
)

// NewNotifier opens the descriptors, non-blocking and not inherited by other
// programs. Close releases them.
func NewNotifier() (*Notifier, error) {
	return newNotifier(openSignal)
}

func newNotifier(open func() (reader, writer int, err error)) (*Notifier, error) {
	reader, writer, err := open()
	if err != nil {
		return nil, err
	}
	n := &Notifier{reader: reader, writer: writer}
	n.users.Store(1)
	return n, nil
}

// FD returns the descriptor to watch for reading. Stop watching before Close.
func (n *Notifier) FD() int { return n.reader }

// Signal makes the descriptor readable. Signals coalesce: only the first after a
// Clear costs a system call. After Close it does nothing.
func (n *Notifier) Signal() {
	state := n.state.Load()
	switch state % phases {
	case signalled:
		return
	case unsignalled:
		// Losing this race is fine: the state is then what it would become.
		n.state.CompareAndSwap(state, state+signalling-unsignalled)
		state += signalling - unsignalled
	}
	if !n.enter() {
		return
	}
	write(n.writer)
	n.leave()
	// Not if Clear came in between: it may have read what was written here.
	n.state.CompareAndSwap(state, state+signalled-signalling)
}

// Clear makes the descriptor unreadable and the next Signal write again, in this
// order: a Signal between the two is for something already scheduled, which the
// caller is about to see.
func (n *Notifier) Clear() {
	if n.enter() {
		read(n.reader, n.reader != n.writer)
		n.leave()
	}
	for {
		state := n.state.Load()
		if n.state.CompareAndSwap(state, state-state%phases+phases) {
			return
		}
	}
}

// Close closes the descriptors, once the calls inside them are through. It is
// idempotent.
func (n *Notifier) Close() error {
	if n.closed.CompareAndSwap(false, true) {
		return n.leave()
	}
	return nil
}

// enter keeps the descriptors open until leave; it fails after Close.
func (n *Notifier) enter() bool {
	for {
		users := n.users.Load()
		if users == 0 || n.closed.Load() {
			return false
		}
		if n.users.CompareAndSwap(users, users+1) {
			return true
		}
	}
}

func (n *Notifier) leave() error {
	if n.users.Add(-1) != 0 {
		return nil
	}
	err := unix.Close(n.reader)
	if n.writer != n.reader {
		err = errors.Join(err, unix.Close(n.writer))
	}
	return err
}

// write makes fd's other end readable. A full counter or pipe is that already.
func write(fd int) {
	one := [8]byte{1} // what an eventfd adds; its byte order does not matter
	for {
		if _, err := unix.Write(fd, one[:]); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// read empties fd: one read resets an eventfd, a pipe takes as many as it has
// data for.
func read(fd int, pipe bool) {
	var buffer [512]byte
	for {
		got, err := unix.Read(fd, buffer[:])
		if errors.Is(err, unix.EINTR) || pipe && err == nil && got == len(buffer) {
			continue
		}
		return
	}
}
