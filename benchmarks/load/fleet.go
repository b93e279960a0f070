//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Clients that connect at a time.
	dialing = 32
	// What one read takes at most, and a frame has at most.
	readBytes = 256 << 10
	// What one wait reports at most.
	readyEvents = 1024
)

var sentKey = []byte(`"sent":`)

// client is one subscribed socket.
type client struct {
	fd       int
	received uint64
	last     int64  // when the newest message was published
	rest     []byte // the beginning of a frame
}

// fleet is every client of the server, read by one loop on one thread.
type fleet struct {
	clients   []client
	expected  any // the payload's data, without what is different in every message
	poll      int
	buffer    []byte
	ready     []unix.EpollEvent
	received  uint64
	bytes     uint64
	latencies []time.Duration
	clock     clock
}

func newFleet(expected string) (*fleet, error) {
	f := &fleet{buffer: make([]byte, readBytes), ready: make([]unix.EpollEvent, readyEvents)}
	if err := json.Unmarshal([]byte(expected), &f.expected); err != nil {
		return nil, fmt.Errorf("-expect is not JSON: %w", err)
	}
	var err error
	if f.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	f.clock, err = newClock()
	return f, err
}

// grow brings the fleet to count subscribed clients.
func (f *fleet) grow(address, query string, count int) error {
	made := make(chan int)
	failed := make(chan error, 1)
	wanted := make(chan struct{}, count)
	for range count - len(f.clients) {
		wanted <- struct{}{}
	}
	close(wanted)
	var group sync.WaitGroup
	for range dialing {
		group.Go(func() {
			for range wanted {
				fd, err := subscribe(address, query)
				if err != nil {
					select {
					case failed <- err:
					default:
					}
					return
				}
				made <- fd
			}
		})
	}
	go func() {
		group.Wait()
		close(made)
	}()
	for fd := range made {
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(f.clients))}
		if err := unix.EpollCtl(f.poll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return err
		}
		f.clients = append(f.clients, client{fd: fd})
	}
	select {
	case err := <-failed:
		return fmt.Errorf("after %d clients: %w", len(f.clients), err)
	default:
		return nil
	}
}

// read takes what has come. It does not wait: a thread that sleeps is woken by whoever sends to
// it, so that a server would pay for the sleep of clients that live on the same machine.
func (f *fleet) read() error {
	count, err := unix.EpollWait(f.poll, f.ready, 0)
	if err != nil {
		if errors.Is(err, unix.EINTR) {
			return nil
		}
		return err
	}
	for _, event := range f.ready[:count] {
		if err := f.take(&f.clients[event.Fd]); err != nil {
			return fmt.Errorf("client %d: %w", event.Fd, err)
		}
	}
	return nil
}

// take reads once from a client's socket; what is left over is reported again.
func (f *fleet) take(c *client) error {
	kept := copy(f.buffer, c.rest)
	size, err := unix.Read(c.fd, f.buffer[kept:])
	if err != nil {
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return nil
		}
		return err
	}
	if size == 0 {
		return errors.New("the server closed the connection")
	}
	now := f.clock.now()
	left := f.buffer[:kept+size]
	for {
		opcode, payload, size, err := takeFrame(left)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		left = left[size:]
		if err := f.message(c, opcode, payload, now); err != nil {
			return err
		}
	}
	c.rest = append(c.rest[:0], left...)
	return nil
}

func (f *fleet) message(c *client, opcode byte, payload []byte, now int64) error {
	switch opcode {
	case opText:
	case opPing:
		_, err := unix.Write(c.fd, appendFrame(nil, opPong, payload))
		return err
	case opPong:
		return nil
	default:
		return fmt.Errorf("the server sent a frame with opcode %#x, %q", opcode, payload)
	}
	sent, err := publishedAt(payload)
	if err != nil {
		return err
	}
	if c.received == 0 {
		if err := f.check(payload); err != nil {
			return err
		}
	}
	if sent < c.last {
		return fmt.Errorf("a message published %d ns earlier came late", c.last-sent)
	}
	c.last = sent
	c.received++
	f.received++
	f.bytes += uint64(len(payload))
	f.latencies = append(f.latencies, time.Duration(now-sent))
	return nil
}

// publishedAt is the time in a message, by this machine's monotonic clock.
func publishedAt(message []byte) (int64, error) {
	at := bytes.Index(message, sentKey)
	if at < 0 {
		return 0, fmt.Errorf("the server sent %q", message)
	}
	digits := bytes.TrimLeft(message[at+len(sentKey):], ` "`)
	digits = digits[:max(0, bytes.IndexByte(digits, '"'))]
	sent, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the server sent %q", message)
	}
	return sent, nil
}

// check compares a message with what the server is to say.
func (f *fleet) check(text []byte) error {
	var message struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Payload struct {
			Data map[string]map[string]any `json:"data"`
		} `json:"payload"`
	}
	if err := json.Unmarshal(text, &message); err != nil {
		return fmt.Errorf("the server sent %q: %w", text, err)
	}
	got := map[string]any{}
	for name, fields := range message.Payload.Data {
		delete(fields, "sent")
		got[name] = fields
	}
	if message.ID != "1" || message.Type != "next" || !reflect.DeepEqual(any(got), f.expected) {
		return fmt.Errorf("the server sent %s instead of data %v", text, f.expected)
	}
	return nil
}

// even says whether every client has had count messages in all.
func (f *fleet) even(count uint64) error {
	for i := range f.clients {
		if got := f.clients[i].received; got != count {
			return fmt.Errorf("client %d had %d messages of %d", i, got, count)
		}
	}
	return nil
}
