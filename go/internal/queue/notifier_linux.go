package queue

import "golang.org/x/sys/unix"

func openSignal() (reader, writer int, err error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	return fd, fd, err
}
