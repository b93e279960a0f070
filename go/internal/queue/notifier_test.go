package queue

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The pipe of other systems is tested everywhere.
var signals = map[string]func() (int, int, error){"native": openSignal, "pipe": openPipe}

func open(t *testing.T, how func() (int, int, error)) *Notifier {
	t.Helper()
	n, err := newNotifier(how)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func readableWithin(t *testing.T, n *Notifier, timeout time.Duration) bool {
	t.Helper()
	for {
		polled := []unix.PollFd{{Fd: int32(n.FD()), Events: unix.POLLIN}}
		got, err := unix.Poll(polled, int(timeout.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return got == 1 && polled[0].Revents&unix.POLLIN != 0
	}
}

func TestASignalMakesTheDescriptorReadableUntilClear(t *testing.T) {
	for name, how := range signals {
		t.Run(name, func(t *testing.T) {
			n := open(t, how)
			n.Clear() // of nothing
			for round := range 3 {
				if readableWithin(t, n, 0) {
					t.Fatalf("round %d: readable before any signal", round)
				}
				for range 1000 {
					n.Signal()
				}
				if !readableWithin(t, n, 0) {
					t.Fatalf("round %d: not readable after signals", round)
				}
				n.Clear()
			}
		})
	}
}

func TestADescriptorIsNonBlockingAndNotInherited(t *testing.T) {
	for name, how := range signals {
		t.Run(name, func(t *testing.T) {
			n := open(t, how)
			for _, fd := range []int{n.reader, n.writer} {
				if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
					t.Errorf("descriptor %d blocks (flags %#x, %v)", fd, flags, err)
				}
				if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
					t.Errorf("descriptor %d is inherited (flags %#x, %v)", fd, flags, err)
				}
			}
		})
	}
}

func TestAFullPipeIsReadableAndClearEmptiesIt(t *testing.T) {
	n := open(t, openPipe)
	for range 100_000 { // as many signallers as there may ever be inside Signal
		write(n.writer)
	}
	if !readableWithin(t, n, 0) {
		t.Error("a full pipe is not readable")
	}
	n.Clear()
	if readableWithin(t, n, 0) {
		t.Error("still readable after Clear")
	}
}

// A goroutine stopped inside Signal must not swallow the signals of others.
func TestASignalDoesNotRelyOnAnotherThatIsUnderWay(t *testing.T) {
	for name, how := range signals {
		t.Run(name, func(t *testing.T) {
			n := open(t, how)
			n.state.Store(signalling) // as another goroutine leaves it before its write
			n.Signal()
			if !readableWithin(t, n, 0) {
				t.Fatal("the signal was left to the goroutine that is stopped")
			}
			n.Clear()
			// In the next round another one stops before its write, then the first
			// finishes: its write was read by Clear, and says nothing about this round.
			n.state.Add(signalling)
			n.state.CompareAndSwap(signalling, signalled)
			n.Signal()
			if !readableWithin(t, n, 0) {
				t.Fatal("a signal of a later round was taken for written")
			}
		})
	}
}

func TestNoSignalIsLostBetweenClearAndTheNextLook(t *testing.T) {
	for name, how := range signals {
		t.Run(name, func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
			n := open(t, how)
			const signallers, each = 4, 5000
			list := NewList[int](n)
			owners := make([]Link[int], signallers)
			numbers := make([]int, signallers)
			for i := range owners {
				owners[i].Attach(list, &numbers[i])
			}
			turns := make([]chan struct{}, signallers)
			for i := range turns {
				turns[i] = make(chan struct{})
				numbers[i] = i
				go func() {
					for range each {
						if l := owners[i].Schedule(); l != nil {
							l.Signal()
						}
						<-turns[i] // until it was reported
					}
				}()
			}
			for reported := 0; reported < signallers*each; {
				if !readableWithin(t, n, 5*time.Second) {
					t.Fatalf("asleep after %d of %d", reported, signallers*each)
				}
				n.Clear()
				for number := list.Next(); number != nil; number = list.Next() {
					reported++
					turns[*number] <- struct{}{}
				}
			}
		})
	}
}

func TestDescriptorsStayOpenWhileACallIsInsideThem(t *testing.T) {
	for name, how := range signals {
		t.Run(name, func(t *testing.T) {
			n := open(t, how)
			if !n.enter() {
				t.Fatal("an open notifier cannot be entered")
			}
			for range 2 {
				if err := n.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := unix.FcntlInt(uintptr(n.writer), unix.F_GETFD, 0); err != nil {
				t.Errorf("closed under a call: %v", err)
			}
			if n.enter() {
				t.Error("a closed notifier can be entered")
			}
			if err := n.leave(); err != nil {
				t.Error(err)
			}
			if _, err := unix.FcntlInt(uintptr(n.writer), unix.F_GETFD, 0); err == nil {
				t.Error("open after the last call has left")
			}
		})
	}
}

// Another file takes the number of the closed descriptor at once; a late signal
// would write into it.
func TestASignalNeverWritesToAReusedDescriptor(t *testing.T) {
	for name, how := range signals {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "other")
			for range 200 {
				n := open(t, how)
				var racing sync.WaitGroup
				closed := make(chan struct{})
				for range 3 {
					racing.Add(1)
					go func() {
						defer racing.Done()
						for range 20 {
							n.Signal()
							n.Clear()
						}
						<-closed
						n.Signal()
						n.Clear()
					}()
				}
				for range 2 {
					racing.Add(1)
					go func() {
						defer racing.Done()
						if err := n.Close(); err != nil {
							t.Errorf("Close: %v", err)
						}
					}()
				}
				var others []*os.File
				for range 6 {
					if err := n.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
					f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
					if err != nil {
						t.Fatal(err)
					}
					others = append(others, f)
				}
				close(closed)
				racing.Wait()
				for _, f := range others {
					f.Close()
				}
			}
			if info, err := os.Stat(path); err != nil || info.Size() != 0 {
				t.Errorf("a closed notifier wrote %v bytes (%v) into another file", info.Size(), err)
			}
		})
	}
}

func TestAClosedNotifierReleasesItsDescriptors(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/dev/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	for name, how := range signals {
		t.Run(name, func(t *testing.T) {
			before := count()
			for range 100 {
				n := open(t, how)
				n.Signal()
				n.Close()
				n.Close()
				n.Signal()
				n.Clear()
			}
			if after := count(); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}
