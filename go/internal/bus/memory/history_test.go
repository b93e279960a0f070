package memory

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// filled is a bus with no audience and events at 1, 2, … on these channels.
func filled(t *testing.T, retain int, channels ...string) *Bus {
	t.Helper()
	b := New(idle{}, retain)
	for _, channel := range channels {
		accept(t, b, new(bus.Thread), bustest.NewEvent(t, plain, channel, ""), bus.WaitDispatched)
	}
	return b
}

func repeated(channel string, n int) []string { return slices.Repeat([]string{channel}, n) }

func TestHistoryIsExactOrSaysThatItIsNot(t *testing.T) {
	for _, c := range []struct {
		name      string
		retain    int
		channels  []string
		since     uint64
		missing   []uint64
		patterns  []string
		want      []uint64
		recovered bool
	}{
		{"within what a channel retains", 2, repeated("a", 4), 2, nil, []string{"a"}, []uint64{3, 4}, true},
		{"one before what a channel retains", 2, repeated("a", 4), 1, nil, []string{"a"}, nil, false},
		{"another channel was trimmed", 2, append([]string{"b"}, repeated("a", 4)...), 0, nil, []string{"b"}, []uint64{1}, true},
		{"a wildcard covers a trimmed channel", 2, append([]string{"b"}, repeated("a", 4)...), 1, nil, []string{"*"}, nil, false},
		{"a missing event is kept on a quiet channel", 2, append([]string{"b"}, repeated("a", 4)...), 5, []uint64{1}, []string{"a", "b"}, []uint64{1}, true},
		{"a missing event is kept on a channel not asked for", 2, append([]string{"b"}, repeated("a", 4)...), 5, []uint64{1}, []string{"a"}, nil, true},
		{"a missing event was dropped", 2, repeated("a", 4), 4, []uint64{1}, []string{"a"}, nil, false},
		{"a missing event is not below anything dropped", 2, repeated("a", 4), 4, []uint64{3}, []string{"a"}, []uint64{3}, true},
		{"a missing event that never was", 2, repeated("a", 4), 4, []uint64{0}, []string{"a"}, nil, false},
		{"nothing is retained", 0, repeated("a", 2), 1, nil, []string{"a"}, nil, false},
		{"nothing is retained and nothing was missed", 0, repeated("a", 2), 2, nil, []string{"a"}, nil, true},
		{"a channel without events", 2, repeated("a", 4), 0, nil, []string{"c"}, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := filled(t, c.retain, c.channels...)
			since := event.Position{Epoch: b.epoch, Offset: c.since, Missing: c.missing}
			b.Replay(new(bus.Thread), since, bustest.Patterns(t, c.patterns...), func(events []bus.Replayed, last uint64, recovered bool) {
				if got := bustest.Offsets(events); recovered != c.recovered || !slices.Equal(got, c.want) || last != uint64(len(c.channels)) {
					t.Errorf("%v up to %d, recovered %v; want %v, %v", got, last, recovered, c.want, c.recovered)
				}
			})
		})
	}
}

// check compares h's counts with what it holds.
func (h *history) check(t *testing.T) {
	t.Helper()
	events, bytes, chosen := 0, 0, 0
	for element := h.recent.Front(); element != nil; element = element.Next() {
		p := element.Value.(*past)
		if h.channels[p.channel] != element || p.events > h.retain {
			t.Fatalf("channel %s has %d events", p.channel, p.events)
		}
		held, last := 0, p.floor
		p.between(0, math.MaxUint64, func(c *chunk, at int, offset uint64) {
			if offset <= last {
				t.Fatalf("channel %s has event %d behind %d", p.channel, offset, last)
			}
			held, last = held+1, offset
			if r := readRecord(c.text[at:]); r.flags&chosenID != 0 {
				chosen++
			}
		})
		weight := 0
		for _, c := range p.chunks {
			weight += c.weight()
			if c.read == len(c.text) {
				t.Errorf("channel %s has an empty chunk", p.channel)
			}
		}
		if p.events != held || p.bytes != weight {
			t.Errorf("channel %s counts %d events in %d bytes; holds %d in %d", p.channel, p.events, p.bytes, held, weight)
		}
		events += held
		bytes += weight
	}
	if h.events != events || h.bytes != bytes || len(h.chosen) != chosen || h.recent.Len() != len(h.channels) {
		t.Errorf("counts %d events, %d bytes, %d chosen, %d channels; holds %d, %d, %d, %d",
			h.events, h.bytes, len(h.chosen), len(h.channels), events, bytes, chosen, h.recent.Len())
	}
	if h.bytes > maxHistoryBytes || len(h.channels) > maxHistoryChannels {
		t.Errorf("holds %d bytes, %d channels", h.bytes, len(h.channels))
	}
}

func (b *Bus) recovers(t *testing.T, since uint64, pattern string) (recovered bool) {
	b.Replay(new(bus.Thread), event.Position{Epoch: b.epoch, Offset: since}, bustest.Patterns(t, pattern), func(events []bus.Replayed, last uint64, complete bool) {
		recovered = complete
		for i, one := range events {
			if ev := one.Event; pattern == "*" && ev.Offset != since+1+uint64(i) {
				t.Errorf("since %d: event %d is at place %d", since, one.Event.Offset, i)
			}
		}
		if pattern == "*" && complete && uint64(len(events)) != last-since {
			t.Errorf("since %d up to %d: %d events", since, last, len(events))
		}
	})
	return recovered
}

func TestHistoryForgetsTheQuietestChannelsBeyondItsBounds(t *testing.T) {
	b := filled(t, 4, "first", "second", "first")
	for i := range maxHistoryChannels - 1 {
		accept(t, b, new(bus.Thread), bustest.NewEvent(t, plain, fmt.Sprintf("c%d", i), ""), bus.WaitDispatched)
	}
	b.history.check(t)
	// second (event 2) went, first (events 1 and 3) is kept.
	for _, c := range []struct {
		since   uint64
		pattern string
		want    bool
	}{
		{2, "*", true},
		{1, "*", false},
		{0, "*", false},
		{0, "first", true},
		{1, "second", false},
		{2, "second", true},
		{0, "c5", true},
	} {
		if got := b.recovers(t, c.since, c.pattern); got != c.want {
			t.Errorf("%s since %d: recovered %v, want %v", c.pattern, c.since, got, c.want)
		}
	}
	// A channel that was forgotten and comes back is not taken for complete.
	accept(t, b, new(bus.Thread), bustest.NewEvent(t, plain, "second", ""), bus.WaitDispatched)
	if b.recovers(t, 1, "second") || !b.recovers(t, 2, "second") {
		t.Error("a channel that came back hides what was dropped from it")
	}
	b.history.check(t)
}

func TestHistoryIsBoundedInBytes(t *testing.T) {
	b := New(idle{}, 1024)
	data := []byte(`{"text":"` + strings.Repeat("x", 1<<20) + `"}`)
	publish := func(channel string) {
		ev, err := event.New(plain, channel, data, "", "")
		if err != nil {
			t.Fatal(err)
		}
		accept(t, b, new(bus.Thread), ev, bus.WaitDispatched)
	}
	for range 10 {
		publish("quiet")
	}
	for range 60 {
		publish("busy")
	}
	b.history.check(t)
	if b.history.channels["quiet"] != nil || b.recovers(t, 9, "*") || !b.recovers(t, 10, "*") {
		t.Error("the quiet channel is still there")
	}
	for range 10 { // alone, it loses its older half
		publish("busy")
	}
	b.history.check(t)
	if n := b.history.len(); n < 30 || n > 64 {
		t.Errorf("%d events of 1 MB are kept", n)
	}
}

func TestAnEventTakesLittleMoreThanItsTexts(t *testing.T) {
	for n, most := range map[int]int{1: 300, 10: 3000, 10_000: 1_100_000} {
		b := filled(t, 20_000, repeated("a", n)...)
		b.history.check(t)
		if b.history.bytes > most {
			t.Errorf("%d events of 36 bytes of id and 8 of data count as %d bytes", n, b.history.bytes)
		}
	}
}

// TestReplayedEventsStayWhatTheyWere looks at them again when what the history kept them in has been
// written anew.
func TestReplayedEventsStayWhatTheyWere(t *testing.T) {
	b := New(idle{}, 100)
	written := make(map[uint64]string)
	publish := func() {
		for i := range 1000 {
			id, correlationID := "", ""
			if i%2 == 0 {
				id = fmt.Sprint("chosen", len(written))
			}
			if i%3 == 0 {
				correlationID = "why"
			}
			data := fmt.Appendf(nil, `{"n":%d,"text":"%s"}`, len(written), strings.Repeat("x", i))
			ev, err := event.New(plain, []string{"a", "b"}[i%5/4], data, correlationID, id)
			if err != nil {
				t.Fatal(err)
			}
			written[accept(t, b, new(bus.Thread), ev, bus.WaitDispatched).Position.Offset] = string(ev.AppendJSON(nil))
		}
		b.history.check(t)
	}
	publish()
	var replayed []bus.Replayed
	err := b.Replay(new(bus.Thread), b.position(900), bustest.Patterns(t, "a", "b"), func(events []bus.Replayed, _ uint64, recovered bool) {
		if replayed = events; len(events) != 100 || !recovered {
			t.Errorf("%d events are replayed, recovered %v", len(events), recovered)
		}
	})
	if err != nil {
		t.Error(err)
	}
	publish()
	for i, one := range replayed {
		offset, ev := uint64(901+i), one.Event
		if got := string(ev.AppendJSON(nil)); ev.Offset != offset || got != written[offset] || ev.ChosenID != strings.HasPrefix(ev.ID, "chosen") {
			t.Fatalf("event %d is %s, chosen %v; want %s", ev.Offset, got, ev.ChosenID, written[offset])
		}
	}
}

func TestAChosenIDIsForgottenWithItsEvent(t *testing.T) {
	b := New(idle{}, 2)
	publish := func(id string) uint64 {
		return accept(t, b, new(bus.Thread), bustest.NewEvent(t, plain, "a", id), bus.WaitDispatched).Position.Offset
	}
	for _, c := range []struct {
		id   string
		want uint64
	}{{"one", 1}, {"one", 1}, {"two", 2}, {"three", 3}, {"one", 4}, {"three", 3}} {
		if got := publish(c.id); got != c.want {
			t.Errorf("%s is accepted at %d, want %d", c.id, got, c.want)
		}
	}
	b.history.check(t)
}

func TestTheHistoryKeepsNoParsedDocuments(t *testing.T) {
	b := New(idle{}, 2)
	ev := bustest.NewEvent(t, plain, "a", "")
	parsed := ev.Document()
	accept(t, b, new(bus.Thread), ev, bus.WaitDispatched)
	if parsed.Root().Exists() {
		t.Error("the parsed form is still there after dispatch")
	}
}

func TestAClosedBusKeepsNoEvents(t *testing.T) {
	b := New(idle{}, 8)
	accept(t, b, new(bus.Thread), bustest.NewEvent(t, plain, "a", ""), bus.WaitDispatched)
	since := b.position(0)
	for range 2 {
		if !b.Close() {
			t.Error("events are on their way")
		}
	}
	if n := b.Stats().Retained; n != 0 {
		t.Errorf("%d events are kept", n)
	}
	err := b.Replay(new(bus.Thread), since, bustest.Patterns(t, "a"), func(events []bus.Replayed, last uint64, recovered bool) {
		if recovered || len(events) > 0 || last != 1 {
			t.Errorf("%d events up to %d are replayed, recovered %v", len(events), last, recovered)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAShortHistoryStaysSmall publishes to each channel far more than is kept.
func TestAShortHistoryStaysSmall(t *testing.T) {
	const channels, rounds = 50, 300
	h := newHistory(1)
	for i := range uint64(channels * rounds) {
		ev := bustest.NewEvent(t, "plain", fmt.Sprintf("c.%d", i%channels), "")
		ev.Offset = i + 1
		h.add(ev)
	}
	h.check(t)
	one := recordSize(bustest.NewEvent(t, "plain", "c.0", ""))
	if most := channels * (4*one + 2*chunkWeight); h.bytes > most {
		t.Errorf("%d events are kept in %d bytes, want at most %d", h.events, h.bytes, most)
	}
}
