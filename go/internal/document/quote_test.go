package document

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestQuotedTextReadsBack(t *testing.T) {
	for _, text := range someTexts {
		quoted := AppendQuoted([]byte("x"), text)
		if got := parse(t, string(quoted[1:])).Text(); got != text || quoted[0] != 'x' {
			t.Errorf("%q is quoted as %s", text, quoted)
		}
	}
}

func TestQuotedTextEscapesOnlyWhatItMust(t *testing.T) {
	for text, want := range map[string]string{
		"": `""`, "</é😀>\u2028": "\"</é😀>\u2028\"", "a\"\\/\n\x00\x1f\x7f": `"a\"\\/\n\u0000\u001f` + "\x7f\"",
		"a\xffb\xc3": "\"a\ufffdb\ufffd\"", "\ufffd": "\"\ufffd\"",
	} {
		if got := string(AppendQuoted(nil, text)); got != want {
			t.Errorf("%q is quoted as %s, want %s", text, got, want)
		}
	}
}

func TestQuotedTextIsEscapedWhereverItMust(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				text := strings.Repeat("~ ", 10)[:length]
				text = text[:at] + string([]byte{byte(c)}) + text[at+1:]
				var got string
				if err := json.Unmarshal(AppendQuoted(nil, text), &got); err != nil || got != toValid(text) {
					t.Fatalf("%q reads as %q, %v", text, got, err)
				}
			}
		}
	}
}

func FuzzAppendQuoted(f *testing.F) {
	for _, text := range someTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got string
		if err := json.Unmarshal(AppendQuoted(nil, text), &got); err != nil || got != toValid(text) {
			t.Fatalf("%q reads back as %q (%v)", text, got, err)
		}
	})
}

// toValid replaces every byte that is not UTF-8, as ranging over a string does.
func toValid(text string) string {
	var b strings.Builder
	for _, r := range text {
		b.WriteRune(r)
	}
	return b.String()
}
