// Package received is what a client has received of the outbox, as the text of a
// position says it.
package received

import (
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// Set is what a client has received. Where that is not everything up to a number, its
// text is "u12+15-1a2b.7": everything up to 12, and the event 15, but not what comes
// from 7 on in the channels of the hash 1a2b.
type Set struct {
	UpTo uint64
	// Also is an event beyond UpTo, or 0: it was accepted while others with lower numbers
	// were still on their way.
	Also uint64
	Lags []Lag
}

// Lag says that nothing has been received of a channel from a number on, since it waits
// for a resolver. Channels are named by a hash: a client must not learn what others
// publish on. Two channels with one hash are resumed from the same number.
type Lag struct{ Channel, From uint64 }

// MostLags is how many of them a position may name.
const MostLags = 256

// Hash is a channel's, the same in every process: positions go from one to another.
func Hash(channel string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(channel)) // it cannot fail
	return h.Sum64()
}

// Position is s in an epoch.
func (s Set) Position(epoch string) event.Position {
	at := event.Position{Epoch: epoch, Offset: s.UpTo}
	if s.Also > 0 || len(s.Lags) > 0 {
		at.Place = s
	}
	return at
}

// AppendText implements event.Place.
func (s Set) AppendText(dst []byte) []byte {
	dst = strconv.AppendUint(append(dst, 'u'), s.UpTo, 10)
	if s.Also > 0 {
		dst = strconv.AppendUint(append(dst, '+'), s.Also, 10)
	}
	for _, one := range s.Lags {
		dst = strconv.AppendUint(append(dst, '-'), one.Channel, 36)
		dst = strconv.AppendUint(append(dst, '.'), one.From, 10)
	}
	return dst
}

// Of reads a position; ok is false for one that Position does not make.
func Of(at event.Position) (s Set, ok bool) {
	if at.Place == nil {
		return Set{UpTo: at.Offset}, len(at.Missing) == 0 && at.Offset <= math.MaxInt64
	}
	if own, same := at.Place.(Set); same {
		return own, true
	}
	text, ok := strings.CutPrefix(string(at.Place.AppendText(nil)), "u")
	if !ok {
		return Set{}, false
	}
	parts := strings.Split(text, "-")
	first, also, some := strings.Cut(parts[0], "+")
	if s.UpTo, ok = number(first); !ok {
		return Set{}, false
	}
	if some {
		if s.Also, ok = number(also); !ok || s.Also <= s.UpTo {
			return Set{}, false
		}
	}
	for _, part := range parts[1:] {
		hash, from, _ := strings.Cut(part, ".")
		one := Lag{}
		if one.Channel, ok = parseHash(hash); !ok {
			return Set{}, false
		}
		if one.From, ok = number(from); !ok || one.From == 0 || one.From > s.UpTo {
			return Set{}, false
		}
		s.Lags = append(s.Lags, one)
	}
	return s, len(s.Lags) <= MostLags && (some || len(s.Lags) > 0)
}

// number reads one of the outbox: a bigint that is not negative.
func number(text string) (uint64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return uint64(n), err == nil && n >= 0 && strconv.FormatInt(n, 10) == text
}

func parseHash(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 36, 64)
	return n, err == nil && strconv.FormatUint(n, 36) == text
}

// Newest is the highest number that has been received.
func (s Set) Newest() uint64 { return max(s.UpTo, s.Also) }

// Complete is the number up to which everything has been received.
func (s Set) Complete() uint64 {
	upTo := s.UpTo
	for _, one := range s.Lags {
		upTo = min(upTo, one.From-1)
	}
	return upTo
}

// Has reports whether an event has been received.
func (s Set) Has(channel string, seq uint64) bool {
	if seq > s.UpTo {
		return seq == s.Also
	}
	if len(s.Lags) == 0 {
		return true
	}
	hash := Hash(channel)
	return !slices.ContainsFunc(s.Lags, func(one Lag) bool { return one.Channel == hash && seq >= one.From })
}

// After is s when the event seq has been received, and with it all before it.
func (s Set) After(seq uint64) Set {
	next := Set{UpTo: max(s.UpTo, seq)}
	if s.Also > next.UpTo {
		next.Also = s.Also
	}
	for _, one := range s.Lags {
		if one.From = max(one.From, seq+1); one.From <= next.UpTo {
			next.Lags = append(next.Lags, one)
		}
	}
	return next
}
