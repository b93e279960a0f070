package postgres

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// epoch is one unbroken history of the outbox, as this process has met them: number
// counts up from 1.
type epoch struct {
	name   string
	number uint64
}

// mark is how far the outbox has been read: every event up to seq has been, or does
// not exist.
type mark struct {
	epoch *epoch
	seq   uint64
}

// place is what a client has received. Where that is not everything up to a number, its
// text is "u12+15-1a2b.7": everything up to 12, and the event 15, but not what comes
// from 7 on in the channels of the hash 1a2b.
type place struct {
	upTo uint64
	// also is an event beyond upTo, or 0: it was accepted while others with lower numbers
	// were still on their way.
	also uint64
	lags []lag
}

// lag says that nothing has been received of a channel from a number on, since it waits
// for a resolver. Channels are named by a hash: a client must not learn what others
// publish on. Two channels with one hash are resumed from the same number.
type lag struct{ channel, from uint64 }

// mostLags is how many of them a position names; with more, everything is received again
// from the first on.
const mostLags = 256

// hashChannel is the same in every process: positions go from one to another.
func hashChannel(channel string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(channel)) // it cannot fail
	return h.Sum64()
}

// position is p in an epoch.
func (p place) position(epoch *epoch) event.Position {
	at := event.Position{Epoch: epoch.name, Offset: p.upTo}
	if p.also > 0 || len(p.lags) > 0 {
		at.Place = p
	}
	return at
}

// AppendText implements event.Place.
func (p place) AppendText(dst []byte) []byte {
	dst = strconv.AppendUint(append(dst, 'u'), p.upTo, 10)
	if p.also > 0 {
		dst = strconv.AppendUint(append(dst, '+'), p.also, 10)
	}
	for _, one := range p.lags {
		dst = strconv.AppendUint(append(dst, '-'), one.channel, 36)
		dst = strconv.AppendUint(append(dst, '.'), one.from, 10)
	}
	return dst
}

// readPlace reads a position; ok is false for one that is not of this package.
func readPlace(at event.Position) (p place, ok bool) {
	if at.Place == nil {
		return place{upTo: at.Offset}, len(at.Missing) == 0 && at.Offset <= math.MaxInt64
	}
	if own, same := at.Place.(place); same {
		return own, true
	}
	text, ok := strings.CutPrefix(string(at.Place.AppendText(nil)), "u")
	if !ok {
		return place{}, false
	}
	parts := strings.Split(text, "-")
	first, also, some := strings.Cut(parts[0], "+")
	if p.upTo, ok = readNumber(first); !ok {
		return place{}, false
	}
	if some {
		if p.also, ok = readNumber(also); !ok || p.also <= p.upTo {
			return place{}, false
		}
	}
	for _, part := range parts[1:] {
		hash, from, _ := strings.Cut(part, ".")
		one := lag{}
		if one.channel, ok = readHash(hash); !ok {
			return place{}, false
		}
		if one.from, ok = readNumber(from); !ok || one.from == 0 || one.from > p.upTo {
			return place{}, false
		}
		p.lags = append(p.lags, one)
	}
	return p, len(p.lags) <= mostLags
}

// readNumber reads a number of the outbox: a bigint that is not negative.
func readNumber(text string) (uint64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return uint64(n), err == nil && n >= 0 && strconv.FormatInt(n, 10) == text
}

func readHash(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 36, 64)
	return n, err == nil && strconv.FormatUint(n, 36) == text
}

// newest is the highest number that has been received.
func (p place) newest() uint64 { return max(p.upTo, p.also) }

// complete is the number up to which everything has been received.
func (p place) complete() uint64 {
	upTo := p.upTo
	for _, one := range p.lags {
		upTo = min(upTo, one.from-1)
	}
	return upTo
}

// has reports whether an event has been received.
func (p place) has(channel string, seq uint64) bool {
	if seq > p.upTo {
		return seq == p.also
	}
	if len(p.lags) == 0 {
		return true
	}
	hash := hashChannel(channel)
	return !slices.ContainsFunc(p.lags, func(one lag) bool { return one.channel == hash && seq >= one.from })
}

// after is p when the event seq has been received, and with it all before it.
func (p place) after(seq uint64) place {
	next := place{upTo: max(p.upTo, seq)}
	if p.also > next.upTo {
		next.also = p.also
	}
	for _, one := range p.lags {
		if one.from = max(one.from, seq+1); one.from <= next.upTo {
			next.lags = append(next.lags, one)
		}
	}
	return next
}

// Reached implements remote.Server.
func (s *Server) Reached(at remote.Mark, pending []remote.Item) event.Position {
	m := at.(mark)
	p := place{upTo: m.seq}
	for _, item := range pending {
		// What is pending of an earlier epoch has no number in this one.
		if one := item.Mark.(mark); one.epoch == m.epoch && one.seq <= m.seq {
			p.lags = append(p.lags, lag{hashChannel(item.Event.Channel), one.seq})
		}
	}
	if len(p.lags) > mostLags {
		p = place{upTo: p.complete()}
	}
	slices.SortFunc(p.lags, func(a, b lag) int { return cmp.Compare(a.from, b.from) })
	return p.position(m.epoch)
}

// After implements remote.Server.
func (s *Server) After(at event.Position, item remote.Item) event.Position {
	m := item.Mark.(mark)
	had, ok := readPlace(at)
	if at.Epoch != m.epoch.name || !ok {
		had = place{}
	}
	return had.after(m.seq).position(m.epoch)
}

// Covers implements remote.Server. A later epoch covers an earlier one: nothing of
// that can be read any more.
func (s *Server) Covers(at, one remote.Mark) bool {
	a, o := at.(mark), one.(mark)
	if a.epoch.number != o.epoch.number {
		return a.epoch.number > o.epoch.number
	}
	return a.seq >= o.seq
}
