package queue

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// openPipe is openSignal where there is no eventfd. It is compiled, and tested,
// everywhere.
func openPipe() (reader, writer int, err error) {
	var ends [2]int
	syscall.ForkLock.RLock() // no child may start between pipe and close-on-exec
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(ends[:]); err != nil {
		return 0, 0, err
	}
	for _, fd := range ends {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			_ = unix.Close(ends[0])
			_ = unix.Close(ends[1])
			return 0, 0, err
		}
	}
	return ends[0], ends[1], nil
}
