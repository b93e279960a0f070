package document

import (
	"bytes"
	"encoding/json"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse holds the reader against encoding/json: the same texts are valid,
// but for depth, UTF-8 and lone surrogates, and every value reads the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		event200, `[]`, `{}`, `[1,-2.5e3,true,false,null,"\u00e9\ud83d\ude00é"]`, `{"a":{"b":[{}]},"a":1}`, `"\ud800"`, "\"\xff\"",
		`01`, `[1,]`, `{"a"}`, strings.Repeat("[", 501), ` { "a" : [ 1 , 2 ] } `, `"1234567\n"`, `1234567890123456789012`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var d Document
		err := d.Parse(text)
		want := json.Valid(text) && utf8.Valid(text) && nesting(text) <= MaxDepth && !hasLoneSurrogate(text)
		if (err == nil) != want {
			t.Fatalf("Parse(%q): %v, want valid %v", text, err, want)
		}
		if err != nil {
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		var value any
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		if !same(d.Root(), value) {
			t.Fatalf("%q does not read as %v", text, value)
		}
		if !Equal(d.Root(), d.Root()) || !bytes.Equal(d.Root().Raw(), bytes.Trim(text, " \t\r\n")) {
			t.Fatalf("%q is not itself", text)
		}
	})
}

func FuzzCompareNumbers(f *testing.F) {
	for i, x := range someNumbers {
		f.Add(x, someNumbers[len(someNumbers)-1-i])
	}
	f.Fuzz(func(t *testing.T, x, y string) {
		var a, b Document
		if a.Parse([]byte(x)) != nil || b.Parse([]byte(y)) != nil || a.Root().Kind() != Number || b.Root().Kind() != Number {
			return
		}
		if longExponent.MatchString(x) || longExponent.MatchString(y) {
			return
		}
		got, ok := CompareNumbers(a.Root(), b.Root())
		p, _ := new(big.Rat).SetString(strings.TrimSpace(x))
		q, _ := new(big.Rat).SetString(strings.TrimSpace(y))
		if !ok || got != p.Cmp(q) {
			t.Fatalf("%s against %s: %d", x, y, got)
		}
		whole, ok := a.Root().Int64()
		if ok != (p.IsInt() && p.Num().IsInt64()) || ok && whole != p.Num().Int64() {
			t.Fatalf("%s reads %d %v", x, whole, ok)
		}
	})
}

// longExponent finds numbers that big.Rat would need much memory for.
var longExponent = regexp.MustCompile(`[eE][+-]?[0-9]{5,}`)

func nesting(text []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

var (
	anyEscape = regexp.MustCompile(`\\(u[0-9a-fA-F]{4}|.)`)
	pair      = regexp.MustCompile(`(?i)\\ud[89ab]..\\ud[c-f]..`)
	half      = regexp.MustCompile(`(?i)\\ud[89a-f]`)
)

// hasLoneSurrogate looks at nothing but the escapes, takes the pairs away and
// looks for a half that is left.
func hasLoneSurrogate(text []byte) bool {
	var escapes []byte
	end := 0
	for _, at := range anyEscape.FindAllIndex(text, -1) {
		if at[0] != end {
			escapes = append(escapes, '_')
		}
		escapes = append(escapes, text[at[0]:at[1]]...)
		end = at[1]
	}
	escapes = bytes.ReplaceAll(escapes, []byte(`\\`), []byte("_"))
	return half.Match(pair.ReplaceAll(escapes, nil))
}

func same(v Value, want any) bool {
	switch want := want.(type) {
	case nil:
		return v.Kind() == Null
	case bool:
		return v.Kind() == True && want || v.Kind() == False && !want
	case json.Number:
		return v.Kind() == Number && string(v.Raw()) == want.String()
	case string:
		order, _ := v.CompareText(want)
		return v.Kind() == String && v.Text() == want && v.EqualText(want) && order == 0
	case []any:
		if v.Kind() != Array || v.Len() != len(want) {
			return false
		}
		i := 0
		for elements := v.Elements(); elements.Next(); i++ {
			if !same(elements.Value(), want[i]) || v.At(i) != elements.Value() {
				return false
			}
		}
		return true
	case map[string]any:
		names := map[string]bool{}
		for members := v.Members(); members.Next(); {
			names[members.Key().Text()] = true
		}
		for name, member := range want {
			var found [MostPicked]Value
			v.Pick([]string{name + "?", name}, &found)
			if !same(v.Get(name), member) || found[1] != v.Get(name) || found[0] != v.Get(name+"?") {
				return false
			}
		}
		return v.Kind() == Object && len(names) == len(want)
	}
	return false
}
