package security

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestAFieldNeedsToReadWhatItsFirstWordNames(t *testing.T) {
	for field, want := range map[string]string{
		"orderUpdated": "order", "orders": "order", "order_lines": "order", "Orders": "order", "order": "order",
		"URLChanged": "url", "APIKeys": "api", "iPhone": "i", "aB": "a", "x": "x", "_orders": "order", "__secrets": "secret", "__": "__",
		"categories": "category", "addresses": "address", "address": "address", "boxes": "box", "branches": "branch", "dishes": "dish",
		"buses": "bus", "statuses": "status", "status": "status", "clauses": "clause", "houses": "house", "analysis": "analysis",
		"ties": "tie", "s": "s", "is": "is", "us": "us", "es": "es", "user2Changed": "user2", "order2": "order2",
	} {
		if got := DefaultPermission(field); got != want+":read" {
			t.Errorf("%s needs %s, want %s:read", field, got, want)
		}
	}
}

// walk is what the field at the end of a path needs.
func walk(p *Policy, path []string, object bool, declared []string) []string {
	var needs []string
	state := ""
	for i, name := range path {
		last := i == len(path)-1
		var here []string
		if last {
			here = declared
		}
		needs, state = p.Step(state, name, object || !last, here)
	}
	return needs
}

func TestTheMapComesBeforeTheSchemaAndThatBeforeTheRule(t *testing.T) {
	p := policy(t, `{"permissions":{
		"order.total":"money", "order.*":"any", "*.note":"note", "*.free":null, "order.lines.*.sku":"deep", "*":"root",
		"*.*.sku":"two", "order.*.sku":"one", "*.lines.sku":"other"
	}}`)
	for _, one := range []struct {
		path     string
		object   bool
		declared []string
		want     string
	}{
		{"order", true, nil, "root"},
		{"order.total", false, []string{"declared"}, "money"},
		{"order.total", true, nil, "money"},
		{"order.note", false, nil, "any"}, // a name before *, from the left
		{"bill.note", false, nil, "note"},
		{"bill.free", true, []string{"declared"}, ""},
		{"order.free", false, nil, "any"},
		{"bill.lines", true, nil, "line:read"},
		{"bill.lines", true, []string{"a", "b"}, "a b"},
		{"bill.total", false, nil, ""},
		{"bill.total", false, []string{"a"}, "a"},
		{"order.lines.x.sku", false, nil, "deep"},
		{"order.lines.x.y.sku", false, nil, ""},
		{"order.lines.sku", false, nil, "one"},
		{"bill.lines.sku", false, nil, "other"},
		{"bill.rows.sku", false, nil, "two"},
	} {
		if got := strings.Join(walk(p, strings.Split(one.path, "."), one.object, one.declared), " "); got != one.want {
			t.Errorf("%s (object %v, declared %v) needs %q, want %q", one.path, one.object, one.declared, got, one.want)
		}
	}
}

// FuzzFieldPermission compares Step, which goes along a path with the entries that
// still match, with a search through all of them.
func FuzzFieldPermission(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, seed*7)
	}
	f.Fuzz(func(t *testing.T, seed, stream uint64) {
		random := rand.New(rand.NewPCG(seed, stream))
		some := func(names ...string) []string {
			path := make([]string, 1+random.IntN(4))
			for i := range path {
				path[i] = names[random.IntN(len(names))]
			}
			return path
		}
		entries := map[string]any{}
		for range random.IntN(12) {
			path := strings.Join(some("a", "b", "*"), ".")
			entries[path] = path
			if random.IntN(4) == 0 {
				entries[path] = nil
			}
		}
		text, err := json.Marshal(map[string]any{"permissions": entries})
		if err != nil {
			t.Fatal(err)
		}
		p := policy(t, string(text))
		for range 20 {
			path, object := some("a", "b", "c"), random.IntN(2) == 0
			want := []string(nil)
			if object {
				want = []string{path[len(path)-1] + ":read"}
			}
			if entry := mostSpecific(entries, path); entry != "" {
				want = nil
				if permission, ok := entries[entry].(string); ok {
					want = []string{permission}
				}
			}
			if got := walk(p, path, object, nil); !slices.Equal(got, want) {
				t.Fatalf("%v with %s needs %q, want %q", path, text, got, want)
			}
		}
	})
}

// mostSpecific is the entry for a path: of those that match it, the one with a name
// where they first differ; "" for none. ('*' sorts before every name.)
func mostSpecific(entries map[string]any, path []string) string {
	best := ""
	for entry := range entries {
		names := strings.Split(entry, ".")
		matches := len(names) == len(path)
		for i := range names {
			matches = matches && (names[i] == "*" || names[i] == path[i])
		}
		if matches && (best == "" || slices.Compare(names, strings.Split(best, ".")) > 0) {
			best = entry
		}
	}
	return best
}
