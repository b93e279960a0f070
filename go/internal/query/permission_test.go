package query

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// pathRules make every field need its own selection path, after "object:" where it
// selects from an object, and what the schema declares. What a plan asks of them, and
// when, can be read off what it needs.
type pathRules struct{}

func (pathRules) Step(state, name string, object bool, declared []string) (needs []string, next string) {
	next = strings.TrimPrefix(state+"."+name, ".")
	if object {
		return append([]string{"object:" + next}, declared...), next
	}
	return append([]string{next}, declared...), next
}

const guardedSchema = `
	type Query { a: Int }
	type Subscription { order: Order must: Order! seen: Seen }
	interface Seen { id: Int @requiresPermission(name: "seen.id") }
	type Order implements Seen {
		id: Int
		amount: Float @requiresPermission(name: "amount") @requiresPermission(name: "money")
		lines: [Line!]
		must: Line!
		query: Query
	}
	type Refund implements Seen { id: Int @requiresPermission(name: "refund.id") back: Order }
	type Line { sku: String! order: Order }
`

func guarded(t testing.TB) *Schema {
	t.Helper()
	schema, err := LoadSchema(guardedSchema)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func planned(t testing.TB, schema *Schema, text, variables string) *Plan {
	t.Helper()
	plan, err := parse(t, schema, text).Plan([]byte(variables))
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestAPlanNeedsWhatItsFieldsNeed(t *testing.T) {
	for _, one := range []struct {
		schema                 *Schema
		query, variables, want string
	}{
		{nil, `subscription { order { id } }`, ``, "object:order order.id"},
		{nil, `subscription { order }`, ``, "order"},
		{nil, `subscription { mine: order { its: id, id } }`, ``, "object:order order.id"},
		{nil, `subscription { order { ...F ... { b { c } } } } fragment F on Order { a }`, ``, "object:order object:order.b order.a order.b.c"},
		{nil, `subscription { order { __typename } }`, ``, "object:order"},
		// Without a schema nobody reserves these names.
		{nil, `subscription { order { __secret { x } __proto__ } }`, ``, "object:order object:order.__secret order.__proto__ order.__secret.x"},
		{nil, `subscription ($yes: Boolean!) { order { a @include(if: $yes) b @skip(if: $yes) c { d @include(if: false) } } }`, `{"yes":true}`, "object:order object:order.c order.a"},
		{nil, `subscription ($yes: Boolean!) { order { ...F @skip(if: $yes) a } } fragment F on O { b }`, `{"yes":true}`, "object:order order.a"},
		{guarded(t), `subscription { order { amount } }`, ``, "amount money object:order order.amount"},
		{guarded(t), `subscription { order { id __typename } }`, ``, "object:order order.id seen.id"},
		{guarded(t), `subscription { order { query { __schema { types { name } } } } }`, ``, "object:order object:order.query"},
		{guarded(t), `subscription { seen { ... on Refund { id } ... on Order { lines { sku } } } }`, ``, "object:seen object:seen.lines refund.id seen.id seen.lines.sku"},
		{
			guarded(t), `subscription { seen { ... on Refund { back { ...F } } ...F } } fragment F on Order { lines { order { must { sku } } } }`, ``,
			"object:seen object:seen.back object:seen.back.lines object:seen.back.lines.order object:seen.back.lines.order.must object:seen.lines object:seen.lines.order object:seen.lines.order.must seen.back.lines.order.must.sku seen.lines.order.must.sku",
		},
	} {
		plan := planned(t, one.schema, one.query, one.variables)
		for range 2 { // the second time it remembers
			if got := strings.Join(plan.Permissions(pathRules{}), " "); got != one.want {
				t.Errorf("%s\n needs %s\nwant   %s", one.query, got, one.want)
			}
		}
	}
}

func TestADeniedFieldIsNullWithAnError(t *testing.T) {
	const data = `{"id":1,"amount":2.5,"__typename":"Order","lines":[{"sku":"a"},{"sku":"b"}],"must":{"sku":"c"},"o":{"x":1}}`
	for _, one := range []struct {
		schema         *Schema
		query, missing string
		want           string
		problems       []string
	}{
		{nil, `subscription { order { id lines { sku } } }`, "order.id", `{"order":{"id":null,"lines":[{"sku":"a"},{"sku":"b"}]}}`, []string{`FORBIDDEN ["order","id"]`}},
		{nil, `subscription { order { n: id id } }`, "order.id", `{"order":{"n":null,"id":null}}`, []string{`FORBIDDEN ["order","n"]`, `FORBIDDEN ["order","id"]`}},
		{nil, `subscription { order { id lines { sku } } }`, "object:order.lines", `{"order":{"id":1,"lines":null}}`, []string{`FORBIDDEN ["order","lines"]`}},
		{nil, `subscription { mine: order { id } }`, "object:order", `{"mine":null}`, []string{`FORBIDDEN ["mine"]`}},
		// What a leaf without a schema holds can't be checked.
		{nil, `subscription { order { o } }`, "", `{"order":{"o":null}}`, []string{`FORBIDDEN ["order","o"]`}},
		{nil, `subscription { order { lines } }`, "", `{"order":{"lines":null}}`, []string{`FORBIDDEN ["order","lines"]`}},
		{guarded(t), `subscription { order { id amount } }`, "money", `{"order":{"id":1,"amount":null}}`, []string{`FORBIDDEN ["order","amount"]`}},
		{guarded(t), `subscription { order { lines { sku } } }`, "order.lines.sku", `{"order":{"lines":null}}`, []string{`FORBIDDEN ["order","lines",0,"sku"]`}},
		{guarded(t), `subscription { order { id must { sku } } }`, "object:order.must", `{"order":null}`, []string{`FORBIDDEN ["order","must"]`}},
		{guarded(t), `subscription { must { id } }`, "object:must", `null`, []string{`FORBIDDEN ["must"]`}},
		{guarded(t), `subscription { seen { ... on Order { id } ... on Refund { back { id } } } }`, "object:seen.back", `{"seen":{"id":1}}`, nil},
		{guarded(t), `subscription { seen { id ... on Order { lines { sku } } } }`, "object:seen.lines", `{"seen":{"id":1,"lines":null}}`, []string{`FORBIDDEN ["seen","lines"]`}},
	} {
		plan := planned(t, one.schema, one.query, "")
		checked := plan.Checked(pathRules{}, strings.Fields(one.missing))
		var event document.Document
		if err := event.Parse([]byte(data)); err != nil {
			t.Fatal(err)
		}
		got, problems := checked.AppendData(nil, event.Root(), nil)
		var told []string
		for _, p := range problems {
			told = append(told, p.Code+" "+string(p.Path))
		}
		if string(got) != one.want || !slices.Equal(told, one.problems) {
			t.Errorf("%s without %q\n is %s, %q\nwant %s, %q", one.query, one.missing, got, told, one.want, one.problems)
		}
		if checked.Whole() != plan || plan.Whole() != plan {
			t.Errorf("%s: the whole plan is lost", one.query)
		}
	}
}

// FuzzChecked takes from a query, by chance, some of what it needs, and looks whether
// anything of a denied field is shown: the data hold their own paths.
func FuzzChecked(f *testing.F) {
	f.Add(`subscription { a { b c { d } } }`, uint64(5))
	f.Add(`subscription { x: a { ...F c { ...F } } } fragment F on T { b __typename }`, uint64(3))
	f.Add(`subscription { a { __p { b } e: b } }`, uint64(2))
	f.Fuzz(func(t *testing.T, text string, chosen uint64) {
		operation, err := Parse(nil, text, "", defaults())
		if err != nil {
			return
		}
		plan, err := operation.Plan(nil)
		if err != nil {
			return
		}
		var missing []string
		needs := plan.Permissions(pathRules{})
		for i, one := range needs {
			if chosen>>(i%64)&1 == 1 {
				missing = append(missing, one)
			}
		}
		var event document.Document
		if err := event.Parse(selfNaming(t, needs)); err != nil {
			t.Fatal(err)
		}
		got, _ := plan.Checked(pathRules{}, missing).AppendData(nil, event.Root(), nil)
		for _, one := range missing {
			path, object := strings.CutPrefix(one, "object:")
			_, below, _ := strings.Cut(path, ".")
			shown := `"=` + below + `"`
			if object {
				shown = `"=` + below + "."
			}
			if below != "" && strings.Contains(string(got), shown) {
				t.Fatalf("%s without %q shows %s", text, missing, got)
			}
		}
	})
}

// selfNaming is an event's data with each leaf that is needed, "=" and its path below
// the root field as its value.
func selfNaming(t *testing.T, needs []string) []byte {
	root := map[string]any{}
	for _, one := range needs {
		if strings.HasPrefix(one, "object:") {
			continue
		}
		names := strings.Split(one, ".")[1:]
		at := root
		for i, name := range names {
			if i == len(names)-1 {
				if at[name] == nil {
					at[name] = "=" + strings.Join(names, ".")
				}
				break
			}
			next, ok := at[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
	}
	text, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestADeclarationThatWouldHaveNoEffectIsRefused(t *testing.T) {
	for declaration, part := range map[string]string{
		`type Order @requiresPermission(name: "x") { id: Int }`:                    "the type Order",
		`type Order { id(a: Int @requiresPermission(name: "x")): Int }`:            "an argument of Order.id",
		`type Order { id: Int @requiresPermission }`:                               "Order.id names no permission",
		`type Order { id: Int @requiresPermission(name: "") }`:                     "Order.id names no permission",
		`type Order { id: Int @requiresPermission(name: null) }`:                   "Order.id names no permission",
		`type Order { id: Int } enum E { A @requiresPermission(name: "x") }`:       "E.A",
		`type Order { id: Int } input I { a: Int @requiresPermission(name: "x") }`: "I.a",
	} {
		const definition = `directive @requiresPermission(name: String) repeatable on FIELD_DEFINITION | OBJECT | ARGUMENT_DEFINITION | ENUM_VALUE | INPUT_FIELD_DEFINITION `
		_, err := LoadSchema(definition + `type Query { a: Int } type Subscription { order: Order } ` + declaration)
		expectFault(t, err, fault.InvalidValue, part)
	}
}

func TestWhichPathsAQueryCanSelect(t *testing.T) {
	schema := guarded(t)
	for path, can := range map[string]bool{
		"order": true, "order.id": true, "*": true, "*.*": true, "order.lines.sku": true, "seen.back.lines": true,
		"seen.amount": true, "order.lines.order.must.sku": true, "*.*.sku": true,
		"lines": false, "order.sku": false, "order.id.x": false, "seen.sku": false, "order.__typename": false, "order.*.*.*.*.*.nothing": false,
	} {
		if got := schema.Selects(strings.Split(path, ".")); got != can {
			t.Errorf("%s: %v, want %v", path, got, can)
		}
	}
}
