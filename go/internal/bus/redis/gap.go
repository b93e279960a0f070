package redis

import (
	"slices"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// A stream is trimmed without regard to who has read it, and XREAD goes on behind a gap as if
// there were none. Only the number of entries that were ever added tells: so those that
// are read are counted. Redis is asked for it where there may be a gap: a stream that is
// trimmed has some entries left, so it was read in full batches, or the connection was lost.

// checks is how many streams are looked at with one XREAD: each answer has two entries.
const checks = 100

// skipped is how many entries of a channel were gone before they were read.
type skipped struct {
	channel  string
	count    int64
	from, to streamID   // between which they were, and to is not one
	kept     []streamID // not one either: read, and not given yet
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
	for len(t.suspects) > 0 && len(asked) < checks {
		one := t.suspects[0]
		t.suspects = t.suspects[1:]
		if t.byKey[one.key] == one { // it has not been forgotten
			asked = append(asked, one)
			dst = appendArgument(appendArgument(appendCommand(dst, "XINFO", 2), "STREAM"), one.key)
		}
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
	read, end := now.added, now.last.next()
	if now.length > 0 && one.last.compare(now.newest) < 0 {
		t.suspect(one)
		if one.last.compare(now.first) >= 0 {
			return
		}
		read -= now.length // what is there has not been
		end = now.first
	}
	if one.added >= 0 && read > one.added {
		t.skipped = append(t.skipped, skipped{channel: one.channel, count: read - one.added, from: one.counted, to: end})
	}
	one.added, one.counted = read, end
}

// gaps are what was found and is to be told.
type gaps []skipped

// takeGaps takes them out, once what has been read is given but for what is kept.
func (t *tail) takeGaps() gaps {
	found := t.skipped
	t.skipped = nil
	for i := range found {
		for k := range t.kept {
			if t.kept[k].channel() == found[i].channel {
				found[i].kept = append(found[i].kept, t.kept[k].id)
			}
		}
	}
	return found
}

// have reports whether the event at a position of this node's was among what is gone, if it
// has not been given.
func (g gaps) have(channel string, at event.Position) bool {
	for _, one := range g {
		if one.channel != channel {
			continue
		}
		c, err := cursorOf(at)
		if err != nil {
			return false
		}
		seq, named := c.at.number(hashChannel(channel))
		id := streamID{c.at.ms, seq}
		if named && id.compare(one.from) >= 0 && id.compare(one.to) < 0 && !slices.Contains(one.kept, id) {
			return true
		}
	}
	return false
}

// extent is how far a stream reaches.
type extent struct {
	added, length int64    // entries: ever, and now
	first, newest streamID // of those that are there
	last          streamID // that there has ever been
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
			found.last = r.id()
		case "recorded-first-entry-id":
			found.first = r.id()
		case "last-entry":
			if found.length == 0 {
				r.skip()
				break
			}
			r.pair()
			found.newest = r.id()
			r.skip()
		default:
			r.skip()
		}
		if r.bad != nil {
			break
		}
	}
	return found
}
