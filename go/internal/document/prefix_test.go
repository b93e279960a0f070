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

func TestNamesArePickedTogetherAsTheyAreAlone(t *testing.T) {
	var d Document
	text := `{"a":1,"bb":{"a":5},"cc":3,"a":4,"\u0065":[],"":0}`
	if err := d.Parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	names := []string{"cc", "a", "none", "e", "bb", "", "a", "dd"}
	var found [MostPicked]Value
	for _, v := range []Value{d.Root(), d.Root().Get("bb"), d.Root().Get("e"), d.Root().Get("a"), {}} {
		for count := range len(names) + 1 {
			found[len(names)-1] = d.Root() // of an earlier call
			v.Pick(names[:count], &found)
			for i, one := range found {
				want := Value{}
				if i < count {
					want = v.Get(names[i])
				}
				if one != want {
					t.Errorf("%d of %q in %s: %q is %q", count, names, v.Raw(), names[i], one.Raw())
				}
			}
		}
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
