package memory

import (
	"cmp"
	"container/list"
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
	// eventBytes is what an event takes besides its texts: the Event and its
	// place in the history.
	eventBytes = 192
)

// history keeps the newest events of each channel. Not safe for concurrent use:
// Bus.mu guards it.
type history struct {
	retain   int // events a channel
	bytes    int
	events   int
	channels map[string]*list.Element // of *past
	recent   *list.List               // of *past, most recently published first
	chosen   map[string]uint64        // offsets of retained events whose id the publisher chose
	floor    uint64                   // highest offset of any forgotten channel
}

// past is one channel's history: the newest events, oldest first.
type past struct {
	channel string
	events  []*event.Event
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
	element := h.channels[ev.Channel]
	if element == nil {
		element = h.recent.PushFront(&past{channel: ev.Channel, floor: h.floor})
		h.channels[ev.Channel] = element
	} else {
		h.recent.MoveToFront(element)
	}
	p := element.Value.(*past)
	p.events = append(p.events, ev)
	h.events++
	h.bytes += weight(ev)
	if ev.ChosenID {
		h.chosen[ev.ID] = ev.Offset
	}
	if len(p.events) > h.retain {
		h.dropOldest(p)
	}
	for h.bytes > maxHistoryBytes || len(h.channels) > maxHistoryChannels {
		h.shrink()
	}
}

// shrink drops the least recently published channel, or the oldest half of the
// only one.
func (h *history) shrink() {
	oldest := h.recent.Back()
	p := oldest.Value.(*past)
	if h.recent.Len() == 1 {
		for range (len(p.events) + 1) / 2 {
			h.dropOldest(p)
		}
		return
	}
	for len(p.events) > 0 {
		h.dropOldest(p)
	}
	h.floor = max(h.floor, p.floor)
	h.recent.Remove(oldest)
	delete(h.channels, p.channel)
}

func (h *history) dropOldest(p *past) {
	ev := p.events[0]
	p.events[0] = nil
	p.events = p.events[1:]
	p.floor = ev.Offset
	h.events--
	h.bytes -= weight(ev)
	if ev.ChosenID {
		delete(h.chosen, ev.ID)
	}
}

// weight is about how many bytes ev keeps in use.
func weight(ev *event.Event) int {
	return eventBytes + len(ev.Data) + len(ev.ID) + len(ev.Type) + len(ev.Channel) + len(ev.CorrelationID)
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
		events = p.appendThose(events, since.Missing)
		first, _ := p.find(since.Offset + 1)
		events = append(events, p.events[first:]...)
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
	var found []*event.Event
	for element := h.recent.Front(); element != nil; element = element.Next() {
		found = element.Value.(*past).appendThose(found, offsets)
	}
	return len(found) == len(offsets)
}

// appendThose appends p's events at these offsets, which ascend. They come from a
// client: its time is bounded by what p keeps, however many they are.
func (p *past) appendThose(events []*event.Event, offsets []uint64) []*event.Event {
	if len(offsets) == 0 {
		return events
	}
	first, _ := p.find(offsets[0])
	end, _ := p.find(offsets[len(offsets)-1] + 1)
	for _, ev := range p.events[first:end] {
		if _, found := slices.BinarySearch(offsets, ev.Offset); found {
			events = append(events, ev)
		}
	}
	return events
}

// find is where the event at offset is, or would be.
func (p *past) find(offset uint64) (index int, found bool) {
	return slices.BinarySearchFunc(p.events, offset, func(ev *event.Event, offset uint64) int {
		return cmp.Compare(ev.Offset, offset)
	})
}
