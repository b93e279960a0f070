package event

import (
	"math"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestPositionsReadBack(t *testing.T) {
	for text, want := range map[string]Position{
		"e:0": {Epoch: "e"}, "0198c0de-7a.B_1:42": {Epoch: "0198c0de-7a.B_1", Offset: 42},
		"e:18446744073709551615": {Epoch: "e", Offset: math.MaxUint64}, "e:9!0": {Epoch: "e", Offset: 9, Missing: []uint64{0}},
		"e:9!3,5,8": {Epoch: "e", Offset: 9, Missing: []uint64{3, 5, 8}},
	} {
		got, err := ParsePosition(text)
		if err != nil || !got.Equal(want) {
			t.Errorf("ParsePosition(%q): %+v, %v", text, got, err)
		}
		if got.String() != text || string(got.AppendText([]byte("x"))) != "x"+text {
			t.Errorf("%q is written %q", text, got)
		}
	}
	if (Position{Epoch: "e"}).Equal(Position{Epoch: "e", Offset: 1}) || (Position{Epoch: "e"}).Equal(Position{Epoch: "f"}) ||
		(Position{Offset: 2, Missing: []uint64{0}}).Equal(Position{Offset: 2, Missing: []uint64{1}}) {
		t.Error("different places are equal")
	}
}

func TestAnEventReceivedMovesAPosition(t *testing.T) {
	for _, test := range []struct {
		from   string
		offset uint64
		to     string
	}{
		{"e:4", 5, "e:5"}, {"e:4", 9, "e:9"}, {"e:4", 4, "e:4"}, {"e:9!3,5,8", 5, "e:9!3,8"}, {"e:9!3", 3, "e:9"}, {"e:9!3,5", 10, "e:10!3,5"},
	} {
		from, err := ParsePosition(test.from)
		if err != nil {
			t.Fatal(err)
		}
		if got := from.After(test.offset).String(); got != test.to || from.String() != test.from {
			t.Errorf("%s after %d is %s, want %s (and it became %s)", test.from, test.offset, got, test.to, from)
		}
	}
}

func TestWhatIsNoPositionIsRefused(t *testing.T) {
	for _, text := range []string{
		"", ":", "e", "e:", ":1", "e:é", "e:-1", "e:+1", "e:01", "e: 1", "e:1 ", "e:1.0", "e:18446744073709551616", "e:99999999999999999999",
		"e:f:1", "é:1", "a b:1", "e!1:2", "e:5!", "e:5!,", "e:5!1,", "e:5!5", "e:5!6", "e:5!2,2", "e:5!3,2", "e:5!1!2", "e:5!x", "e:5!01", "e\x00:1",
	} {
		if p, err := ParsePosition(text); fault.CodeOf(err) != fault.InvalidValue {
			t.Errorf("ParsePosition(%q): %+v, %v, want INVALID_VALUE", text, p, err)
		}
	}
	if _, err := ParsePosition(strings.Repeat("x", 1<<20)); err == nil || len(err.Error()) > 300 {
		t.Errorf("the error repeats a long value: %.400v", err)
	}
}

func TestAPlaceIsKeptAsItsText(t *testing.T) {
	for _, text := range []string{"e:p", "e:r1700000000000-3.a!b,c", "e:P" + strings.Repeat("0", maxPlace-1)} {
		p, err := ParsePosition(text)
		if err != nil || p.Place == nil || p.String() != text || !p.Equal(p) || p.IsZero() {
			t.Errorf("%.40s became %.40v, %v", text, p, err)
		}
		if p.Equal(Position{Epoch: "e", Offset: p.Offset}) {
			t.Errorf("%.40s equals an offset", text)
		}
	}
	for _, text := range []string{"e:p\"", "e:p q", "e:p:", "e:P" + strings.Repeat("0", maxPlace)} {
		if p, err := ParsePosition(text); err == nil {
			t.Errorf("%.40q became %.40v", text, p)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, seed := range []string{"e:0", "e:9!3,5,8", "a-b.c_d:18446744073709551615", "e:01", "e:5!5", ":", "e:5!", "e:r12-3.4"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePosition(text)
		if err != nil {
			if fault.CodeOf(err) != fault.InvalidValue {
				t.Fatalf("ParsePosition(%q): %v", text, err)
			}
			return
		}
		if p.String() != text {
			t.Fatalf("%q is written %q", text, p)
		}
	})
}
