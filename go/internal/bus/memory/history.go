package memory

import (
	"cmp"
	"container/list"
	"math"
	"slices"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// Bounds over all channels, so that an application with a channel for every
// order does not grow for ever: beyond them the channel that was published to
// least recently is forgotten.
const (
	maxHistoryBytes    = 64 << 20
	maxHistoryChannels = 16_384
)

// history keeps the newest events of each channel. Not safe for concurrent use:
// Bus.mu guards it.
type history struct {
	retain   int // events a channel
	bytes    int // of all chunks
	events   int
	channels map[string]*list.Element // of *past
	recent   *list.List               // of *past, most recently published first
	chosen   map[string]uint64        // offsets of retained events whose id the publisher chose
	floor    uint64                   // highest offset of any forgotten channel
	spare    *chunk                   // for a channel that needs one
}

// past is one channel's history: the newest events, oldest first.
type past struct {
	channel string
	chunks  []*chunk // none of them empty
	events  int
	bytes   int    // of its chunks
	floor   uint64 // highest offset dropped from this channel
}

func newHistory(retain int) history {
	return history{
		retain:   retain,
		channels: make(map[string]*list.Element),
		recent:   list.New(),
		chosen:   make(map[string]uint64),
	}
}

// forget drops everything, up to the newest offset.
func (h *history) forget(last uint64) {
	*h = newHistory(h.retain)
	h.floor = last
}

func (h *history) len() int { return h.events }

// seen is the offset of the retained event with ev's id, if the publisher chose
// that id and has published it before.
func (h *history) seen(ev *event.Event) (uint64, bool) {
	if !ev.ChosenID {
		return 0, false
	}
	offset, seen := h.chosen[ev.ID]
	return offset, seen
}

func (h *history) add(ev *event.Event) {
	p := h.newest(ev.Channel)
	c := h.room(p, ev)
	c.text = appendRecord(c.text, ev)
	p.events++
	h.events++
	if ev.ChosenID {
		h.chosen[ev.ID] = ev.Offset
	}
	if p.events > h.retain {
		h.dropOldest(p)
	}
	for h.bytes > maxHistoryBytes || len(h.channels) > maxHistoryChannels {
		h.shrink()
	}
}

// newest is the history of a channel, which is now the most recently published one.
func (h *history) newest(channel string) *past {
	if front := h.recent.Front(); front != nil {
		if p := front.Value.(*past); p.channel == channel {
			return p
		}
	}
	if element := h.channels[channel]; element != nil {
		h.recent.MoveToFront(element)
		return element.Value.(*past)
	}
	p := &past{channel: channel, floor: h.floor}
	h.channels[channel] = h.recent.PushFront(p)
	return p
}

// room is p's last chunk, with room for ev. Each new one doubles what the channel has, up to a limit:
// most channels have few events.
func (h *history) room(p *past, ev *event.Event) *chunk {
	size, kept := recordSize(ev), p.bytes
	if len(p.chunks) > 0 {
		kept -= p.chunks[0].read
		if last := p.chunks[len(p.chunks)-1]; cap(last.text)-len(last.text) >= size {
			return last
		}
	}
	c := h.spare
	if kept >= chunkBytes && c != nil && cap(c.text) >= size {
		h.spare = nil
	} else {
		c = &chunk{text: slices.Grow([]byte(nil), max(size, min(kept, chunkBytes)))}
	}
	c.first = ev.Offset
	p.chunks = append(p.chunks, c)
	p.bytes += c.weight()
	h.bytes += c.weight()
	return c
}

// shrink drops the least recently published channel, or the oldest half of the
// only one.
func (h *history) shrink() {
	oldest := h.recent.Back()
	p := oldest.Value.(*past)
	if h.recent.Len() == 1 {
		for range (p.events + 1) / 2 {
			h.dropOldest(p)
		}
		return
	}
	for p.events > 0 {
		h.dropOldest(p)
	}
	h.floor = max(h.floor, p.floor)
	h.recent.Remove(oldest)
	delete(h.channels, p.channel)
}

func (h *history) dropOldest(p *past) {
	c := p.chunks[0]
	oldest := c.text[c.read:]
	offset, size := readPlace(oldest)
	p.floor = offset
	p.events--
	h.events--
	if len(h.chosen) > 0 {
		if r := readRecord(oldest); r.flags&chosenID != 0 {
			delete(h.chosen, string(r.id))
		}
	}
	if c.read += size; c.read < len(c.text) {
		return
	}
	p.chunks[0] = nil
	p.chunks = p.chunks[1:]
	p.bytes -= c.weight()
	h.bytes -= c.weight()
	if h.spare == nil && !c.lent && cap(c.text) >= chunkBytes && cap(c.text) < 2*chunkBytes {
		h.spare = &chunk{text: c.text[:0]}
	}
}

// after is, in order, every retained event on a matching channel that a client
// at position since has not received. complete is false when such an event may
// have been dropped; then there are none.
func (h *history) after(since event.Position, patterns []channel.Pattern) (events []*event.Event, complete bool) {
	sought, unknown := h.sought(patterns)
	// lost is the highest offset that may have been dropped from a channel of
	// theirs. Forgotten channels may have matched, too.
	lost := uint64(0)
	if unknown {
		lost = h.floor
	}
	for _, p := range sought {
		lost = max(lost, p.floor)
	}
	if lost > since.Offset {
		return nil, false
	}
	if doubtful, _ := slices.BinarySearch(since.Missing, lost+1); doubtful > 0 && !h.retains(since.Missing[:doubtful]) {
		return nil, false
	}
	for _, p := range sought {
		keep := func(c *chunk, at int, _ uint64) {
			c.lent = true
			r := readRecord(c.text[at:])
			events = append(events, r.event(p.channel))
		}
		p.those(since.Missing, keep)
		p.between(since.Offset+1, math.MaxUint64, keep)
	}
	slices.SortFunc(events, func(a, b *event.Event) int { return cmp.Compare(a.Offset, b.Offset) })
	return events, true
}

// sought are the channels that match a pattern. unknown is true when channels
// that are not there may match as well.
func (h *history) sought(patterns []channel.Pattern) (sought []*past, unknown bool) {
	for _, pattern := range patterns {
		// No channel is named like a pattern with wildcards.
		element := h.channels[pattern.String()]
		if element == nil {
			unknown = true
			break
		}
		if p := element.Value.(*past); !slices.Contains(sought, p) {
			sought = append(sought, p)
		}
	}
	if !unknown {
		return sought, false
	}
	sought = sought[:0]
	for element := h.recent.Front(); element != nil; element = element.Next() {
		p := element.Value.(*past)
		if slices.ContainsFunc(patterns, func(pattern channel.Pattern) bool { return pattern.Match(p.channel) }) {
			sought = append(sought, p)
		}
	}
	return sought, true
}

// retains tells whether the events at all these offsets are kept, on whichever
// channels.
func (h *history) retains(offsets []uint64) bool {
	found := 0
	for element := h.recent.Front(); element != nil; element = element.Next() {
		element.Value.(*past).those(offsets, func(*chunk, int, uint64) { found++ })
	}
	return found == len(offsets)
}

// those visits p's events at these offsets, which ascend. They come from a
// client: its time is bounded by what p keeps, however many they are.
func (p *past) those(offsets []uint64, visit func(c *chunk, at int, offset uint64)) {
	if len(offsets) == 0 {
		return
	}
	p.between(offsets[0], offsets[len(offsets)-1], func(c *chunk, at int, offset uint64) {
		if _, found := slices.BinarySearch(offsets, offset); found {
			visit(c, at, offset)
		}
	})
}

// between visits p's events from offset first to last, in order: where they lie in a chunk.
func (p *past) between(first, last uint64, visit func(c *chunk, at int, offset uint64)) {
	begin, found := slices.BinarySearchFunc(p.chunks, first, func(c *chunk, offset uint64) int { return cmp.Compare(c.first, offset) })
	if !found && begin > 0 {
		begin-- // the chunk before may go on beyond it
	}
	for _, c := range p.chunks[begin:] {
		for at := c.read; at < len(c.text); {
			offset, size := readPlace(c.text[at:])
			if offset > last {
				return
			}
			if offset >= first {
				visit(c, at, offset)
			}
			at += size
		}
	}
}
