//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clock tells the time that Python's time.monotonic_ns() tells, without a system call.
type clock struct {
	start time.Time
	base  int64
}

func newClock() (clock, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return clock{}, err
	}
	return clock{start: time.Now(), base: now.Nano()}, nil
}

func (c clock) now() int64 { return c.base + int64(time.Since(c.start)) }

// server is the process that is measured, and the line by which it is told to publish.
type server struct {
	pid    int
	line   net.Conn
	reader *bufio.Reader
}

func newServer(pid int, control string) (*server, error) {
	line, err := net.Dial("unix", control)
	if err != nil {
		return nil, err
	}
	return &server{pid: pid, line: line, reader: bufio.NewReader(line)}, nil
}

// publish has it publish so many events.
func (s *server) publish(count uint64) error {
	_, err := fmt.Fprintf(s.line, "publish %d\n", count)
	return err
}

// await waits until it has so many subscriptions: nothing acknowledges them to the clients.
func (s *server) await(count int) error {
	deadline := time.Now().Add(dialTimeout)
	for {
		if _, err := fmt.Fprintln(s.line, "count"); err != nil {
			return err
		}
		told, err := s.reader.ReadString('\n')
		if err != nil {
			return err
		}
		got, err := strconv.Atoi(strings.TrimSpace(told))
		switch {
		case err != nil:
			return err
		case got == count:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the server has %d subscriptions instead of %d", got, count)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// cpu is the processor time that its threads have had, user and system, as the scheduler
// counts it: /proc's utime and stime in nanoseconds instead of ticks.
func (s *server) cpu() (time.Duration, error) {
	var spent unix.Timespec
	// The clock of another process, as clock_getcpuclockid(3) makes its name.
	err := unix.ClockGettime(int32(^s.pid<<3|2), &spent)
	return time.Duration(spent.Nano()), err
}

// resident is how many bytes of memory it has.
func (s *server) resident() (int64, error) {
	told, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(told))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
