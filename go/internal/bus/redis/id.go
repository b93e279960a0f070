package redis

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// streamID is the id of a stream's entry: milliseconds of the server's clock, and a
// number within them. https://redis.io/docs/latest/develop/data-types/streams/#entry-ids
type streamID struct{ ms, seq uint64 }

func (id streamID) compare(other streamID) int {
	if order := cmp.Compare(id.ms, other.ms); order != 0 {
		return order
	}
	return cmp.Compare(id.seq, other.seq)
}

func (id streamID) isZero() bool { return id == streamID{} }

// next is the least id above id.
func (id streamID) next() streamID {
	if id.seq == math.MaxUint64 {
		return streamID{id.ms + 1, 0}
	}
	return streamID{id.ms, id.seq + 1}
}

// before is the greatest id of an earlier millisecond.
func before(ms uint64) streamID {
	if ms == 0 {
		return streamID{}
	}
	return streamID{ms - 1, math.MaxUint64}
}

func (id streamID) String() string { return string(id.appendText(nil)) }

func (id streamID) appendText(dst []byte) []byte {
	dst = append(strconv.AppendUint(dst, id.ms, 10), '-')
	return strconv.AppendUint(dst, id.seq, 10)
}

// parseID reads an id as Redis writes it.
func parseID(text string) (id streamID, ok bool) {
	ms, seq, found := strings.Cut(text, "-")
	if !found {
		return streamID{}, false
	}
	var err error
	if id.ms, err = strconv.ParseUint(ms, 10, 64); err != nil {
		return streamID{}, false
	}
	if id.seq, err = strconv.ParseUint(seq, 10, 64); err != nil {
		return streamID{}, false
	}
	return id, true
}
