package remote

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// logServer is a server in this process: one log for all channels, a mark is how much
// of it has been read. It can be made to fail as servers do.
type logServer struct {
	mu       sync.Mutex
	log      []*event.Event
	chosen   map[string]int // places of events by id
	read     int
	patterns []channel.Pattern
	changed  chan struct{}
	closed   bool
	down     error // of every call, while it is set
	swallow  int   // requests that are accepted without an answer
}

func newLogServer() *logServer {
	return &logServer{chosen: map[string]int{}, changed: make(chan struct{})}
}

var errAway = errors.New("connection refused")

func (s *logServer) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// fail sets what every call answers; nil: the server is there.
func (s *logServer) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
	s.change()
}

func (s *logServer) state() (changed chan struct{}, down error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.changed, context.Canceled
	}
	return s.changed, s.down
}

func (s *logServer) Name() string { return "log" }

func (s *logServer) Open(context.Context) (Mark, error) {
	_, down := s.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read, down
}

func (s *logServer) Read(ctx context.Context) ([]Item, error) {
	for {
		changed, down := s.state()
		if down != nil {
			return nil, down
		}
		s.mu.Lock()
		var items []Item
		for ; s.read < len(s.log) && len(items) < 10; s.read++ {
			items = append(items, Item{Event: again(s.log[s.read]), Mark: s.read + 1})
		}
		s.mu.Unlock()
		if len(items) > 0 {
			return items, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// again is the event as another node reads it.
func again(ev *event.Event) *event.Event {
	read, err := event.Decode(ev.AppendJSON(nil))
	if err != nil {
		panic(err)
	}
	return read
}

func (s *logServer) Publish(_ context.Context, requests []*Request) {
	_, down := s.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range requests {
		if r.Err = down; down != nil {
			continue
		}
		r.Positions, r.Repeated = nil, make([]bool, len(r.Events))
		for i, ev := range r.Events {
			at, known := s.chosen[ev.ID]
			if r.Repeated[i] = known && !r.Doubtful; !known {
				s.log = append(s.log, ev)
				at = len(s.log)
				s.chosen[ev.ID] = at
			}
			r.Positions = append(r.Positions, event.Position{Epoch: "log", Offset: uint64(at)})
		}
		if s.swallow > 0 {
			s.swallow--
			r.Err = ErrDoubtful
		}
	}
	s.change()
}

func (s *logServer) Follow(_ context.Context, patterns []channel.Pattern) (Mark, error) {
	_, down := s.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	if down != nil {
		return nil, down
	}
	s.patterns = append(s.patterns, patterns...)
	return len(s.log), nil
}

func (s *logServer) Unfollow(patterns []channel.Pattern) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, gone := range patterns {
		i := slices.IndexFunc(s.patterns, func(p channel.Pattern) bool { return p.String() == gone.String() })
		s.patterns = slices.Delete(s.patterns, i, i+1)
	}
}

func (s *logServer) Follows(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return matches(s.patterns, name)
}

func matches(patterns []channel.Pattern, name string) bool {
	return slices.ContainsFunc(patterns, func(p channel.Pattern) bool { return p.Match(name) })
}

func (s *logServer) CatchUp(_ context.Context, since event.Position) (Mark, error) {
	_, down := s.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	if down != nil {
		return nil, down
	}
	if since.Epoch != "log" || since.Place != nil || since.Offset > uint64(len(s.log)) {
		return nil, ErrUnrecovered
	}
	return int(since.Offset), nil
}

func (s *logServer) History(_ context.Context, since event.Position, until Mark, patterns []channel.Pattern) (items []Item, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, ev := range s.log[:until.(int)] {
		offset := uint64(i + 1)
		if _, missing := slices.BinarySearch(since.Missing, offset); (offset > since.Offset || missing) && matches(patterns, ev.Channel) {
			items = append(items, Item{Event: again(ev), Mark: i + 1})
		}
	}
	return items, nil
}

// Reached names every event that may not have been received, which a server with more
// of them would not.
func (s *logServer) Reached(at Mark, pending []Item) event.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	reached := event.Position{Epoch: "log", Offset: uint64(at.(int))}
	for i, ev := range s.log[:at.(int)] {
		for _, one := range pending {
			if one.Event.Channel == ev.Channel && i+1 >= one.Mark.(int) {
				reached.Missing = append(reached.Missing, uint64(i+1))
			}
		}
	}
	if last := len(reached.Missing) - 1; last >= 0 && reached.Missing[last] == reached.Offset {
		// A position's missing ones lie below it.
		reached.Missing = reached.Missing[:last]
		for reached.Offset--; last > 0 && reached.Missing[last-1] == reached.Offset; last-- {
			reached.Offset--
			reached.Missing = reached.Missing[:last-1]
		}
	}
	return reached
}

func (s *logServer) After(at event.Position, item Item) event.Position {
	return at.After(uint64(item.Mark.(int)))
}

func (s *logServer) Covers(at, one Mark) bool { return one.(int) <= at.(int) }

func (s *logServer) State() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]any{"entries": strconv.Itoa(len(s.log))}
}

func (s *logServer) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.change()
}
