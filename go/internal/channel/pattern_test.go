package channel

import (
	"strconv"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func quoted(s string) string { return strconv.Quote(s) }

func pattern(t testing.TB, text string) Pattern {
	t.Helper()
	p, err := ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPatternMatchesBySegmentsAndKeepsSeparatorsApart(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a", true},
		{"*", "a.b:c", true},
		{">", "a.b:c", true},
		{"a.b", "a.b", true},
		{"a.b", "a:b", false},
		{"a.b", "a.b.c", false},
		{"a.b", "a", false},
		{"a.*", "a.b", true},
		{"a.*", "a:b", false},
		{"a:*", "a:b", true},
		{"a.*", "a", false},
		{"a.*", "a.b.c", false},
		{"*.b", "a.b", true},
		{"*.b", "a:b", false},
		{"*.b", "b", false},
		{"*.*", "a.b", true},
		{"*.*", "a:b", false},
		{"*.*", "a", false},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.b:c", false},
		{"a.>", "a.b", true},
		{"a.>", "a.b:c.d", true},
		{"a.>", "a:b", false},
		{"a.>", "a", false},
		{"a:>", "a:b", true},
		{"*.>", "a.b", true},
		{"*.>", "a", false},
		{"é.*", "é.b", true},
	} {
		if got := pattern(t, c.pattern).Match(c.name); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
}

func TestPatternRefusesMisplacedWildcards(t *testing.T) {
	for text, says := range map[string]string{
		"":         "empty",
		"a.>.b":    "comes last",
		">.a":      "comes last",
		"a*":       "inside the segment \"a*\"",
		"a.b>":     "inside the segment",
		"**":       "inside the segment",
		"a.*>":     "inside the segment",
		"a..*":     "empty segment",
		"*.":       "empty segment",
		"a. *":     "white space",
		"a.\xff.*": "UTF-8",
	} {
		_, err := ParsePattern(text)
		if fault.CodeOf(err) != fault.InvalidValue || !strings.Contains(err.Error(), says) {
			t.Errorf("ParsePattern(%q) = %v, want INVALID_VALUE saying %q", text, err, says)
		}
	}
}

func TestPatternPrintsAsItWasWritten(t *testing.T) {
	for _, text := range []string{"*", ">", "a.b", "a:*.>"} {
		if got := pattern(t, text).String(); got != text {
			t.Errorf("%q prints as %q", text, got)
		}
	}
}

func TestTheZeroPatternMatchesNoChannel(t *testing.T) {
	if (Pattern{}).Match("a") {
		t.Error("matches")
	}
}

// naive decides by splitting into segments and separators.
func naive(pattern, name string) bool {
	if pattern == "*" || pattern == ">" {
		return true
	}
	p, n := split(pattern), split(name)
	for i, part := range p {
		if i >= len(n) {
			return false
		}
		if part == ">" {
			return true
		}
		if part != n[i] && (part != "*" || i%2 == 1) {
			return false
		}
	}
	return len(p) == len(n)
}

// split gives segments at even places and separators at odd ones.
func split(text string) []string {
	var parts []string
	for {
		i := strings.IndexAny(text, ".:")
		if i < 0 {
			return append(parts, text)
		}
		parts = append(parts, text[:i], text[i:i+1])
		text = text[i+1:]
	}
}

func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{{"a.*", "a.b"}, {"*", "a"}, {"a:>", "a:b.c"}, {"*.b", "a:b"}, {"a\x00", ""}, {"é", "\xff"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		p, err := ParsePattern(text)
		if err != nil {
			if fault.CodeOf(err) != fault.InvalidValue {
				t.Fatalf("error without its code: %v", err)
			}
			if Validate(text) == nil {
				t.Fatalf("%q can be published on but not subscribed to: %v", text, err)
			}
			return
		}
		if Validate(text) == nil && !p.Match(text) {
			t.Fatalf("%q doesn't match itself", text)
		}
		if Validate(name) != nil {
			return
		}
		want := naive(text, name)
		if got := p.Match(name); got != want {
			t.Fatalf("%q matches %q: %v, want %v", text, name, got, want)
		}
		var x Index[int, field]
		m := new(int)
		x.Add([]Pattern{p}, nil, m)
		if got := len(x.AppendMatches(nil, name)) == 1; got != want {
			t.Fatalf("index finds %q for %q: %v, want %v", text, name, got, want)
		}
	})
}
