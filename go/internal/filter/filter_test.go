package filter

import (
	"errors"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// order is the event that the table below asks about.
const order = `{
	"id": 7, "status": "open", "amount": 12.50, "big": 9007199254740993, "paid": true, "late": false, "note": null,
	"name": "Zo\u00eb \ud83d\ude00", "empty": "", "tags": ["new", "eu", 5, null], "none": [], "address": {"city": "Lyon", "zip": "69001"},
	"items": [{"sku": "A-1", "qty": 3}, {"sku": "B-2", "qty": 1.0, "0": "zero"}], "7": "seven",
	"all": "every", "any": 1, "not": {"exists": 5}, "twice": 1, "twice": 2
}`

const yes, no = true, false

var cases = []struct {
	name   string
	filter string
	want   bool
}{
	{"an empty filter takes every event", `{}`, yes},
	{"a value alone means equals", `{"status": "open"}`, yes},
	{"a value alone means equals: another value", `{"status": "shut"}`, no},
	{"all paths must hold", `{"status": "open", "id": 7}`, yes},
	{"all paths must hold: one does not", `{"status": "open", "id": 8}`, no},
	{"all operators of a path must hold", `{"id": {"gt": 6, "lt": 8}}`, yes},
	{"all operators of a path must hold: one does not", `{"id": {"gt": 6, "lt": 7}}`, no},

	{"equals compares numbers by value", `{"id": {"equals": 7.0}}`, yes},
	{"equals compares numbers by value: exponents", `{"amount": {"equals": 125e-1}}`, yes},
	{"equals is exact beyond 53 bits", `{"big": {"equals": 9007199254740992}}`, no},
	{"equals does not turn a string into a number", `{"id": {"equals": "7"}}`, no},
	{"a boolean is no number", `{"paid": {"equals": 1}}`, no},
	{"a boolean equals itself", `{"paid": true, "late": false}`, yes},
	{"a boolean does not equal the other", `{"paid": false}`, no},
	{"a null equals null", `{"note": null}`, yes},
	{"a null equals nothing else", `{"note": false}`, no},
	{"strings compare by the text they stand for", `{"name": "Zoë \uD83D\uDE00"}`, yes},
	{"strings compare with case", `{"status": "Open"}`, no},
	{"objects compare by value, in any order", `{"address": {"equals": {"zip": "69001", "city": "Lyon"}}}`, yes},
	{"objects compare whole", `{"address": {"equals": {"city": "Lyon"}}}`, no},
	{"lists compare by value, in order", `{"tags": ["new", "eu", 5.0, null]}`, yes},
	{"lists compare whole", `{"tags": ["new", "eu"]}`, no},
	{"an empty list equals an empty list", `{"none": []}`, yes},
	{"the last of two members counts", `{"twice": 2}`, yes},

	{"not_equals is true of another value", `{"status": {"not_equals": "shut"}}`, yes},
	{"not_equals is false of the same value", `{"id": {"not_equals": 7.0}}`, no},
	{"not_equals is true of another type", `{"id": {"not_equals": "7"}}`, yes},
	{"not_equals is true of a null", `{"note": {"not_equals": 1}}`, yes},
	{"not_equals is false where the path is missing", `{"ghost": {"not_equals": 1}}`, no},

	{"gt", `{"amount": {"gt": 12}}`, yes},
	{"gt excludes the value itself", `{"amount": {"gt": 12.5}}`, no},
	{"gte includes it", `{"amount": {"gte": 12.5}}`, yes},
	{"gte excludes what is below", `{"amount": {"gte": 12.51}}`, no},
	{"lt", `{"amount": {"lt": 12.51}}`, yes},
	{"lt excludes the value itself", `{"amount": {"lt": 12.5}}`, no},
	{"lte includes it", `{"amount": {"lte": 12.500}}`, yes},
	{"lte excludes what is above", `{"amount": {"lte": 12}}`, no},
	{"order is exact beyond 53 bits", `{"big": {"gt": 9007199254740992}}`, yes},
	{"strings are in order of code points", `{"status": {"gt": "one", "lt": "oqen"}}`, yes},
	{"capitals come before small letters", `{"status": {"gt": "Z"}}`, yes},
	{"a prefix comes first", `{"status": {"gte": "open."}}`, no},
	{"escaped strings are in order too", `{"name": {"gt": "Zoë", "lt": "Zoë \ud83d\ude01"}}`, yes},
	{"a number is in no order with a string", `{"id": {"lt": "8"}}`, no},
	{"a string is in no order with a number", `{"status": {"gt": 0}}`, no},
	{"a boolean is in no order", `{"paid": {"gte": 1}}`, no},
	{"a null is in no order", `{"note": {"lte": 0}}`, no},
	{"a list is in no order", `{"none": {"lte": 0}}`, no},
	{"a missing path is in no order", `{"ghost": {"lte": 0}}`, no},

	{"in finds a string", `{"status": {"in": ["shut", "open", "lost"]}}`, yes},
	{"in finds a number by value", `{"id": {"in": [1, 70e-1, 9]}}`, yes},
	{"in finds a null, a boolean, an object", `{"note": {"in": [null]}, "paid": {"in": [1, true]}, "address": {"in": [{"city": "Lyon", "zip": "69001"}]}}`, yes},
	{"in does not find another type", `{"id": {"in": ["7", true, null, [7]]}}`, no},
	{"in an empty list is nothing", `{"id": {"in": []}}`, no},
	{"in is false where the path is missing", `{"ghost": {"in": [null]}}`, no},
	{"in finds an escaped string", `{"name": {"in": ["A", "Zoë 😀", "Zz"]}}`, yes},
	{"not_in", `{"status": {"not_in": ["shut", "lost"]}}`, yes},
	{"not_in is false of one of them", `{"id": {"not_in": [6, 7.0]}}`, no},
	{"not_in an empty list is everything", `{"id": {"not_in": []}}`, yes},
	{"not_in is false where the path is missing", `{"ghost": {"not_in": [1]}}`, no},

	{"contains finds a part of a string", `{"status": {"contains": "pe"}}`, yes},
	{"contains misses what is no part", `{"status": {"contains": "ep"}}`, no},
	{"contains finds the empty string in every string", `{"empty": {"contains": ""}}`, yes},
	{"contains reads escapes", `{"name": {"contains": "ë 😀"}}`, yes},
	{"contains finds an element of a list", `{"tags": {"contains": "eu"}}`, yes},
	{"contains finds an element by value", `{"tags": {"contains": 5.0}}`, yes},
	{"contains finds a null in a list", `{"tags": {"contains": null}}`, yes},
	{"contains finds an object in a list", `{"items": {"contains": {"qty": 3.0, "sku": "A-1"}}}`, yes},
	{"contains wants whole elements", `{"tags": {"contains": "ne"}}`, no},
	{"contains finds no number in a string", `{"address.zip": {"contains": 6}}`, no},
	{"contains is for strings and lists", `{"address": {"contains": "Lyon"}}`, no},
	{"contains is false where the path is missing", `{"ghost": {"contains": ""}}`, no},
	{"starts_with", `{"address.zip": {"starts_with": "69"}}`, yes},
	{"starts_with is no contains", `{"address.zip": {"starts_with": "9"}}`, no},
	{"starts_with reads escapes", `{"name": {"starts_with": "Zo\u00eb"}}`, yes},
	{"starts_with is for strings", `{"tags": {"starts_with": "new"}}`, no},

	{"exists", `{"id": {"exists": true}}`, yes},
	{"a null exists", `{"note": {"exists": true}}`, yes},
	{"exists is false where the path is missing", `{"ghost": {"exists": true}}`, no},
	{"exists false means not_exists", `{"ghost": {"exists": false}}`, yes},
	{"exists false means not_exists: there", `{"id": {"exists": false}}`, no},
	{"not_exists", `{"ghost": {"not_exists": true}}`, yes},
	{"not_exists is false of a null", `{"note": {"not_exists": true}}`, no},
	{"not_exists false means exists", `{"id": {"not_exists": false}}`, yes},
	{"equals null is false where the path is missing", `{"ghost": null}`, no},

	{"a path leads into objects", `{"address.city": "Lyon"}`, yes},
	{"a path leads into lists by index", `{"items.0.sku": "A-1", "items.1.qty": 1}`, yes},
	{"a path ends with the list", `{"items.2": {"exists": true}}`, no},
	{"a name on a list leads nowhere", `{"items.sku": "A-1"}`, no},
	{"digits are a name in an object", `{"items.1.0": "zero", "7": "seven"}`, yes},
	{"a path leads nowhere from a string", `{"status.length": {"exists": true}}`, no},
	{"a path leads nowhere from a null", `{"note.x": {"not_exists": true}}`, yes},

	{"all", `{"all": [{"id": 7}, {"status": "open"}]}`, yes},
	{"all: one does not hold", `{"all": [{"id": 7}, {"status": "shut"}]}`, no},
	{"all of nothing holds", `{"all": []}`, yes},
	{"any", `{"any": [{"id": 8}, {"status": "open"}]}`, yes},
	{"any: none holds", `{"any": [{"id": 8}, {"status": "shut"}]}`, no},
	{"any of nothing does not hold", `{"any": []}`, no},
	{"not", `{"not": {"status": "shut"}}`, yes},
	{"not: it holds", `{"not": {"status": "open"}}`, no},
	{"not is plain negation: a missing path", `{"not": {"ghost": 1}}`, yes},
	{"not of the empty filter never holds", `{"not": {}}`, no},
	{"they combine with paths", `{"id": 7, "any": [{"paid": true}, {"late": true}], "not": {"note": 1}}`, yes},
	{"they combine with paths: a path does not hold", `{"id": 8, "any": [{"paid": true}]}`, no},
	{"they nest", `{"not": {"all": [{"any": [{"id": 1}, {"not": {"id": 7}}]}, {}]}}`, yes},
	{"a field of such a name is written with a dot", `{".all": "every", ".any": {"gte": 1}, ".not.exists": 5}`, yes},
	{"a dot may stand before any path", `{".address.city": "Lyon"}`, yes},
	{"only the whole name is special", `{"not.exists": 5}`, yes},
	{"an operator's name is a path like any other", `{"equals": 1}`, no},
}

func root(t testing.TB, text string) document.Value {
	t.Helper()
	d := new(document.Document)
	if err := d.Parse([]byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d.Root()
}

func compiled(t testing.TB, text string) *Filter {
	t.Helper()
	f, err := Compile([]byte(text), 0)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

func TestFiltersDecideAboutAnOrder(t *testing.T) {
	event := root(t, order)
	for _, test := range cases {
		if got := compiled(t, test.filter).Match(event); got != test.want {
			t.Errorf("%s: %s is %v", test.name, test.filter, got)
		}
		if got := compiled(t, `{"not":`+test.filter+`}`).Match(event); got == test.want {
			t.Errorf("%s: not %s is %v", test.name, test.filter, got)
		}
	}
}

func TestAFilterOnNothingFindsNothing(t *testing.T) {
	for _, event := range []document.Value{{}, root(t, `null`), root(t, `5`)} {
		if compiled(t, `{"a": {"not_equals": 1}}`).Match(event) || !compiled(t, `{"a": {"not_exists": true}}`).Match(event) {
			t.Errorf("a %v has a field", event.Kind())
		}
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	event := root(t, order)
	for _, test := range cases {
		f := compiled(t, test.filter)
		if allocations := testing.AllocsPerRun(10, func() { f.Match(event) }); allocations != 0 {
			t.Errorf("%s allocates %v times", test.filter, allocations)
		}
	}
}

func TestLongListsAreSearchedByHalves(t *testing.T) {
	var list strings.Builder
	for i := range 1000 { // some ascend, some descend
		list.WriteString(`,"` + strings.Repeat("x", i*7%1000) + `",` + strings.Repeat("9", i*7%1000+1))
	}
	f := compiled(t, `{"v": {"in": [null`+list.String()+`]}}`)
	for text, want := range map[string]bool{`""`: yes, `"xxx"`: yes, `"\u0078x"`: yes, `"xy"`: no, `9`: yes, `99.0`: yes, `98`: no, `-9`: no, `null`: yes, `true`: no} {
		if got := f.Match(root(t, `{"v":`+text+`}`)); got != want {
			t.Errorf("%s in a long list: %v", text, got)
		}
	}
}

func TestMistakesAreRefusedByName(t *testing.T) {
	for text, names := range map[string]string{
		``: "cannot be read", `{`: "byte 1", `[]`: "array", `null`: "null", `"status"`: "string",
		`{"status": {"regex": "^o"}}`:                    `unknown operator "regex" on "status"`,
		`{"status": {"Equals": "open"}}`:                 `unknown operator "Equals"`,
		`{"address": {"city": "Lyon"}}`:                  `unknown operator "city" on "address"`,
		`{"id": {"gt": 1, "between": [1,2]}}`:            `"between"`,
		`{"or": [{"x": 1}]}`:                             `write "all", "any" or "not"`,
		`{"AND": [{"x": 1}]}`:                            `written ".AND"`,
		`{"id": {"all": []}}`:                            `unknown operator "all"`,
		`{"id": {}}`:                                     `"id" in a filter has no operator`,
		`{"": 1}`:                                        `""`,
		`{".": 1}`:                                       `"."`,
		`{"..all": 1}`:                                   `"..all"`,
		`{"a..b": 1}`:                                    `"a..b"`,
		`{"a.": 1}`:                                      `"a."`,
		`{"all": {"id": 1}}`:                             `"all" in a filter is of type object`,
		`{"any": "every"}`:                               `".any"`,
		`{"all": [1]}`:                                   `a filter in "all" is of type number`,
		`{"any": [{}, []]}`:                              `a filter in "any" is of type array`,
		`{"not": [{}]}`:                                  `"not" is of type array`,
		`{"not": true}`:                                  `"not" is of type boolean`,
		`{"id": {"in": 7}}`:                              `the operand of "in" on "id"`,
		`{"id": {"not_in": {"a": 7}}}`:                   `"not_in"`,
		`{"id": {"gt": true}}`:                           `the operand of "gt"`,
		`{"id": {"gte": null}}`:                          `"gte"`,
		`{"id": {"lt": [1]}}`:                            `"lt"`,
		`{"id": {"lte": {}}}`:                            `"lte"`,
		`{"id": {"starts_with": 7}}`:                     `"starts_with"`,
		`{"id": {"exists": 1}}`:                          `the operand of "exists" on "id" in a filter is of type number; give true or false`,
		`{"id": {"not_exists": null}}`:                   `"not_exists"`,
		`{"id": 1, "id": 2}`:                             `"id" is given twice`,
		`{"id": {"gt": 1, "\u0067t": 2}}`:                `"gt" is given twice`,
		`{"any": [], "any": []}`:                         `"any" is given twice`,
		`{"all": [{"not": {"any": [{"x": {"y": 1}}]}}]}`: `unknown operator "y" on "x"`,
	} {
		if _, err := Compile([]byte(text), 0); fault.CodeOf(err) != fault.InvalidValue || !strings.Contains(err.Error(), names) {
			t.Errorf("%s: %v, want INVALID_VALUE naming %s", text, err, names)
		}
	}
	long := strings.Repeat("x", 10_000)
	for _, text := range []string{`{"a": {"` + long + `": 1}}`, `{"` + long + `": {}}`, `{"` + long + `.": 1}`, `{"` + long + `": {"in": 1}}`} {
		if _, err := Compile([]byte(text), 0); err == nil || len(err.Error()) > 600 {
			t.Errorf("the error repeats a long key: %.700v", err)
		}
	}
}

func TestDepthIsLimited(t *testing.T) {
	for text, depth := range map[string]int{
		`{}`: 1, `{"a": {"equals": [[[[{}]]]]}}`: 1, `{"all": []}`: 1, `{"all": [{}]}`: 2, `{"not": {}}`: 2,
		`{"a": 1, "any": [{}, {"not": {"all": [{"b": 1}]}}, {}]}`: 4, `{".all": [{"all": [{}]}]}`: 1,
	} {
		if _, err := Compile([]byte(text), depth); err != nil {
			t.Errorf("%s within %d: %v", text, depth, err)
		}
		if _, err := Compile([]byte(text), 0); err != nil {
			t.Errorf("%s without a limit: %v", text, err)
		}
	}
	_, err := Compile([]byte(`{"not": {"any": [{"not": {}}]}}`), 3)
	if fault.CodeOf(err) != fault.LimitExceeded || !strings.Contains(err.Error(), "4 levels deep and max_filter_depth is 3") {
		t.Errorf("4 levels within 3: %v", err)
	}
	deep := strings.Repeat(`{"not":`, 499) + `{}` + strings.Repeat(`}`, 499)
	if f := compiled(t, deep); f.Match(root(t, `{}`)) {
		t.Error("an odd number of negations holds")
	}
	if _, err := Compile([]byte(`{"not":`+deep+`}`), 0); fault.CodeOf(err) != fault.InvalidValue {
		t.Errorf("501 levels without a limit: %v", err)
	}
}

func FuzzFilter(f *testing.F) {
	for _, test := range cases {
		f.Add([]byte(test.filter), []byte(order))
	}
	f.Add([]byte(`{"a":{"regex":1}}`), []byte(`{}`))
	f.Add([]byte(`{"a":{"contains":"\u0061"}}`), []byte(`{"a":"b\u0061"}`))
	f.Fuzz(func(t *testing.T, text, data []byte) {
		plain, err := Compile(text, 20)
		if err != nil {
			if code := fault.CodeOf(err); code != fault.InvalidValue && code != fault.LimitExceeded {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		var d document.Document
		if d.Parse(data) != nil {
			return
		}
		matches := plain.Match(d.Root())
		for wrapped, want := range map[string]bool{`{"not":%}`: !matches, `{"all":[%,{}]}`: matches, `{"any":[%,{"not":{}}]}`: matches} {
			again, err := Compile([]byte(strings.Replace(wrapped, "%", string(text), 1)), 21)
			if errors.Is(err, document.ErrDepth) {
				continue // the wrapping was one level too many
			}
			if err != nil {
				t.Fatalf("%q within %s: %v", text, wrapped, err)
			}
			if again.Match(d.Root()) != want {
				t.Fatalf("%q within %s is not %v", text, wrapped, want)
			}
		}
	})
}
