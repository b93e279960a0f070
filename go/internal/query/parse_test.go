package query

import (
	"strings"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestParseAcceptsSubscriptions(t *testing.T) {
	for _, c := range []struct{ name, text, operation, root string }{
		{"a plain one", `subscription { order { id } }`, "", "order"},
		{"a named one picked by its name", `subscription A { order { id } }`, "A", "order"},
		{"a named one picked by being alone", `subscription A { order { id } }`, "", "order"},
		{"one of several", `query Q { a } subscription A { order { id } } subscription B { other }`, "B", "other"},
		{"the schema's name under an alias", `subscription { o: order { id } }`, "", "order"},
		{"the root field in a fragment", `subscription { ...F } fragment F on Subscription { order { id } }`, "", "order"},
		{"the root field in an inline fragment", `subscription { ... { ... on Subscription { order { id } } } }`, "", "order"},
		{"one root field selected twice", `subscription { order { id } order { name } }`, "", "order"},
		{"an unused fragment", `subscription { order { id } } fragment F on Order { id }`, "", "order"},
		{"an unused variable", `subscription($a: Int) { order { id } }`, "", "order"},
		{"a variable in a fragment", `subscription($a: Int) { order { ...F } } fragment F on Order { lines(first: $a) { sku } }`, "", "order"},
		{"an unknown directive", `subscription @live { order @client { id } }`, "", "order"},
		{"comments, commas and a byte order mark", "\ufeff# hello\nsubscription,{,order,{id#there\n}}", "", "order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			operation, err := Parse(nil, c.text, c.operation, defaults())
			if err != nil {
				t.Fatal(err)
			}
			if got := operation.RootField(); got != c.root {
				t.Errorf("root field %q, want %q", got, c.root)
			}
		})
	}
}

func TestParseRefusesWhatIsNoSubscription(t *testing.T) {
	for _, c := range []struct{ name, text, operation, part string }{
		{"nothing", ``, "", "no operation"},
		{"only a comment", `# subscription { a }`, "", "no operation"},
		{"a fragment alone", `fragment F on A { a }`, "", "no operation"},
		{"a text that does not parse", "subscription {\n  order { id }", "", "2:15: "},
		{"a string that does not end", `subscription { a(b: "c) }`, "", "Unterminated string"},
		{"a character that no token has", `subscription { a? }`, "", `1:17: Cannot parse the unexpected character "?"`},
		{"text that is not UTF-8", "subscription { a(b: \"\xff\") }", "", "UTF-8"},
		{"a query", `query { order { id } }`, "", "1:1: the operation is a query: only a subscription can be registered"},
		{"a shorthand query", `{ order { id } }`, "", "is a query"},
		{"a mutation", `mutation { order { id } }`, "", "is a mutation"},
		{"a query picked by name", `query Q { a } subscription S { a }`, "Q", "is a query"},
		{"several without a name given", `subscription A { a } subscription B { a }`, "", "operation_name must say which"},
		{"a name that does not exist", `subscription A { a }`, "B", `operation_name is "B"`},
		{"a name for a nameless operation", `subscription { a }`, "A", `operation_name is "A"`},
		{"two operations of one name", `subscription A { a } subscription A { b }`, "A", "only one operation named"},
		{"a nameless one among others", `subscription { a } subscription B { b }`, "B", "must be the only one"},
		{"two root fields", `subscription { a b }`, "", `1:18: a subscription has one root field, and this one selects "a" and "b"`},
		{"two aliases of one root field", `subscription { x: a y: a }`, "", "one root field"},
		{"a second root field in a fragment", `subscription { a ...F } fragment F on Subscription { b }`, "", "one root field"},
		{"the introspection field beside it", `subscription { a __typename }`, "", "one root field"},
		{"the introspection field alone", `subscription { __typename }`, "", "cannot be __typename"},
		{"the introspection field in disguise", `subscription { a: __typename }`, "", "cannot be __typename"},
		{"a root field that may be skipped", `subscription { a @skip(if: true) }`, "", "@skip cannot stand on the root field"},
		{"a root fragment that may be left out", `subscription($x: Boolean!) { ... @include(if: $x) { a } }`, "", "@include cannot stand"},
		{"an undefined fragment", `subscription { a { ...F } }`, "", `fragment "F" is not defined`},
		{"an undefined fragment of an unused one", `subscription { a } fragment F on A { ...G }`, "", `fragment "G" is not defined`},
		{"a fragment that spreads itself", `subscription { a { ...F } } fragment F on A { b { ...F } }`, "", `fragment "F" spreads itself`},
		{"fragments that spread one another", `subscription { a { ...F } } fragment F on A { ...G } fragment G on A { ...F }`, "", `spreads itself`},
		{"an unused fragment that spreads itself", `subscription { a } fragment F on A { ...F }`, "", `spreads itself`},
		{"two fragments of one name", `subscription { a } fragment F on A { a } fragment F on A { b }`, "", "only one fragment named"},
		{"variables of a fragment", `subscription { a } fragment F($x: Int) on A { a }`, "", "defines variables"},
		{"a variable defined twice", `subscription($a: Int, $a: Int) { b }`, "", "$a is defined twice"},
		{"an undefined variable", `subscription { a(b: $c) }`, "", "$c is not defined"},
		{"an undefined variable deep in a value", `subscription { a(b: [{c: [$d]}]) }`, "", "$d is not defined"},
		{"an undefined variable in a fragment", `subscription { a { ...F } } fragment F on A { b(c: $d) }`, "", "$d is not defined"},
		{"an undefined variable of another operation", `subscription A { a } subscription B { a(b: $c) }`, "A", "$c is not defined"},
		{"an argument given twice", `subscription { a(b: 1, b: 2) }`, "", `argument "b" is given twice`},
		{"a directive without its condition", `subscription { a { b @skip } }`, "", "@skip takes one argument, if"},
		{"a directive with a condition of the wrong type", `subscription { a { b @include(if: "yes") } }`, "", "is a Boolean!"},
		{"a directive with a variable of the wrong type", `subscription($x: Int!) { a { b @include(if: $x) } }`, "", "$x is none"},
		{"one key for two fields", `subscription { a { x: b x: c } }`, "", "b and c are different fields"},
		{"one key for two fields, one of them skipped", `subscription { a { x: b x: c @skip(if: true) } }`, "", "different fields"},
		{"one key for different arguments", `subscription { a { b(c: 1) b(c: 2) } }`, "", "arguments differ"},
		{"one key for a leaf and an object", `subscription { a { b b { c } } }`, "", "only one of them selects"},
		{"one key for two fields below merged ones", `subscription { a { b { x: c } ... { b { x: d } } } }`, "", "different fields"},
		{"one root key for different arguments", `subscription { a(b: 1) { c } a(b: 2) { c } }`, "", "arguments differ"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(nil, c.text, c.operation, defaults())
			expectFault(t, err, fault.InvalidQuery, c.part)
		})
	}
}

func TestASchemaValidatesTheQuery(t *testing.T) {
	schema := loadTestSchema(t)
	parse(t, schema, `subscription($id: ID!, $s: [Status!]) { order(id: $id, status: $s) { id ...F } } fragment F on Node { id }`)
	for _, c := range []struct{ name, text, part string }{
		{"an unknown root field", `subscription { nothing }`, `1:16: Cannot query field "nothing" on type "Subscription"`},
		{"an unknown field", `subscription { order(id: 1) { nope } }`, `Cannot query field "nope" on type "Order"`},
		{"an unknown argument", `subscription { order(id: 1, no: 2) { id } }`, `Unknown argument "no"`},
		{"a missing argument", `subscription { order { id } }`, `argument "id" of type "ID!" is required`},
		{"an argument of the wrong type", `subscription { order(id: 1, first: "x") { id } }`, `Int cannot represent`},
		{"a variable of the wrong type", `subscription($id: Int) { order(id: $id) { id } }`, `"$id" of type "Int" used in position expecting type "ID!"`},
		{"an undefined variable", `subscription { order(id: $id) { id } }`, `"$id" is not defined`},
		{"an unused variable", `subscription($a: Int) { anything }`, `"$a" is never used`},
		{"an unused fragment", `subscription { anything } fragment F on Order { id }`, `"F" is never used`},
		{"a variable of an unknown type", `subscription($a: Nope) { order(id: $a) { id } }`, `Unknown type "Nope"`},
		{"a fragment that can never apply", `subscription { order(id: 1) { ... on Dog { name } } }`, `can never be of type "Dog"`},
		{"fields selected of a scalar", `subscription { anything { a } }`, `Cannot query field "a" on type "JSON"`},
		{"an object without a selection", `subscription { order(id: 1) }`, `must have a selection of subfields`},
		{"an unknown directive", `subscription { anything @nope }`, `Unknown directive "@nope"`},
		{"fields that conflict", `subscription { order(id: 1) { x: id x: note } }`, `"x" conflict`},
		{"two root fields", `subscription { anything requiredOrder { id } }`, `must select only one top level field`},
		{"two keys of one root field", `subscription { a: anything b: anything }`, `one root field`},
		{"something wrong in another operation", `query Q { nope } subscription { anything }`, `only one`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(schema, c.text, "", defaults())
			expectFault(t, err, fault.InvalidQuery, c.part)
		})
	}
}

func TestLoadSchemaSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, sdl, part string }{
		{"no SDL", `type {`, "1:6: Expected Name"},
		{"an unknown type", `type Subscription { a: Nope }`, "Undefined type Nope"},
		{"no subscription type", `type Query { a: Int }`, "no subscription type"},
		{"a text without end", strings.Repeat("type A { a: [", 10000), "does not load"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := LoadSchema(c.sdl)
			expectFault(t, err, fault.InvalidValue, c.part)
		})
	}
}

func TestASubscriptionTypeOfAnotherNameIsFound(t *testing.T) {
	schema, err := LoadSchema(`schema { query: Q subscription: S } type Q { a: Int } type S { a: Int }`)
	if err != nil {
		t.Fatal(err)
	}
	if got := parse(t, schema, `subscription { ... on S { a } }`).RootField(); got != "a" {
		t.Errorf("root field %q", got)
	}
}

func TestOneSchemaAndOneOperationServeManyGoroutines(t *testing.T) {
	schema := loadTestSchema(t)
	shared := parse(t, schema, `subscription($x: Boolean!) { order(id: 1) { id note @skip(if: $x) } }`)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 50 {
				parse(t, schema, `subscription($f: Filter) { order(id: 1, filter: $f) { id lines { sku } } }`)
				plan, err := shared.Plan([]byte(`{"x":` + []string{"true", "false"}[i%2] + `}`))
				if err != nil {
					t.Error(err)
					return
				}
				want := `{"order":{"id":"1"` + []string{`}}`, `,"note":null}}`}[i%2]
				if got := appendFor(t, plan, `{"id":1}`); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
		})
	}
	group.Wait()
}
