package redis

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// maxNamed is how many channels a position names. Where more have events in its
// millisecond, some of that millisecond's events come again on a resume, on channels
// other than those with the newest ones; never is one missed.
const maxNamed = 256

// cursor is the place of a client: everything up to `at` has been received, but of the
// channels in lags only what is before an id. Its text is
//
//	r<ms>[.<channel>-<number>…][!<channel>-<ms>-<number>…]
//
// with numbers in base 36 and channels, by their hashes, ascending. It implements
// event.Place. A cursor is not changed any more.
type cursor struct {
	at   place
	lags []lag // ascending by channel
}

type lag struct {
	channel uint64
	before  streamID
}

// start is the least id of a channel's entries that has not been received.
func (c *cursor) start(channel uint64) streamID {
	if i, ok := c.findLag(channel); ok {
		return c.lags[i].before
	}
	if seq, ok := c.at.number(channel); ok {
		return streamID{c.at.ms, seq}.next()
	}
	return streamID{c.at.ms, 0}
}

func (c *cursor) findLag(channel uint64) (int, bool) {
	return slices.BinarySearchFunc(c.lags, channel, func(l lag, channel uint64) int { return cmp.Compare(l.channel, channel) })
}

// after is the cursor of a client that receives an entry next.
func (c *cursor) after(channel uint64, id streamID) *cursor {
	next := &cursor{at: c.at, lags: c.lags}
	covered := c.at.covers(channel, id)
	if !covered {
		next.at = c.at.clone().pass(channel, id)
	}
	i, lagging := c.findLag(channel)
	if !lagging || id.compare(c.lags[i].before) < 0 {
		return next
	}
	next.lags = slices.Clone(c.lags)
	if id = id.next(); covered && c.at.covers(channel, id) {
		next.lags[i].before = id
	} else {
		next.lags = slices.Delete(next.lags, i, i+1)
	}
	return next
}

// AppendText implements event.Place.
func (c *cursor) AppendText(dst []byte) []byte {
	at, lags := c.at, c.lags
	if len(lags) > maxNamed {
		// As if nothing had been received from the oldest of them on.
		at, lags = place{ms: slices.MinFunc(lags, func(a, b lag) int { return a.before.compare(b.before) }).before.ms}, nil
	}
	dst = strconv.AppendUint(append(dst, 'r'), at.ms, 36)
	named := newest(at.seen, maxNamed)
	slices.SortFunc(named, func(a, b seen) int { return cmp.Compare(a.channel, b.channel) })
	for _, one := range named {
		dst = strconv.AppendUint(append(dst, '.'), one.channel, 36)
		dst = strconv.AppendUint(append(dst, '-'), one.seq, 36)
	}
	for _, one := range lags {
		dst = strconv.AppendUint(append(dst, '!'), one.channel, 36)
		dst = strconv.AppendUint(append(dst, '-'), one.before.ms, 36)
		dst = strconv.AppendUint(append(dst, '-'), one.before.seq, 36)
	}
	return dst
}

// cursorOf reads a position's place: a cursor, a place, a mark, or what a client sent, and then nothing
// but what AppendText writes.
func cursorOf(p event.Position) (*cursor, error) {
	switch at := p.Place.(type) {
	case *cursor:
		return at, nil
	case *place:
		return &cursor{at: *at}, nil
	case *mark:
		return at.cursor(), nil
	case event.Text:
		if c, ok := parseCursor(string(at)); ok {
			return c, nil
		}
	}
	return nil, remote.ErrUnrecovered
}

func parseCursor(text string) (*cursor, bool) {
	text, ok := strings.CutPrefix(text, "r")
	if !ok {
		return nil, false
	}
	text, behind, some := strings.Cut(text, "!")
	ms, named, more := strings.Cut(text, ".")
	c := &cursor{}
	if c.at.ms, ok = parseNumber(ms); !ok {
		return nil, false
	}
	if more {
		for part := range strings.SplitSeq(named, ".") {
			var numbers [2]uint64
			if !parseNumbers(part, numbers[:]) || len(c.at.seen) == maxNamed {
				return nil, false
			}
			if n := len(c.at.seen); n > 0 && c.at.seen[n-1].channel >= numbers[0] {
				return nil, false
			}
			c.at.seen = append(c.at.seen, seen{numbers[0], numbers[1]})
		}
	}
	if some {
		for part := range strings.SplitSeq(behind, "!") {
			var numbers [3]uint64
			if !parseNumbers(part, numbers[:]) || len(c.lags) == maxNamed {
				return nil, false
			}
			if n := len(c.lags); n > 0 && c.lags[n-1].channel >= numbers[0] {
				return nil, false
			}
			c.lags = append(c.lags, lag{numbers[0], streamID{numbers[1], numbers[2]}})
		}
	}
	return c, true
}

// parseNumbers reads as many numbers, with '-' between them.
func parseNumbers(text string, numbers []uint64) bool {
	parts := strings.Split(text, "-")
	if len(parts) != len(numbers) {
		return false
	}
	for i, part := range parts {
		var ok bool
		if numbers[i], ok = parseNumber(part); !ok {
			return false
		}
	}
	return true
}

// parseNumber reads a number in base 36 as it is written: one number has one text.
func parseNumber(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 36, 64)
	return n, err == nil && strconv.FormatUint(n, 36) == text
}
