package redis

import (
	"cmp"
	"errors"
)

// brought is what an XREAD has brought.
type brought struct {
	entries []entry
	moves   []move
	limit   *uint64 // of the streams that were cut off, the time of the end that comes first; nil: none was
}

// move is how far a stream has been read.
type move struct {
	stream *stream
	end    streamID
	count  int
}

var errElse = errors.New("the server answers XREAD with something else")

// streams reads what answers an XREAD of at most batch entries a stream, which come in the order in which they
// were asked for. The entries are appended to those in dst. The error is the server's refusal, or what is wrong with the answer.
func (r *reply) streams(asked []*stream, batch int, dst []entry) (found brought, err error) {
	found.entries = dst
	if err := r.refusal(); err != nil {
		return found, err
	}
	for range r.array() {
		r.pair()
		key := string(r.text())
		for len(asked) > 0 && asked[0].key != key {
			asked = asked[1:]
		}
		if len(asked) == 0 {
			r.bad = cmp.Or(r.bad, errElse)
			break
		}
		count := r.entries(asked[0], func(e entry) {
			found.entries = append(found.entries, e)
		})
		if r.bad != nil {
			break
		}
		if count == 0 {
			continue // Redis 7.0 answers so who waited for what a transaction wrote and took back
		}
		end := found.entries[len(found.entries)-1].id
		found.moves = append(found.moves, move{asked[0], end, count})
		if count >= batch && (found.limit == nil || end.ms < *found.limit) {
			found.limit = &end.ms
		}
	}
	return found, r.bad
}

// entries reads the entries of a stream.
func (r *reply) entries(of *stream, each func(entry)) (count int) {
	n := r.array()
	for range n {
		r.pair()
		id := r.text()
		fields := r.pairs()
		if r.bad != nil {
			return count
		}
		e, err := parseEntry(of, id, fields)
		if err != nil {
			r.bad = err
			return count
		}
		each(e)
		count++
	}
	return count
}
