package received

import (
	"slices"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

func parse(t testing.TB, text string) event.Position {
	t.Helper()
	at, err := event.ParsePosition(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

var written = map[string]Set{
	"e:0":                   {},
	"e:7":                   {UpTo: 7},
	"e:u7+9":                {UpTo: 7, Also: 9},
	"e:u7-zz.3-1z141yz.7":   {UpTo: 7, Lags: []Lag{{1295, 3}, {4294967291, 7}}},
	"e:u7+8-10.1":           {UpTo: 7, Also: 8, Lags: []Lag{{36, 1}}},
	"e:9223372036854775807": {UpTo: 1<<63 - 1},
}

func TestSetsAreReadAsTheyAreWritten(t *testing.T) {
	for text, s := range written {
		at := s.Position("e")
		if got := at.String(); got != text {
			t.Errorf("%+v is written %s, want %s", s, got, text)
		}
		read, ok := Of(parse(t, text))
		if again, own := Of(at); !ok || !own || again.Position("e").String() != text || read.Position("e").String() != text {
			t.Errorf("%s is read as %+v, %v, and %+v, %v", text, read, ok, again, own)
		}
	}
}

var strange = []string{
	"e:18446744073709551615", "e:9223372036854775808", "e:1!0", "e:x", "e:u", "e:u1", "e:u1+", "e:u1+1", "e:u01+2", "e:u1+02", "e:u1-",
	"e:u1-a", "e:u1-a.0", "e:u1-a.2", "e:u1-A.1", "e:u1-zzzzzzzzzzzzzzz.1", "e:u9223372036854775808+1", "e:u1+2+3", "e:v1+2", "e:u1-a.1.1",
	"e:u1" + strings.Repeat("-a.1", MostLags+1),
}

func TestPositionsThatNobodyGaveAreRefused(t *testing.T) {
	for _, text := range strange {
		if s, ok := Of(parse(t, text)); ok {
			t.Errorf("%s is read as %+v", text, s)
		}
	}
}

func FuzzOf(f *testing.F) {
	for text := range written {
		f.Add(text)
	}
	for _, text := range strange {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := event.ParsePosition(text)
		if err != nil {
			return
		}
		s, ok := Of(at)
		if !ok {
			return
		}
		if got := s.Position(at.Epoch).String(); got != text {
			t.Errorf("%s is written again as %s", text, got)
		}
		if c := s.Complete(); c > s.UpTo || c > 0 && !s.Has("a", c) || s.Newest() < s.UpTo {
			t.Errorf("%s: complete up to %d, newest %d", text, c, s.Newest())
		}
	})
}

// TestAClientThatFollowsItsPositionsReceivesEachEventOnce lets positions go every way:
// with events accepted early, channels that lag, and items that come next.
func TestAClientThatFollowsItsPositionsReceivesEachEventOnce(t *testing.T) {
	channels := []string{"a", "b", "c", "a", "b", "c", "a", "b", "c", "a"}
	for _, at := range []Set{
		{UpTo: 4, Also: 8},
		{UpTo: 6, Lags: []Lag{{Hash("a"), 4}}},
		{UpTo: 6, Also: 9, Lags: []Lag{{Hash("a"), 1}, {Hash("c"), 6}}},
		{UpTo: 0, Also: 10},
		{UpTo: 10},
	} {
		missing := at.missing(channels)
		for i, seq := range missing {
			at = at.After(seq)
			read, ok := Of(parse(t, at.Position("e").String()))
			if left := read.missing(channels); !ok || !slices.Equal(left, missing[i+1:]) {
				t.Errorf("after %d, at %+v: %v are missing, want %v", seq, at, left, missing[i+1:])
			}
		}
	}
}

// missing is what has not been received of events on these channels, in their order.
func (s Set) missing(channels []string) (seqs []uint64) {
	for i, channel := range channels {
		if seq := uint64(i + 1); !s.Has(channel, seq) {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}
