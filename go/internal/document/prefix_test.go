package document

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

func TestParsePrefixEndsBehindTheFirstValue(t *testing.T) {
	for text, rest := range map[string]string{
		`{"a":1},{"b":2}]`: `,{"b":2}]`, ` [1, 2] ]`: `]`, `"x]"`: ``, `5,6`: `,6`, `{} `: ``, `true false`: `false`, `{"a":{}}}`: `}`,
	} {
		var d Document
		end, err := d.ParsePrefix([]byte(text))
		if err != nil || text[end:] != rest {
			t.Errorf("%s goes on with %q (%v), want %q", text, text[min(end, len(text)):], err, rest)
		}
	}
	for _, text := range []string{``, ` `, `,1`, `{`, `{"a":1`, `]`} {
		var d Document
		if _, err := d.ParsePrefix([]byte(text)); err == nil || d.Root().Exists() {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestADocumentReadsTheCopyItWasMovedTo(t *testing.T) {
	text := []byte(`{"a":"b"},`)
	var d Document
	end, err := d.ParsePrefix(text)
	if err != nil {
		t.Fatal(err)
	}
	d.Move(bytes.Clone(text[:end]))
	clear(text)
	if root := d.Root(); string(root.Raw()) != `{"a":"b"}` || !root.Get("a").EqualText("b") {
		t.Errorf("it reads %q", root.Raw())
	}
}

// TestEveryNameIsFound looks for names of many lengths and first bytes, with and without escapes, and
// for ones that are not there.
func TestEveryNameIsFound(t *testing.T) {
	var d Document
	for i := range 200 {
		name := strings.Repeat(string(rune('0'+i%75)), i%9)
		for _, written := range []string{strconv.Quote(name), `"\u0078` + strconv.Quote(name)[1:]} {
			if err := d.Parse([]byte(`{"other":{` + written + `:1},` + written + `:2}`)); err != nil {
				t.Fatal(err)
			}
			key := name
			if strings.HasPrefix(written, `"\u`) {
				key = "x" + name
			}
			inner := d.Root().Get("other")
			if got := string(d.Root().Get(key).Raw()); got != "2" || string(inner.Get(key).Raw()) != "1" {
				t.Errorf("%s has %q", d.Root().Raw(), got)
			}
			if d.Root().Get(key+"?").Exists() || inner.Get("other").Exists() {
				t.Errorf("%s has what is not there", d.Root().Raw())
			}
		}
	}
}
