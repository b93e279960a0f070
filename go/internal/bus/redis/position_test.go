package redis

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

func TestPositionsReadBack(t *testing.T) {
	for text, want := range map[string]*cursor{
		"r0":                             {},
		"rzz":                            {at: place{ms: 1295}},
		"rzz.1-0":                        {at: place{1295, []seen{{1, 0}}}},
		"rzz.1-0.3w5e11264sgsf-a":        {at: place{1295, []seen{{1, 0}, {math.MaxUint64, 10}}}},
		"rzz!2-1-0!3-zz-b":               {at: place{ms: 1295}, lags: []lag{{2, streamID{1, 0}}, {3, streamID{1295, 11}}}},
		"r1.1-2!1-1-1":                   {at: place{1, []seen{{1, 2}}}, lags: []lag{{1, streamID{1, 1}}}},
		"r3w5e11264sgsf.5-3w5e11264sgsf": {at: place{math.MaxUint64, []seen{{5, math.MaxUint64}}}},
	} {
		got, ok := parseCursor(text)
		if !ok || got.at.ms != want.at.ms || !slices.Equal(got.at.seen, want.at.seen) || !slices.Equal(got.lags, want.lags) {
			t.Errorf("%q is read as %+v, %v", text, got, ok)
			continue
		}
		if written := string(want.AppendText(nil)); written != text {
			t.Errorf("%+v is written %q, want %q", want, written, text)
		}
	}
}

func TestWhatIsNoPositionIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "r", "1", "x1", "r-1", "r+1", "rA", "r01", "r1.", "r1.1", "r1.1-", "r1.1-2-3", "r1.01-1", "r1.2-1.1-1", "r1.1-1.1-2", "r1!", "r1!1-1",
		"r1!1-1-1-1", "r1!2-1-1!1-1-1", "r1!1-1-1.1-1", "r1.1-1!", "r3w5e11264sgsg", "r1 ", "r1.1-1,", "r1!1-1-1!1-1-1",
		"r1" + ascending(".", "-0", maxNamed+1), "r1" + ascending("!", "-0-0", maxNamed+1),
	} {
		if c, ok := parseCursor(text); ok {
			t.Errorf("%.80q is read as %+v", text, c)
		}
		if _, err := cursorOf(event.Position{Epoch: "e", Place: event.Text(text)}); err != remote.ErrUnrecovered {
			t.Errorf("%.80q: %v", text, err)
		}
	}
	if _, err := cursorOf(event.Position{Epoch: "e", Offset: 3}); err != remote.ErrUnrecovered {
		t.Errorf("an offset is taken for a place: %v", err)
	}
}

// ascending are so many channels.
func ascending(before, after string, count int) string {
	var text strings.Builder
	for n := range count {
		text.WriteString(before + string("0123456789abcdefghijklmnopqrstuvwxyz"[(n+36)/36]) + string("0123456789abcdefghijklmnopqrstuvwxyz"[n%36]) + after)
	}
	return text.String()
}

func FuzzParseCursor(f *testing.F) {
	for _, seed := range []string{"r0", "rzz.1-0.3w5e11264sgsf-a", "rzz!2-1-0!3-zz-b", "r1.1-2!1-1-1", "r01", "r1!", "r1.2-1.1-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := parseCursor(text)
		if !ok {
			return
		}
		if written := string(c.AppendText(nil)); written != text {
			t.Fatalf("%q is written %q", text, written)
		}
		if p, err := event.ParsePosition("e:" + text); len(text) <= 16_384 && (err != nil || p.Place != event.Text(text)) {
			t.Fatalf("%q is no position's text: %v", text, err)
		}
	})
}

// TestPositionsTellExactlyWhatWasReceived reads entries of random channels and times in
// order, lets some of them lag behind as lanes do, and looks whether the position,
// through its text, starts every channel where its client is.
func TestPositionsTellExactlyWhatWasReceived(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 6))
		channels := channelNames(1 + random.IntN(5))
		server := &Server{}
		var reached place
		var items []remote.Item
		seqs := map[string]uint64{}
		ms := uint64(1000)
		for range 60 {
			if random.IntN(3) == 0 {
				ms += 1 + random.Uint64N(2)
				clear(seqs)
			}
			channel := channels[random.IntN(len(channels))]
			id := streamID{ms, seqs[channel]}
			seqs[channel]++
			reached = reached.pass(hashChannel(channel), id)
			items = append(items, remote.Item{
				Event: &event.Event{Channel: channel},
				Mark:  &mark{epoch: "e", at: reached, channel: hashChannel(channel), id: id},
			})
		}
		read := random.IntN(len(items)) + 1
		received := make([]bool, len(items))
		first := map[string]int{} // of a channel: the first that is pending
		var pending []remote.Item
		for i, item := range items[:read] {
			channel := item.Event.Channel
			if _, lags := first[channel]; !lags && random.IntN(8) == 0 {
				first[channel] = i
				pending = append(pending, item)
			}
			_, lags := first[channel]
			received[i] = !lags
		}
		check := func(at event.Position) {
			t.Helper()
			parsed, err := event.ParsePosition(at.String())
			if err != nil {
				t.Fatal(err)
			}
			c, err := cursorOf(parsed)
			if err != nil {
				t.Fatalf("%s: %v", at, err)
			}
			for i, item := range items {
				one := item.Mark.(*mark)
				if got := one.id.compare(c.start(one.channel)) < 0; got != received[i] {
					t.Fatalf("seed %d: %s says of entry %d, %s on %s, that it was received: %v", seed, at, i, one.id, item.Event.Channel, got)
				}
			}
		}
		at := server.Reached(items[read-1].Mark, pending)
		check(at)
		// What is missing comes in the order of the history.
		for i, item := range items {
			if received[i] {
				continue
			}
			at = server.After(at, item)
			received[i] = true
			// Later entries of other channels are passed over only in order.
			if i >= read {
				check(at)
			}
		}
		check(at)
	}
}

func TestAPositionIsBounded(t *testing.T) {
	var at place
	var pending []remote.Item
	for n := range uint64(5000) {
		at = at.pass(n, streamID{7, n})
		pending = append(pending, remote.Item{Mark: &mark{channel: n, id: streamID{7 + n%2, n}}})
	}
	server := &Server{}
	full := server.Reached(&mark{epoch: "e", at: at}, nil)
	c, err := cursorOf(reread(t, full))
	if err != nil || len(c.at.seen) != maxNamed || c.at.ms != 7 {
		t.Fatalf("%v: %d channels named", err, len(c.at.seen))
	}
	if got := c.start(4999); got != (streamID{7, 5000}) {
		t.Errorf("the newest channel starts at %v", got)
	}
	if got := c.start(3); got != (streamID{7, 0}) {
		t.Errorf("a channel that has no room in the text starts at %v, behind what was received", got)
	}
	c, err = cursorOf(reread(t, server.Reached(&mark{epoch: "e", at: at}, pending)))
	if err != nil || len(c.lags) != 0 || c.start(4999) != (streamID{7, 0}) {
		t.Errorf("%v: with too many that lag behind, it is %s", err, c.AppendText(nil))
	}
}

// reread goes through a position's text.
func reread(t *testing.T, at event.Position) event.Position {
	t.Helper()
	again, err := event.ParsePosition(at.String())
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestAPlaceKnowsManyChannelsOfOneMillisecond(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var at place
	var all []place
	newest := map[uint64]uint64{}
	for n := range uint64(3000) {
		channel := random.Uint64N(40)
		newest[channel] = n
		at = at.pass(channel, streamID{5, n})
		all = append(all, at)
	}
	for channel, seq := range newest {
		if !at.covers(channel, streamID{5, seq}) || at.covers(channel, streamID{5, seq + 1}) {
			t.Errorf("channel %d was read up to %d", channel, seq)
		}
	}
	if len(at.seen) > 200 {
		t.Errorf("40 channels take %d entries", len(at.seen))
	}
	for i := 1; i < len(all); i++ {
		if !all[i].includes(all[i-1]) || all[i-1].includes(all[i]) {
			t.Fatalf("place %d and the one before are not in order", i)
		}
	}
}
