package document

import (
	"testing"
)

// kinds are texts of which every two in different rows are different values, and
// every two in one row the same.
var kinds = [][]string{
	{`null`},
	{`true`},
	{`false`},
	{`0`, `-0`, `0.00`, `0e5`},
	{`5`, `5.0`, `50e-1`, `0.5E1`, `5.000e+0`},
	{`-5`, `-5.0`},
	{`50`, `5e1`},
	{`9007199254740993`, `9007199254740993.0`},
	{`9007199254740992`},
	{`"5"`, `"\u0035"`},
	{`"5.0"`},
	{`""`},
	{`"a\"b"`, `"a\u0022b"`},
	{`"ab"`},
	{`[]`},
	{`[1,2]`, `[1.0, 2]`},
	{`[2,1]`},
	{`[12]`},
	{`["1,2"]`},
	{`["a","b"]`},
	{`["ab",""]`},
	{`[[1],2]`},
	{`{}`},
	{`{"a":1,"b":2}`, `{"b":2.0,"a":1}`, `{"a":7,"b":2,"a":1}`},
	{`{"a":1}`},
	{`{"a":{"b":2}}`},
	{`{"a":null}`},
}

func parsed(t *testing.T, text string) Value {
	t.Helper()
	d := new(Document)
	if err := d.Parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return d.Root()
}

func TestCanonicalTextsAreEqualExactlyWhenTheValuesAre(t *testing.T) {
	for i, row := range kinds {
		for _, text := range row {
			for j, others := range kinds {
				for _, other := range others {
					a, b := parsed(t, text), parsed(t, other)
					same := string(AppendCanonical(nil, a)) == string(AppendCanonical(nil, b))
					if same != (i == j) || same != Equal(a, b) {
						t.Errorf("%s and %s: same text %v, equal %v", text, other, same, Equal(a, b))
					}
				}
			}
		}
	}
	missing := string(AppendCanonical(nil, Value{}))
	for _, row := range kinds {
		if missing == string(AppendCanonical(nil, parsed(t, row[0]))) {
			t.Errorf("a missing value has the text of %s", row[0])
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, row := range kinds {
		f.Add([]byte(row[0]), []byte(row[len(row)-1]))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var a, b Document
		if a.Parse(first) != nil || b.Parse(second) != nil {
			return
		}
		same := string(AppendCanonical(nil, a.Root())) == string(AppendCanonical(nil, b.Root()))
		if same != Equal(a.Root(), b.Root()) {
			t.Errorf("%s and %s: same text %v", first, second, same)
		}
	})
}
