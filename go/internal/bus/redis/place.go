package redis

import (
	"hash/fnv"
	"math/bits"
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
	ms uint64
	// seen may name a channel several times: the newest, which counts, is behind the
	// others.
	seen []seen
}

type seen struct{ channel, seq uint64 }

// pass is the place after an entry of a channel. Entries come in the order of their
// times. It may share memory with p, as part of what it holds: only the newest place of
// a row may be passed on, others after a clone.
func (p place) pass(channel uint64, id streamID) place {
	one := seen{channel, id.seq}
	if id.ms != p.ms { // it will hold about as many as the last one
		return place{id.ms, append(make([]seen, 0, min(max(len(p.seen), 4), maxNamed)), one)}
	}
	if len(p.seen) == cap(p.seen) && len(p.seen) >= maxNamed {
		p.seen = compacted(p.seen)
	}
	return place{p.ms, append(p.seen, one)}
}

// clone shares nothing with p.
func (p place) clone() place { return place{p.ms, slices.Clone(p.seen)} }

// compacted has every channel once, and room for as many again.
func compacted(all []seen) []seen {
	found := newest(all, len(all))
	return append(make([]seen, 0, max(2*len(found), maxNamed)), found...)
}

// newest are the channels named last, at most so many, each once, in the order in which
// they were named last.
func newest(all []seen, most int) []seen {
	found := make([]seen, 0, min(len(all), most))
	// A channel is a hash already: where it leads to is the number, from 1, of the channel found that lies there. A map
	// takes several times as long, and this is done for every few hundred events.
	slots := make([]uint32, 2<<bits.Len(uint(cap(found))))
	for i := len(all) - 1; i >= 0 && len(found) < most; i-- {
		at := all[i].channel & uint64(len(slots)-1)
		for slots[at] != 0 && found[slots[at]-1].channel != all[i].channel {
			at = (at + 1) & uint64(len(slots)-1)
		}
		if slots[at] == 0 {
			found = append(found, all[i])
			slots[at] = uint32(len(found))
		}
	}
	slices.Reverse(found)
	return found
}

// number is the newest seen of a channel's entries in the place's millisecond.
func (p place) number(channel uint64) (seq uint64, ok bool) {
	for i := len(p.seen) - 1; i >= 0; i-- {
		if p.seen[i].channel == channel {
			return p.seen[i].seq, true
		}
	}
	return 0, false
}

// covers reports whether whoever has come to p has passed an entry.
func (p place) covers(channel uint64, id streamID) bool {
	if id.ms != p.ms {
		return id.ms < p.ms
	}
	seq, ok := p.number(channel)
	return ok && id.seq <= seq
}

// AppendText implements event.Place: that of a client that has received everything up to p.
func (p *place) AppendText(dst []byte) []byte { return (&cursor{at: *p}).AppendText(dst) }

// includes reports whether whoever has come to p has come to another place.
func (p place) includes(other place) bool {
	if other.ms != p.ms {
		return other.ms < p.ms
	}
	for i := len(other.seen) - 1; i >= 0; i-- {
		if one := other.seen[i]; !p.covers(one.channel, streamID{p.ms, one.seq}) {
			return false
		}
	}
	return true
}

// hashChannel is the same in every process: positions go from one to another.
func hashChannel(channel string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(channel)) // it cannot fail
	return h.Sum64()
}
