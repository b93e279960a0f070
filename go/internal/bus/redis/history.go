package redis

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

const (
	// maxHistory is how many events one resume may bring, and maxHistoryBytes how much
	// data: a client must not make a node hold a whole retention in memory.
	maxHistory      = 100_000
	maxHistoryBytes = 256 << 20
	historyPage     = 500 // entries asked for at once
	historyStreams  = 50  // streams asked at once
)

// CatchUp implements remote.Server: a wake-up of this node's is behind everything that
// was accepted before.
func (s *Server) CatchUp(ctx context.Context, since event.Position) (remote.Mark, error) {
	c, err := cursorOf(since)
	if err != nil {
		return nil, err
	}
	giveBack, err := s.calls.take(ctx)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	var w wakeUp
	err = s.calls.askInTurn(ctx, func(client *redis.Client) (err error) {
		s.calls.wakes++
		w, err = s.wakeUp(ctx, client, s.calls.wakes, nil, false)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case w.epoch != since.Epoch || c.at.ms > w.id.ms:
		return nil, remote.ErrUnrecovered
	default:
		return &mark{wake: s.calls.wakes}, nil
	}
}

// History implements remote.Server.
func (s *Server) History(ctx context.Context, since event.Position, until remote.Mark, patterns []channel.Pattern) ([]remote.Item, error) {
	from, err := cursorOf(since)
	if err != nil {
		return nil, err
	}
	to := until.(*mark)
	if to.epoch != since.Epoch {
		return nil, remote.ErrUnrecovered
	}
	names, err := s.channelsOf(ctx, patterns)
	if err != nil {
		return nil, err
	}
	h := history{server: s, from: from, to: to, recent: from.at.ms+uint64(s.options.Retention.Milliseconds()) >= to.at.ms}
	if !h.recent && slices.ContainsFunc(patterns, isWild) {
		return nil, remote.ErrUnrecovered // channels may be forgotten by now
	}
	for len(names) > 0 {
		some := names[:min(len(names), historyStreams)]
		names = names[len(some):]
		if err := h.read(ctx, some); err != nil {
			return nil, err
		}
	}
	return h.items(), nil
}

// channelsOf are the channels that patterns match and that may have history.
func (s *Server) channelsOf(ctx context.Context, patterns []channel.Pattern) (names []string, err error) {
	var wild []channel.Pattern
	for _, p := range patterns {
		if isWild(p) {
			wild = append(wild, p)
		} else {
			names = append(names, p.String())
		}
	}
	if len(wild) > 0 {
		err = s.calls.ask(ctx, func(client *redis.Client) error {
			used, err := s.used(ctx, client, wild, 0)
			names = append(names, used...)
			return err
		})
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// history collects what lies between a cursor and a mark.
type history struct {
	server *Server
	from   *cursor
	to     *mark
	recent bool // everything that came since is younger than the retention
	found  []entry
	bytes  int
}

// read collects the entries of channels, and makes sure that there was nothing else.
func (h *history) read(ctx context.Context, names []string) error {
	left := make([]unread, len(names))
	for i, name := range names {
		hash := hashChannel(name)
		left[i] = unread{&stream{key: streamPrefix + name, channel: name, hash: hash}, h.from.start(hash)}
	}
	for len(left) > 0 {
		var err error
		if left, err = h.page(ctx, left); err != nil {
			return err
		}
	}
	questions := make([]question, len(names))
	for i, name := range names {
		questions[i] = question{streamPrefix + name, name, h.newestReceived(name)}
	}
	return h.server.calls.ask(ctx, func(client *redis.Client) error {
		// It is asked last: what was trimmed while it was read shows, too.
		answers, _, err := h.server.inspect(ctx, client, questions)
		if err != nil {
			return err
		}
		for i, one := range answers {
			if !one.hasAllFrom(h.from.start(hashChannel(names[i])), questions[i].id, h.recent) {
				return remote.ErrUnrecovered
			}
		}
		return nil
	})
}

// newestReceived is the entry of a channel that the client says it has received last;
// zero if it does not say.
func (h *history) newestReceived(name string) streamID {
	hash := hashChannel(name)
	if _, lagging := h.from.findLag(hash); lagging {
		return streamID{}
	}
	if seq, ok := h.from.at.number(hash); ok {
		return streamID{h.from.at.ms, seq}
	}
	return streamID{}
}

// hasAllFrom reports whether a stream has every entry that it has ever had from an id on.
// received is the newest one before, if that is known; recent says that what came from
// there on is younger than the retention.
func (i inspected) hasAllFrom(start, received streamID, recent bool) bool {
	switch {
	case !received.isZero() && i.has:
		return i.deleted.compare(start) < 0 // what is behind it goes only after it, or singly
	case !received.isZero(), !i.exists && !recent:
		return false
	case !i.exists:
		return true // nobody has written to it
	case i.deleted.compare(start) >= 0:
		return false
	case !i.first.isZero() && i.first.compare(start) <= 0:
		return true
	default:
		return recent && start.ms > i.floor
	}
}

// unread is a stream that is still to be read from an id on.
type unread struct {
	*stream
	start streamID
}

// page reads one page of each stream, and returns those that have more.
func (h *history) page(ctx context.Context, streams []unread) (more []unread, err error) {
	pages := make([]*redis.RawCmd, len(streams))
	err = h.server.calls.ask(ctx, func(client *redis.Client) error {
		pipe := client.Pipeline()
		for i, one := range streams {
			pages[i] = redis.NewRawCmd(ctx, "xrange", one.key, one.start.String(), h.end(one.hash), "count", historyPage)
			_ = pipe.Process(ctx, pages[i])
		}
		_, err := pipe.Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, one := range streams {
		r := reply{rest: pages[i].Val()}
		var page []entry
		count := r.entries(one.stream, func(e entry) { page = append(page, e) })
		if r.bad != nil {
			return nil, h.server.target.refusal(r.bad, one.key)
		}
		readEvents(page)
		for _, e := range page {
			one.start = e.id.next()
			if e.event != nil { // others were counted when they were read
				h.found = append(h.found, e)
				h.bytes += len(e.event.Data)
			}
		}
		if len(h.found) > maxHistory || h.bytes > maxHistoryBytes {
			return nil, fmt.Errorf("%w: more than %d events, or %d bytes, came since", remote.ErrUnrecovered, maxHistory, maxHistoryBytes)
		}
		if count == historyPage {
			more = append(more, one)
		}
	}
	return more, nil
}

// end is the newest of a channel's entries that the mark covers, for XRANGE.
func (h *history) end(channel uint64) string {
	if seq, ok := h.to.at.number(channel); ok {
		return streamID{h.to.at.ms, seq}.String()
	}
	return before(h.to.at.ms).String()
}

// items are the entries found, in the order in which they are read.
func (h *history) items() []remote.Item {
	sortEntries(h.found)
	items := make([]remote.Item, len(h.found))
	for i := range h.found {
		e := &h.found[i]
		items[i] = remote.Item{Event: e.event, Mark: &mark{epoch: h.to.epoch, at: h.to.at, wake: h.to.wake, channel: e.from.hash, id: e.id}}
	}
	return items
}
