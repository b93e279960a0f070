package filter

import (
	"slices"
	"strings"
	"testing"
)

func TestOnlyWhatMustHoldByItselfIsAnEquality(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                              ``,
		`{"a":1}`:                         `a=1`,
		`{"a":{"equals":"x","gt":"w"}}`:   `a="x"`,
		`{"a":1,"b.0":{"in":[2,null]}}`:   `a=1 b.0=2,null`,
		`{"all":[{"a":1},{".all":true}]}`: `a=1 all=true`,
		`{"a":{"in":[]}}`:                 `a=`,
		`{"a":{"in":[1,2,3,4]}}`:          ``,
		`{"any":[{"a":1}]}`:               ``,
		`{"not":{"a":1},"b":{"not_in":[1]},"c":{"not_equals":1},"d":{"gte":1},"e":{"exists":true}}`: ``,
	} {
		f, err := Compile([]byte(text), 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, equality := range f.AppendEqualities(nil, 3) {
			var values []string
			for _, value := range equality.Values {
				values = append(values, string(value.Raw()))
			}
			got = append(got, equality.Path.String()+"="+strings.Join(values, ","))
		}
		slices.Sort(got)
		if joined := strings.Join(got, " "); joined != want {
			t.Errorf("%s requires %q, want %q", text, joined, want)
		}
	}
}
