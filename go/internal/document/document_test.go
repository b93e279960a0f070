package document

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// parse is the root of a text that must be valid.
func parse(t testing.TB, text string) Value {
	t.Helper()
	d := new(Document)
	if err := d.Parse([]byte(text)); err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return d.Root()
}

func TestParseAcceptsWhatRFC8259Allows(t *testing.T) {
	for text, kind := range map[string]Kind{
		`null`: Null, `true`: True, `false`: False, `0`: Number, `-0`: Number,
		`-12.5e+10`: Number, `1E5`: Number, `0.1`: Number, `1e-0`: Number,
		`""`: String, `"a"`: String, `"\"\\\/\b\f\n\r\t\u00e9"`: String, `"é😀"`: String,
		`"\ud83d\ude00"`: String, `"\uD83D\uDE00"`: String, "\"\u007f\"": String, `"\u0000"`: String,
		`{}`: Object, `[]`: Array, ` { } `: Object, " \t\r\n[ \t\r\n] ": Array,
		`{"a":1,"a":2}`: Object, `{"":{}}`: Object, `[[],{},[[]],{"a":[{}]}]`: Array,
		`[1,"two",null,true,{"three":[3.0]}]`: Array,
	} {
		if got := parse(t, text).Kind(); got != kind {
			t.Errorf("Parse(%q) is a %v, want %v", text, got, kind)
		}
	}
}

func TestParseRefusesEverythingElse(t *testing.T) {
	for _, test := range []struct {
		text   string
		offset int
	}{
		{``, 0},
		{` `, 1},
		{`nul`, 0},
		{`nulls`, 4},
		{`True`, 0},
		{`tru`, 0},
		{`fals`, 0},
		{`NaN`, 0},
		{`Infinity`, 0},
		{`01`, 1},
		{`-`, 1},
		{`+1`, 0},
		{`.5`, 0},
		{`1.`, 2},
		{`1.e5`, 2},
		{`1e`, 2},
		{`1e+`, 3},
		{`-a`, 1},
		{`0x10`, 1},
		{`1 2`, 2},
		{`"`, 1},
		{`"abc`, 4},
		{`"\x"`, 1},
		{`"\`, 1},
		{`"\u12"`, 1},
		{`"\u12g4"`, 1},
		{"\"a\nb\"", 2},
		{"\"\x00\"", 1},
		{`"\ud83d"`, 1},
		{`"\ude00"`, 1},
		{`"\ud83d\ud83d"`, 1},
		{`"\ud83dx\ude00"`, 1},
		{`"\ude00\ude00"`, 1},
		{`"\ud83d\uffff"`, 1},
		{`"\ud83d__dc00"`, 1},
		{`"\ud83d\ndc00"`, 1},
		{"\"12\x01456789\"", 3},
		{`"\ud83d\n"`, 1},
		{"\"\xff\"", 1},
		{"\"\xc3\"", 1},
		{"\"\xed\xa0\x80\"", 1},
		{"\"\xf4\x90\x80\x80\"", 1},
		{"\"12345678\xc0\xaf\"", 9},
		{`[`, 1},
		{`]`, 0},
		{`[1`, 2},
		{`[1,`, 3},
		{`[1,]`, 3},
		{`[,1]`, 1},
		{`[1 2]`, 3},
		{`[}`, 1},
		{`[1}`, 2},
		{`[]]`, 2},
		{`{`, 1},
		{`}`, 0},
		{`{"a"`, 4},
		{`{"a":`, 5},
		{`{"a":}`, 5},
		{`{"a" 1}`, 5},
		{`{a:1}`, 1},
		{`{"a":1,}`, 7},
		{`{,}`, 1},
		{`{"a":1]`, 6},
		{`{]`, 1},
		{`{1:2}`, 1},
		{`{"\x":1}`, 2},
		{`{"a":1 "b":2}`, 7},
		{"\ufeff{}", 0},
		{`{} x`, 3},
		{`[1000000000000000000`, 20},
		{"\v1", 0},
	} {
		var d Document
		if err := d.Parse([]byte(`[1234567890123456789]`)); err != nil {
			t.Fatal(err)
		}
		err := d.Parse([]byte(test.text))
		var parseError *ParseError
		if !errors.As(err, &parseError) || !errors.Is(err, ErrSyntax) {
			t.Errorf("Parse(%q): %v, want a syntax error", test.text, err)
			continue
		}
		if parseError.Offset != test.offset {
			t.Errorf("Parse(%q): %v, want offset %d", test.text, err, test.offset)
		}
		if d.Root().Exists() || d.HasBigNumber() || d.text != nil || Valid([]byte(test.text)) {
			t.Errorf("Parse(%q) failed and left a document behind", test.text)
		}
	}
}

func TestDepthIsLimited(t *testing.T) {
	nest := func(depth int) []byte {
		return []byte(strings.Repeat(`[{"a":`, depth/2) + strings.Repeat("[", depth%2) +
			strings.Repeat("]", depth%2) + strings.Repeat(`0}]`[depth%2:], min(1, depth/2)) + strings.Repeat(`}]`, max(0, depth/2-1)))
	}
	var d Document
	for _, depth := range []int{1, 2, 3, 499, 500} {
		if err := d.Parse(nest(depth)); err != nil {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
	for _, depth := range []int{501, 1000, 1_000_000} {
		if err := d.Parse(nest(depth)); !errors.Is(err, ErrDepth) {
			t.Errorf("depth %d: %v, want %v", depth, err, ErrDepth)
		}
	}
	if err := d.ParseWithin(nest(501), 501); err != nil {
		t.Errorf("depth 501 within 501: %v", err)
	}
	if err := d.ParseWithin(nest(1), 0); !errors.Is(err, ErrDepth) {
		t.Errorf("depth 1 within 0: %v, want %v", err, ErrDepth)
	}
	if err := d.Parse([]byte(strings.Repeat("[],", 1000) + "[]")); !errors.Is(err, ErrSyntax) {
		t.Errorf("siblings count as depth: %v", err)
	}
	if err := d.Parse([]byte("[" + strings.Repeat("[],", 1000) + "[]]")); err != nil {
		t.Errorf("siblings count as depth: %v", err)
	}
}

func TestGetFindsMembers(t *testing.T) {
	root := parse(t, `{"id":7,"nested":{"id":8,"list":[1,[2,3],{"x":"y"}]},"é":1,"\u0065sc\"aped":2,"twice":1,"twice":2,"":3,"after":true}`)
	for key, want := range map[string]string{
		"id": "7", "é": "1", `esc"aped`: "2", "twice": "2", "": "3", "after": "true",
		"nested": `{"id":8,"list":[1,[2,3],{"x":"y"}]}`, "list": "", "ID": "", "i": "", "idx": "", `\u0065sc\"aped`: "",
	} {
		if got := string(root.Get(key).Raw()); got != want {
			t.Errorf("Get(%q) is %q, want %q", key, got, want)
		}
	}
	if root.Get("id").Get("id").Exists() || root.Get("none").Get("id").Exists() || (Value{}).Get("id").Exists() {
		t.Error("Get found a member in what is no object")
	}
}

func TestAtAndLenCountElements(t *testing.T) {
	root := parse(t, `[0,[10,11],{"a":[]},"three"]`)
	for index, want := range map[int]string{-1: "", 0: "0", 1: "[10,11]", 2: `{"a":[]}`, 3: `"three"`, 4: ""} {
		if got := string(root.At(index).Raw()); got != want {
			t.Errorf("At(%d) is %q, want %q", index, got, want)
		}
	}
	for text, want := range map[string]int{`[]`: 0, `{}`: 0, `[[1,2],3]`: 2, `{"a":{"b":1},"a":2}`: 2, `"four"`: 0, `5`: 0} {
		if got := parse(t, text).Len(); got != want {
			t.Errorf("Len of %s is %d, want %d", text, got, want)
		}
	}
	if parse(t, `{"0":1}`).At(0).Exists() || (Value{}).At(0).Exists() || (Value{}).Len() != 0 {
		t.Error("At or Len found elements in what is no array")
	}
}

func TestCursorsVisitChildrenInOrder(t *testing.T) {
	var got []string
	root := parse(t, `{"a":[1,[2],{"x":3}],"b\n":{"c":null},"a":4}`)
	for members := root.Members(); members.Next(); {
		got = append(got, members.Key().Text()+"="+string(members.Value().Raw()))
	}
	for elements := root.Get("a").Elements(); elements.Next(); {
		t.Error("a number has elements")
	}
	for elements := parse(t, `[1,[2],{"x":3}]`).Elements(); elements.Next(); {
		got = append(got, string(elements.Value().Raw()))
	}
	for elements := root.Elements(); elements.Next(); {
		t.Error("an object has elements")
	}
	for members := (Value{}).Members(); members.Next(); {
		t.Error("Missing has members")
	}
	want := "[a=[1,[2],{\"x\":3}] b\n={\"c\":null} a=4 1 [2] {\"x\":3}]"
	if fmt.Sprint(got) != want {
		t.Errorf("visited %v, want %s", got, want)
	}
}

func TestLookupFollowsPaths(t *testing.T) {
	root := parse(t, `{"order":{"items":[{"sku":"a"},{"sku":"b","0":"zero"}],"7":"seven"},"01":"padded","a":null}`)
	for path, want := range map[string]string{
		"order.items.0.sku": `"a"`, "order.items.1.sku": `"b"`, "order.items.1.0": `"zero"`, "order.7": `"seven"`,
		"01": `"padded"`, "a": "null", "a.b": "", "order.items.2.sku": "", "order.items.01.sku": "", "order.items.sku": "",
		"order.items.-1": "", "order.items.99999999999999999999": "", "order.items.0.sku.x": "",
	} {
		p, err := ParsePath(path)
		if err != nil {
			t.Fatalf("ParsePath(%q): %v", path, err)
		}
		if got := string(root.Lookup(p).Raw()); got != want {
			t.Errorf("Lookup(%s) is %q, want %q", path, got, want)
		}
		if p.String() != path || !strings.HasSuffix(path, p.Last()) || p.Last() == "" {
			t.Errorf("path %q reads %q, its last segment %q", path, p, p.Last())
		}
	}
	if root.Lookup(Path{}) != root || (Value{}).Lookup(Path{}).Exists() {
		t.Error("the zero Path does not lead to the value itself")
	}
	for _, path := range []string{"", ".", ".a", "a.", "a..b"} {
		if _, err := ParsePath(path); err == nil || !strings.HasPrefix(err.Error(), "INVALID_VALUE: ") {
			t.Errorf("ParsePath(%q): %v, want INVALID_VALUE", path, err)
		}
	}
}

func TestBigNumbersAreNoticed(t *testing.T) {
	for text, want := range map[string]bool{
		`[999999999999999999]`: false, `[-999999999999999999]`: false, `[1000000000000000000]`: true,
		`{"a":-1000000000000000000}`: true, `[1.0000000000000000000]`: false, `["1000000000000000000000"]`: false, `[1e30]`: false,
	} {
		var d Document
		if err := d.Parse([]byte(text)); err != nil || d.HasBigNumber() != want {
			t.Errorf("%s: big %v (%v), want %v", text, d.HasBigNumber(), err, want)
		}
		if err := d.Parse([]byte(`[1]`)); err != nil || d.HasBigNumber() {
			t.Errorf("after %s a small number is big", text)
		}
	}
}

func TestTheZeroValueIsMissing(t *testing.T) {
	var v Value
	if v.Kind() != Missing || v.Exists() || v.Raw() != nil || v.Text() != "" || v.EqualText("") || v.IsInteger() {
		t.Error("the zero Value is something")
	}
	if (&Document{}).Root() != v {
		t.Error("the zero Document has a root")
	}
	if Missing.String() != "missing" || Array.String() != "array" {
		t.Error("kinds have the wrong names")
	}
}

func TestNarrowMakesAnInnerValueTheRoot(t *testing.T) {
	var d Document
	if err := d.Parse([]byte(`{"id":1,"data":{"id":2}}`)); err != nil {
		t.Fatal(err)
	}
	outer := d.Root()
	d.Narrow(outer.Get("data"))
	if got := string(d.Root().Get("id").Raw()); got != "2" || string(outer.Get("id").Raw()) != "1" {
		t.Errorf("the root's id is %s", got)
	}
	if err := d.Parse([]byte(`{"id":3}`)); err != nil || string(d.Root().Get("id").Raw()) != "3" {
		t.Errorf("Parse after Narrow: %v, %s", err, d.Root().Raw())
	}
	defer func() {
		if recover() == nil {
			t.Error("Narrow took a value of another document")
		}
	}()
	d.Narrow(outer.Get("none"))
}

func TestReadingAndParsingAgainAllocateNothing(t *testing.T) {
	var d Document
	text := []byte(event200)
	path, _ := ParsePath("order.items.0.sku")
	if err := d.Parse(text); err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(){
		"Parse":  func() { _ = d.Parse(text) },
		"Lookup": func() { _ = d.Root().Lookup(path).EqualText("A-1") },
		"Members": func() {
			for members := d.Root().Members(); members.Next(); {
				_ = members.Value().Kind()
			}
		},
		"CompareText":    func() { _, _ = d.Root().Get("note").CompareText("caf\u00e9 x") },
		"ContainsText":   func() { _ = d.Root().Get("note").ContainsText("\u00e9 \n") },
		"CompareNumbers": func() { _, _ = CompareNumbers(d.Root().Get("amount"), d.Root().Get("id")) },
	} {
		if allocations := testing.AllocsPerRun(100, use); allocations != 0 {
			t.Errorf("%s allocates %v times", name, allocations)
		}
	}
}

func TestATrimmedDocumentReadsAsBeforeAndHasNothingToSpare(t *testing.T) {
	var d Document
	for _, text := range []string{`{"a":[1,{"b":"x"}]}`, `[1,2,3,4,5,6,7,8,9,10,11,12,13,14]`} {
		if err := d.Parse([]byte(text)); err != nil {
			t.Fatal(err)
		}
		d.Trim()
		if string(d.Root().Raw()) != text || len(d.nodes) != cap(d.nodes) {
			t.Errorf("%s is read as %s, with room for %d of %d values", text, d.Root().Raw(), cap(d.nodes), len(d.nodes))
		}
	}
}

// TestARecycledDocumentIsAsNew: nothing of what it held is left, and it serves a longer text.
func TestARecycledDocumentIsAsNew(t *testing.T) {
	long := []byte("[" + strings.Repeat("1,", 5000) + "123456789012345678901]")
	for _, text := range [][]byte{[]byte(`{"a":[1,2]}`), long, []byte(`"x"`)} {
		d := New(len(text))
		if d.Root().Kind() != Missing || d.HasBigNumber() {
			t.Fatalf("a new document holds %s", d.Root().Raw())
		}
		if err := d.Parse(text); err != nil || string(d.Root().Raw()) != string(text) {
			t.Fatalf("%v, read %.50s of %.50s", err, d.Root().Raw(), text)
		}
		d.Recycle()
	}
}
