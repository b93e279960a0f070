package query

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// testSchema has one of everything that result and input coercion distinguish.
const testSchema = `
	type Query { order: Order }
	type Subscription {
		order(id: ID!, first: Int = 10, status: [Status!], filter: Filter): Order
		requiredOrder: Order!
		animal: Animal
		anything: JSON
		lone: Lone
	}
	type Order implements Node {
		id: ID!
		amount: Float
		quantity: Int
		note: String
		paid: Boolean
		status: Status
		extra: JSON
		customer: Customer
		requiredCustomer: Customer!
		lines: [Line]
		requiredLines: [Line!]
		matrix: [[Int!]]
	}
	type Customer implements Node { id: ID! name: String! nickname: String friend: Customer }
	type Line { sku: String! price: Float! }
	interface Node { id: ID! }
	interface Alone { name: String }
	type Lone implements Alone { name: String self: Alone }
	union Animal = Dog | Cat
	type Dog { name: String! barks: Int! }
	type Cat { name: String  meows: Int }
	enum Status { NEW PAID SHIPPED }
	scalar JSON
	input Filter { status: Status = NEW, ids: [ID!], min: Float, not: Filter, text: String! }
	input Pick @oneOf { id: ID, name: String }
`

func loadTestSchema(t testing.TB) *Schema {
	t.Helper()
	schema, err := LoadSchema(testSchema)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// parse is Parse for queries that must be accepted.
func parse(t testing.TB, schema *Schema, text string) *Operation {
	t.Helper()
	operation, err := Parse(schema, text, "", defaults())
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return operation
}

// answer is what the query answers for data, with its problems as
// "CODE path: message" lines.
func answer(t testing.TB, schema *Schema, text, variables, data string) (string, []string) {
	t.Helper()
	plan, err := parse(t, schema, text).Plan([]byte(variables))
	if err != nil {
		t.Fatalf("Plan(%s): %v", variables, err)
	}
	var event document.Document
	if err := event.Parse([]byte(data)); err != nil {
		t.Fatalf("data %s: %v", data, err)
	}
	got, problems := plan.AppendData(nil, event.Root(), nil)
	if !document.Valid(got) {
		t.Fatalf("%s\nanswers with what is no JSON: %s", text, got)
	}
	var lines []string
	for _, p := range problems {
		if !document.Valid(p.Path) {
			t.Errorf("problem %q has a path that is no JSON: %s", p.Message, p.Path)
		}
		lines = append(lines, p.Code+" "+string(p.Path)+": "+p.Message)
	}
	return string(got), lines
}

// expectFault checks an error's code and that its sentence holds part.
func expectFault(t testing.TB, err error, code fault.Code, part string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s with %q", code, part)
	}
	if got := fault.CodeOf(err); got != code {
		t.Errorf("code %s, want %s (%v)", got, code, err)
	}
	if !strings.Contains(err.Error(), part) {
		t.Errorf("error %q does not say %q", err, part)
	}
}
