package security

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

func same(id Identifier, v document.Value) bool {
	c := carry(v)
	return c.equals(&id, false)
}

func TestIdentifiersAreExactAtAnySize(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"9007199254740993", "9007199254740993", true},
		{"9007199254740993", "9007199254740992", false},
		{"123456789012345678901234567890", "123456789012345678901234567890", true},
		{"123456789012345678901234567890", "123456789012345678901234567891", false},
		{"-5", "5", false},
		{"-0", "0", true},
		{"0", "0.0", false},
		{"5.0", "5.00", true},
		{"5.0", "5e0", true},
		{"1e2", "100", false},
		{"1e2", "100.0", true},
		{"9007199254740993.0", "9007199254740992.0", false},
		{"0.1", "0.10000000000000000000000000001", false},
		{"1e100000000000000000000", "1e100000000000000000001", false},
		{"1e100000000000000000000", "1e100000000000000000000", true},
		{`"a"`, `"\u0061"`, true},
		{`"a"`, `"A"`, false},
		{`"é"`, `"e\u0301"`, false},
		{`"a\u0000"`, `"a"`, false},
		{"true", "true", true},
		{"true", "false", false},
		{"true", "1", false},
		{"true", `"true"`, false},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			id, err := newIdentifier("id", parsed(t, pair[0]))
			if err != nil {
				t.Fatal(err)
			}
			if got := same(id, parsed(t, pair[1])); got != c.same {
				t.Errorf("context %s equals event %s: %v, want %v", pair[0], pair[1], got, c.same)
			}
		}
	}
}

func TestIdentifiersMadeInGoEqualThoseReadFromJSON(t *testing.T) {
	for text, id := range map[string]Identifier{
		`5`: Integer(5), `-9223372036854775808`: Integer(-1 << 63), `"5"`: Text("5"), `""`: Text(""), `null`: {},
	} {
		if !same(id, parsed(t, text)) {
			t.Errorf("%s isn't %+v", text, id)
		}
		if id.Absent() != (text == "null") {
			t.Errorf("%s is absent: %v", text, id.Absent())
		}
	}
}

func TestAnIdentifierOutlivesTheDocumentItWasReadFrom(t *testing.T) {
	source := []byte(`["abc", 12345, 1.5, true]`)
	var d document.Document
	if err := d.Parse(source); err != nil {
		t.Fatal(err)
	}
	var ids []Identifier
	for i := range 4 {
		id, err := newIdentifier("id", d.Root().At(i))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	copy(source, `["xyz", 99999, 9.9, null]`)
	if err := d.Parse(source); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{`"abc"`, `12345`, `1.5`, `true`} {
		if !same(ids[i], parsed(t, text)) {
			t.Errorf("identifier %s has changed", text)
		}
	}
}

func scalar(t *testing.T, text string) (document.Value, bool) {
	var d document.Document
	if d.Parse([]byte(text)) != nil {
		return document.Value{}, false
	}
	k := d.Root().Kind()
	return d.Root(), k != document.Object && k != document.Array
}

// FuzzStrictTenant asks of any two JSON values: is an event of one shown to a
// context of the other only if they are the same value of the same type?
func FuzzStrictTenant(f *testing.F) {
	for _, seed := range [][3]string{
		{`5`, `"5"`, "orders"},
		{`5.0`, `5`, "orders:tenant-5"},
		{`null`, `""`, "tenant-"},
		{`"\u0035"`, `"5"`, "a"},
		{`1e400`, `1e401`, ""},
		{`-0`, `0`, "tenant-0"},
		{`true`, `"true"`, "tenant-true"},
		{`{}`, `[]`, "\xff"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, eventText, contextText, channelName string) {
		event, ok := scalar(t, eventText)
		own, ok2 := scalar(t, contextText)
		if !ok || !ok2 {
			return
		}
		data := parsed(t, fmt.Sprintf(`{"tenant_id":%s}`, eventText))
		ctx, err := ParseContext(fmt.Appendf(nil, `{"tenant_id":%s}`, contextText))
		if err != nil {
			t.Fatal(err)
		}
		same := event.Kind() == own.Kind() && event.IsInteger() == own.IsInteger() && document.Equal(event, own)
		got := verdict(policy(t, `{"row":"off"}`), ctx, "orders", data) == "allowed"
		if got && !same {
			t.Fatalf("event %s is shown to %s", eventText, contextText)
		}
		if !got && same && !hugeExponent(event.Raw()) && !hugeExponent(own.Raw()) {
			t.Fatalf("event %s is hidden from %s", eventText, contextText)
		}
		// A channel can only take away, except from data that names no tenant.
		p := policy(t, `{"row":"off"}`)
		onChannel := verdict(p, ctx, channelName, data) == "allowed"
		if onChannel && !same && event.Kind() != document.Null {
			t.Fatalf("channel %q shows event %s to %s", channelName, eventText, contextText)
		}
		if p.CheckPublish(channelName, data) != nil && onChannel {
			t.Fatalf("event %s may not be published on %q but is delivered", eventText, channelName)
		}
		if loose := verdict(policy(t, `{"row":"off","identifiers":"loose"}`), ctx, "orders", data) == "allowed"; got && !loose {
			t.Fatalf("loose hides event %s from %s", eventText, contextText)
		}
	})
}
