//go:build linux

// Command load measures a GraphQL server over WebSocket: how many messages a second it sends to
// so many subscribers, after what time, at what cost in processor time and memory.
//
// It connects -sockets clients of graphql-transport-ws to a server on loopback, each with one
// subscription, and reads them all in one loop, so that it costs little beside what it measures.
// Every message is accounted for: each client must get every event once and in order, and the
// first message of each is compared with what the server is to say.
//
// The server publishes when it is told to, on a Unix socket (-control): "publish 3" asks for
// three events, "count" for the number of its subscriptions. Each event carries the time of its
// publication in its field "sent", by the monotonic clock of the machine that both run on.
//
// What is to be measured comes on standard input, a line each; one of JSON is the answer:
//
//	closed SECONDS WINDOW  as fast as clients read, WINDOW events under way at most
//	paced SECONDS RATE     RATE events a second
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// descriptors that the program itself may need.
const spareDescriptors = 100

// grown is told when all clients have subscribed.
type grown struct {
	Sockets int     `json:"sockets"`
	Seconds float64 `json:"seconds"`
	// Growth of the server's resident memory from the first client to the last.
	Bytes int64 `json:"bytes"`
}

func main() {
	port := flag.Int("port", 0, "where the server listens on 127.0.0.1")
	pid := flag.Int("pid", 0, "the server's process")
	control := flag.String("control", "", "the Unix socket on which it takes commands")
	sockets := flag.Int("sockets", 1, "how many clients")
	query := flag.String("query", "", "what each subscribes to; it selects the field sent")
	expect := flag.String("expect", "", "the data of each message as JSON, without sent")
	flag.Parse()
	if err := run(*port, *pid, *control, *sockets, *query, *expect); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(port, pid int, control string, sockets int, query, expect string) error {
	if err := allowDescriptors(uint64(sockets + spareDescriptors)); err != nil {
		return err
	}
	s, err := newServer(pid, control)
	if err != nil {
		return err
	}
	f, err := newFleet(expect)
	if err != nil {
		return err
	}
	told := json.NewEncoder(os.Stdout)
	g, err := growFleet(f, s, fmt.Sprintf("127.0.0.1:%d", port), query, sockets)
	if err != nil {
		return err
	}
	if err := told.Encode(g); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		r, err := obey(f, s, lines.Text())
		if err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
		if err := told.Encode(r); err != nil {
			return err
		}
	}
	return lines.Err()
}

// growFleet connects one client, for what a server loads with its first, then the others.
func growFleet(f *fleet, s *server, address, query string, sockets int) (grown, error) {
	begun := time.Now()
	weight := int64(0)
	for _, count := range []int{1, sockets} {
		if err := f.grow(address, query, count); err != nil {
			return grown{}, err
		}
		if err := s.await(count); err != nil {
			return grown{}, err
		}
		bytes, err := s.resident()
		if err != nil {
			return grown{}, err
		}
		weight = bytes - weight
	}
	return grown{Sockets: sockets, Seconds: time.Since(begun).Seconds(), Bytes: weight}, nil
}

func obey(f *fleet, s *server, line string) (result, error) {
	var kind string
	var seconds, number float64
	if _, err := fmt.Sscan(line, &kind, &seconds, &number); err != nil {
		return result{}, err
	}
	if seconds <= 0 || number <= 0 {
		return result{}, fmt.Errorf("%g and %g must be above 0", seconds, number)
	}
	t, err := f.begin(s)
	if err != nil {
		return result{}, err
	}
	length := time.Duration(seconds * float64(time.Second))
	switch kind {
	case "closed":
		return t.closed(length, max(1, uint64(number)))
	case "paced":
		return t.paced(length, time.Duration(float64(time.Second)/number))
	default:
		return result{}, fmt.Errorf("there is no %q: use closed or paced", kind)
	}
}

func allowDescriptors(count uint64) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max < count {
		return fmt.Errorf("%d descriptors are needed and %d allowed: raise the limit (ulimit -Hn)", count, limit.Max)
	}
	limit.Cur = max(limit.Cur, count)
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}
