//go:build unix && !linux

package queue

func openSignal() (reader, writer int, err error) { return openPipe() }
