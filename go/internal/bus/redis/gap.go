package redis

import "slices"

// A stream is trimmed without regard to who has read it, and XREAD goes on behind a gap as if
// there were none. Only the number of entries that were ever added tells: so those that
// are read are counted. Redis is asked for it where there may be a gap: a stream that is
// trimmed has some entries left, so it was read in full batches, or the connection was lost.

// checks is how many streams are looked at with one XREAD.
const checks = 32

// skipped is how many entries of a channel were gone before they were read.
type skipped struct {
	channel string
	count   int64
}

// suspect has a stream looked at until it has been read to its end.
func (t *tail) suspect(one *stream) {
	if one.channel != "" && !one.suspected {
		one.suspected = true
		t.suspects = append(t.suspects, one)
	}
}

// appendChecks appends questions about the next suspects.
func (t *tail) appendChecks(dst []byte) (_ []byte, asked []*stream) {
	t.suspects = slices.DeleteFunc(t.suspects, func(one *stream) bool { return t.byKey[one.key] != one })
	asked = t.suspects[:min(checks, len(t.suspects))]
	t.suspects = slices.Clone(t.suspects[len(asked):])
	for _, one := range asked {
		dst = appendArgument(appendArgument(appendCommand(dst, "XINFO", 2), "STREAM"), one.key)
	}
	return dst, asked
}

// check reads what is answered about a stream, as it is before the XREAD that follows.
func (t *tail) check(r *reply, one *stream) {
	one.suspected = false
	if r.refusal() != nil { // it has expired, and nobody can tell
		return
	}
	now := r.extent()
	if r.bad != nil {
		t.suspect(one)
		return
	}
	read := now.added
	if now.length > 0 && one.last.compare(now.newest) < 0 {
		t.suspect(one)
		if one.last.compare(now.first) >= 0 {
			return
		}
		read -= now.length // what is there has not been
	}
	if one.added >= 0 && read > one.added {
		t.skipped = append(t.skipped, skipped{one.channel, read - one.added})
	}
	one.added = read
}

// extent is how far a stream reaches.
type extent struct {
	added, length int64 // entries: ever, and now
	first, newest streamID
}

// extent reads the answer to XINFO STREAM. https://redis.io/docs/latest/commands/xinfo-stream/
func (r *reply) extent() (found extent) {
	for range r.array() / 2 {
		switch name := string(r.text()); name {
		case "length":
			found.length = r.number()
		case "entries-added":
			found.added = r.number()
		case "last-generated-id":
			found.newest = r.id()
		case "recorded-first-entry-id":
			found.first = r.id()
		default:
			r.skip()
		}
		if r.bad != nil {
			break
		}
	}
	return found
}
