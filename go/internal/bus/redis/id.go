package redis

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
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
func parseID(text []byte) (id streamID, ok bool) {
	end := bytes.IndexByte(text, '-')
	if end < 0 {
		return streamID{}, false
	}
	if id.ms, ok = parseDecimal(text[:end]); !ok {
		return streamID{}, false
	}
	if id.seq, ok = parseDecimal(text[end+1:]); !ok {
		return streamID{}, false
	}
	return id, true
}

// parseDecimal reads digits and nothing else: strconv takes twice as long, and each entry has
// some twenty of them.
func parseDecimal(text []byte) (n uint64, ok bool) {
	for _, c := range text {
		digit := uint64(c - '0')
		if digit > 9 || n > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, len(text) > 0
}
