package redis

import (
	"hash/fnv"
	"slices"
)

// place is how far a reader of many streams has come: everything with a smaller time
// than ms, and of ms itself what seen says, a channel's entries up to a number. Ids
// of different streams are not unique together, and entries of one millisecond become
// readable one after another, so one id would not tell it exactly.
//
// A channel is named by a hash: a client must not learn what others publish on. Two
// channels with one hash and events in one millisecond would be confused: with ten
// channels in each millisecond, once in 10¹⁷.
type place struct {
	ms   uint64
	seen []seen
}

type seen struct{ channel, seq uint64 }

// pass is the place after the entry id of a channel. Entries come in the order of
// their times. It shares nothing with p.
func (p place) pass(channel string, id streamID) place {
	one := seen{hashChannel(channel), id.seq}
	if id.ms != p.ms {
		return place{id.ms, []seen{one}}
	}
	next := place{p.ms, slices.Clone(p.seen)}
	for i := range next.seen {
		if next.seen[i].channel == one.channel {
			next.seen[i].seq = max(next.seen[i].seq, one.seq)
			return next
		}
	}
	next.seen = append(next.seen, one)
	return next
}

// covers reports whether whoever has come to p has passed an entry.
func (p place) covers(channel string, id streamID) bool {
	if id.ms != p.ms {
		return id.ms < p.ms
	}
	hash := hashChannel(channel)
	return slices.ContainsFunc(p.seen, func(s seen) bool { return s.channel == hash && id.seq <= s.seq })
}

// hashChannel is the same in every process: positions go from one to another.
func hashChannel(channel string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(channel)) // it cannot fail
	return h.Sum64()
}
