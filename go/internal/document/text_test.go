package document

import (
	"cmp"
	"encoding/json"
	"math/bits"
	"strings"
	"testing"
)

// spellings are sources of the same text, the last one escaping all of it.
func spellings(t testing.TB, text string) []Value {
	t.Helper()
	plain, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	all.WriteByte('"')
	for _, r := range text {
		if r >= 0x10000 {
			high, low := rune(0xD800+(r-0x10000)>>10), rune(0xDC00+(r-0x10000)&0x3FF)
			writeEscape(&all, high)
			r = low
		}
		writeEscape(&all, r)
	}
	all.WriteByte('"')
	return []Value{parse(t, string(plain)), parse(t, all.String())}
}

func writeEscape(b *strings.Builder, r rune) {
	b.WriteString(`\u`)
	for shift := 12; shift >= 0; shift -= 4 {
		b.WriteByte("0123456789abCDEF"[r>>shift&0xF])
	}
}

var someTexts = []string{
	"", "a", "b", "ab", "aab", "abc", "é", "e\u0301", "日本語", "日本", "😀", "a😀b", "\x00", "a\x00", "\u2028", "\"quoted\\\"",
	"\n\r\t\b\f/", "12345678", "123456789", "x12345678é", "\uffff", "\U0010ffff", "abababac", strings.Repeat("ab", 50) + "c",
}

func TestTextsCompareHoweverTheyAreWritten(t *testing.T) {
	for _, text := range someTexts {
		for _, v := range spellings(t, text) {
			if v.Text() != text || string(v.AppendText([]byte("="))) != "="+text {
				t.Errorf("%s reads %q, want %q", v.Raw(), v.Text(), text)
			}
			for _, other := range someTexts {
				if got := v.EqualText(other); got != (text == other) {
					t.Errorf("%s equals %q: %v", v.Raw(), other, got)
				}
				if got, ok := v.CompareText(other); !ok || sign(got) != cmp.Compare(text, other) {
					t.Errorf("%s against %q: %d %v", v.Raw(), other, got, ok)
				}
				if got := v.HasTextPrefix(other); got != strings.HasPrefix(text, other) {
					t.Errorf("%s begins with %q: %v", v.Raw(), other, got)
				}
				if got := v.ContainsText(other); got != strings.Contains(text, other) {
					t.Errorf("%s contains %q: %v", v.Raw(), other, got)
				}
				for _, w := range spellings(t, other) {
					if got := Equal(v, w); got != (text == other) {
						t.Errorf("%s equals %s: %v", v.Raw(), w.Raw(), got)
					}
				}
			}
		}
	}
}

func TestWhatIsNoStringHasNoText(t *testing.T) {
	for _, text := range []string{`null`, `5`, `["a"]`, `{"a":"a"}`, `true`} {
		v := parse(t, text)
		_, ordered := v.CompareText("a")
		if v.Text() != "" || len(v.AppendText(nil)) != 0 || v.EqualText("") || ordered || v.HasTextPrefix("") || v.ContainsText("") {
			t.Errorf("%s has a text", text)
		}
	}
}

func TestSearchingAnEscapedTextIsLinear(t *testing.T) {
	// The square of these lengths would take minutes.
	v := parse(t, `"\n`+strings.Repeat("a", 1_000_000)+`"`)
	if v.ContainsText(strings.Repeat("a", 300_000) + "b") {
		t.Error("found a text that is not there")
	}
}

func TestSearchingAnEscapedTextChecksWhatItFinds(t *testing.T) {
	// The Thue-Morse word and its complement have one hash in any base.
	var word, complement strings.Builder
	for i := range 2048 {
		odd := bits.OnesCount(uint(i)) & 1
		word.WriteByte("ab"[odd])
		complement.WriteByte("ba"[odd])
	}
	v := parse(t, `"\n`+complement.String()+`"`)
	if v.ContainsText(word.String()) || !v.ContainsText(complement.String()) {
		t.Error("equal hashes count as equal texts")
	}
}

func TestEqualComparesByValueAtAnyDepth(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[2,{"c":null}]}`, `{ "b":[2.0,{"c":null}], "a":1e0 }`, true},
		{`{"a":1}`, `{"a":1,"b":2}`, false},
		{`{"a":1,"b":2}`, `{"a":1}`, false},
		{`{"a":1,"a":2}`, `{"a":2}`, true},
		{`{"a":2,"a":1}`, `{"a":2}`, false},
		{`{"a":2}`, `{"a":1,"\u0061":2}`, true},
		{`[]`, `{}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`[1]`, `[1,1]`, false},
		{`[1,1]`, `[1]`, false},
		{`[]`, `[]`, true},
		{`null`, `false`, false},
		{`true`, `1`, false},
		{`"1"`, `1`, false},
		{`null`, `null`, true},
		{`0`, `-0.0`, true},
		{`{"a":null}`, `{"b":null}`, false},
		{`{"a":null}`, `{}`, false},
	} {
		if got := Equal(parse(t, test.a), parse(t, test.b)); got != test.want {
			t.Errorf("Equal(%s, %s) is %v", test.a, test.b, got)
		}
	}
	if !Equal(Value{}, Value{}) || Equal(Value{}, parse(t, `null`)) {
		t.Error("Missing equals what it should not")
	}
}
