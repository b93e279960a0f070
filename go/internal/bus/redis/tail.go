// Package redis is the server side of a bus on Redis Streams: one stream a channel, read
// in one order by every node.
package redis

import (
	"hash/maphash"
	"slices"
	"strconv"
	"time"
)

// stream is one that is followed.
type stream struct {
	key     string
	channel string // "" for the bus's own
	hash    uint64
	last    streamID // what follows is unread
	known   streamID // the newest entry that was there, for all we know; zero: none
	// added is how many entries it had ever had where it was read to; -1: unknown. It is
	// certain up to counted.
	added     int64
	counted   streamID
	suspected bool   // of a gap
	active    uint64 // when it was last known to be in use, in milliseconds
	// found is the time up to which entries may be older than what has been read: they
	// were written without an announcement. Otherwise zero.
	found uint64

	argument []byte   // last, as XREAD is given it; empty until it is
	sorted   streamID // of the newest entry that sortEntries has seen
}

func (s *stream) moveTo(last streamID) {
	s.last = last
	s.argument = s.argument[:0]
}

// pass notes that so many entries have been read, to that of an id.
func (s *stream) pass(count int, end streamID) {
	s.known, s.active = end, end.ms
	s.moveTo(end)
	if s.added >= 0 {
		s.added += int64(count)
	}
}

// tail reads the streams that it follows, in the order of the entries' times; those
// of one millisecond in the order in which they became readable. Not safe for
// concurrent use.
//
// Redis gives ids by its clock and executes one command at a time. So a command that
// shows an entry of time t shows every entry of an earlier time, of whatever stream,
// unless the clock went back, and but for those that COUNT cuts off: tail keeps
// what is later than the end of a stream that was cut off, until it knows the rest.
// So it does with what is later than the announcement of a channel, until it has read
// that channel.
type tail struct {
	batch int
	wants func(channel string) (since uint64, ok bool) // since when it is to be followed
	byKey map[string]*stream
	own   own
	kept  []entry // read, and not given yet
	// full is how many entries of a stream let it be suspected of a gap.
	full     int
	suspects []*stream
	skipped  []skipped // found, and not told yet
	epoch    string
	at       place // after the newest entry given
	wake     uint64
	// skewed: the next entry's time has been passed already. Nothing is given before
	// straighten.
	skewed  bool
	given   []entry   // memory: that of the newest entries given
	ordered []*stream // in the order of their arguments; nil when streams have changed, and never changed itself
	keys    []byte    // theirs, as XREAD is given them
	// changes is how often the streams have changed.
	changes uint64
}

func newTail(batch int, wants func(string) (uint64, bool)) *tail {
	return &tail{batch: batch, full: batch, wants: wants, byKey: make(map[string]*stream), own: own{seed: maphash.MakeSeed()}}
}

// add follows a stream after an id from now on.
func (t *tail) add(key, channel string, after streamID) *stream {
	made := &stream{key: key, channel: channel, active: max(after.ms, t.at.ms), added: -1, counted: after.next()}
	made.moveTo(after)
	if channel != "" {
		made.hash = hashChannel(channel)
	}
	t.byKey[key] = made
	t.change()
	return made
}

func (t *tail) change() {
	t.ordered = nil
	t.changes++
}

// follow reads a channel's entries after an id from now on; not if it is followed.
func (t *tail) follow(channel string, after streamID) (made *stream) {
	if t.follows(channel) != nil {
		return nil
	}
	return t.add(streamPrefix+channel, channel, after)
}

func (t *tail) follows(channel string) *stream { return t.byKey[streamPrefix+channel] }

// forget stops reading channels; none of their entries is given any more.
func (t *tail) forget(unwanted func(*stream) bool) {
	for key, one := range t.byKey {
		if one.channel == "" || !unwanted(one) {
			continue
		}
		delete(t.byKey, key)
		t.change()
		t.kept = slices.DeleteFunc(t.kept, func(e entry) bool { return e.from == one })
	}
}

// next waits at most patience for entries, and gives those that are there, until it is
// called again. The error is a server's or the connection's; nothing is lost by it.
func (t *tail) next(on *wire, patience time.Duration) ([]entry, error) {
	on.begin(patience + answerPatience)
	var asked []*stream
	on.commands, asked = t.appendChecks(on.commands)
	waits := len(t.kept)+len(asked) == 0 // what is answered is to be told
	on.commands = t.appendRead(on.commands, waits, patience)
	on.send()
	answer := on.answer()
	for _, one := range asked {
		t.check(&answer, one)
	}
	before := len(t.kept)
	found, err := t.take(&answer)
	if err != nil {
		on.done(&answer, false)
		return nil, err
	}
	limit := found.limit
	t.own.recognise(t.kept[before:])
	on.done(&answer, readEvents(t.kept[before:]))
	if waits && len(found.moves) == 1 {
		// Redis 7.0 answers who waits with the stream that was written to first, not with
		// all that one transaction wrote to.
		if first := t.kept[0].id.ms; limit == nil || first < *limit {
			limit = &first
		}
	}
	sortEntries(t.kept)
	return t.give(limit), nil
}

// take keeps what an XREAD has brought that nothing follows, or nothing of it.
func (t *tail) take(r *reply) (found brought, err error) {
	found, err = r.streams(t.ordered, t.batch, t.kept)
	if err == nil && len(r.rest) > 0 {
		err = errElse
	}
	if err == nil {
		t.keep(&found)
	}
	return found, err
}

// keep notes what an XREAD has brought.
func (t *tail) keep(found *brought) {
	t.kept = found.entries
	for _, one := range found.moves {
		one.stream.pass(one.count, one.end)
		if one.count >= t.full {
			t.suspect(one.stream)
		}
	}
}

// isCalm tells that there is nothing to be read or put right before anything else.
func (t *tail) isCalm() bool {
	return len(t.kept)+len(t.suspects)+len(t.skipped) == 0 && !t.skewed
}

// passTransaction takes what a transaction has read, as from a calm tail, and has had accepted then, and gives
// all of it that is to be given, until something is given again.
func (t *tail) passTransaction(found *brought, attempts []attempt) []entry {
	found.entries = append(t.kept, found.entries...)
	t.keep(found)
	sortEntries(t.kept)
	if found.limit != nil { // what it has added is behind what it has not shown
		return t.give(found.limit)
	}
	newest := streamID{}
	if len(t.kept) > 0 {
		newest = t.kept[len(t.kept)-1].id
	}
	ascending := true
	for i := range attempts {
		for k := range attempts[i].events {
			one := &attempts[i].events[k]
			from := t.streamOf(one.channel)
			if from == nil { // nobody here wants it, or it is read later
				continue
			}
			from.pass(1, one.id)
			t.kept = append(t.kept, entry{id: one.id, from: from, event: attempts[i].request.Events[k]})
			ascending = ascending && one.id.ms >= newest.ms
			newest = one.id
		}
	}
	if !ascending { // the clock went back, or somebody has chosen an id
		sortEntries(t.kept)
	}
	return t.give(nil)
}

// streamOf is the stream of a channel that this node publishes on, nil if it is not followed.
func (t *tail) streamOf(one *channelWritten) *stream {
	if one.changes != t.changes {
		one.followed, one.changes = t.follows(one.name), t.changes
	}
	return one.followed
}

// appendRead appends the next XREAD.
func (t *tail) appendRead(dst []byte, waits bool, patience time.Duration) []byte {
	if t.ordered == nil {
		t.keys = t.keys[:0]
		for _, one := range t.byKey {
			t.ordered = append(t.ordered, one)
			t.keys = appendArgument(t.keys, one.key)
		}
	}
	options := []string{"COUNT", strconv.Itoa(t.batch)}
	if waits {
		options = append(options, "BLOCK", strconv.FormatInt(max(patience.Milliseconds(), 1), 10))
	}
	options = append(options, "STREAMS")
	dst = appendCommand(dst, "XREAD", len(options)+2*len(t.ordered))
	for _, one := range options {
		dst = appendArgument(dst, one)
	}
	dst = append(dst, t.keys...)
	for _, one := range t.ordered {
		if len(one.argument) == 0 {
			one.argument = appendArgument(one.argument, one.last.String())
		}
		dst = append(dst, one.argument...)
	}
	return dst
}

// give takes out what is not later than limit; nil for everything. What is kept is in order.
func (t *tail) give(limit *uint64) []entry {
	end := 0
	marks := make([]mark, len(t.kept))
	for ; end < len(t.kept); end++ {
		e := &t.kept[end]
		// Entries of the limit's own millisecond may follow in the stream cut off.
		if limit != nil && e.id.ms > *limit {
			break
		}
		if t.skewed = t.isLate(e); t.skewed {
			break
		}
		if e.notice != nil && t.obey(e) {
			limit = &[]uint64{e.id.ms}[0]
		}
		t.pass(e)
		e.mark = &marks[end]
		*e.mark = mark{epoch: t.epoch, at: t.at, wake: t.wake, channel: e.from.hash, id: e.id}
	}
	// What was given before is not needed any more, and its memory is for what is kept.
	given := t.kept[:end]
	clear(t.given)
	rest := t.kept[end:]
	t.kept, t.given = append(t.given[:0], rest...), given
	clear(rest)
	return given
}

// isLate reports whether an event comes after places that claim to be behind it.
func (t *tail) isLate(e *entry) bool {
	if e.channel() == "" || e.id.ms >= t.at.ms {
		return false
	}
	from := t.follows(e.channel())
	return from == nil || e.id.ms > from.found
}

// straighten begins anew, in a new epoch, with the late entry.
func (t *tail) straighten(epoch string) {
	t.epoch, t.skewed = epoch, false
	t.at = place{ms: t.kept[0].id.ms}
}

// pass moves the place behind an entry.
func (t *tail) pass(e *entry) {
	switch {
	case e.id.ms < t.at.ms: // found late, or the bus's own
	case e.channel() != "":
		t.at = t.at.pass(e.from.hash, e.id)
	case e.id.ms > t.at.ms:
		t.at = place{ms: e.id.ms}
	}
}

// obey does what a notice says, and reports whether streams were added by that: what is
// later must wait until they have been read.
func (t *tail) obey(e *entry) (added bool) {
	n := e.notice
	if n.epoch != "" {
		n.news = n.epoch != t.epoch
		t.epoch = n.epoch
	}
	if n.announced != "" {
		added = t.hear(e.id.ms, n)
	}
	if n.wake > t.wake {
		t.wake = n.wake
	}
	for _, one := range n.follow {
		if t.follow(one.channel, one.after) == nil {
			continue
		}
		added = true
		if one.exists {
			t.follows(one.channel).known = one.after
		}
		t.follows(one.channel).added = one.added
		if one.after.ms == e.id.ms && e.id.ms >= t.at.ms { // history of the wake-up's own millisecond
			t.at = t.at.pass(hashChannel(one.channel), one.after)
		}
	}
	return added
}

// hear follows a channel that is in use, if it is wanted.
func (t *tail) hear(ms uint64, n *notice) (added bool) {
	if known := t.follows(n.announced); known != nil {
		known.active = max(known.active, ms)
		return false
	}
	since, wanted := t.wants(n.announced)
	if !wanted {
		return false
	}
	if n.found && since < ms {
		t.follow(n.announced, before(since)).found = ms
		return true
	}
	t.follow(n.announced, before(ms)).added = n.added
	return true
}
