package memory

import (
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
	h.bytes += len(ev.Data)
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
	h.bytes -= len(ev.Data)
	if ev.ChosenID {
		delete(h.chosen, ev.ID)
	}
}

// after is, in order, every retained event on a matching channel that a client
// at position since has not received. complete is false when such an event may
// have been dropped.
func (h *history) after(since event.Position, patterns []channel.Pattern) (events []*event.Event, complete bool) {
	oldest := since.Offset
	if len(since.Missing) > 0 {
		oldest = since.Missing[0] - 1
	}
	// A forgotten channel may have matched a wildcard; a floor above the position
	// says that events were lost, though not on which channel.
	if h.floor > oldest {
		return nil, false
	}
	for element := h.recent.Front(); element != nil; element = element.Next() {
		p := element.Value.(*past)
		if !slices.ContainsFunc(patterns, func(pattern channel.Pattern) bool { return pattern.Match(p.channel) }) {
			continue
		}
		if p.floor > oldest {
			return nil, false
		}
		for _, ev := range p.events {
			if ev.Offset > since.Offset || slices.Contains(since.Missing, ev.Offset) {
				events = append(events, ev)
			}
		}
	}
	slices.SortFunc(events, func(a, b *event.Event) int {
		return int(a.Offset) - int(b.Offset)
	})
	return events, true
}
