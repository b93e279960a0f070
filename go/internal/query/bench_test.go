package query

import (
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// appendFor answers one event.
func appendFor(t testing.TB, plan *Plan, data string) string {
	t.Helper()
	var event document.Document
	if err := event.Parse([]byte(data)); err != nil {
		t.Error(err)
	}
	got, _ := plan.AppendData(nil, event.Root(), nil)
	return string(got)
}

// event200 is a 200-byte event.
const event200 = `{"id":"0195c1f2-6f7a-7c31-9e0b-3f6d2a1b4c5d","amount":129.95,"quantity":3,"note":"leave it at the door, please","paid":true,"status":"PAID","customer":{"id":"c-1","name":"Ada"},"tenant_id":5,"x":1}`

const fiveFields = `subscription { order(id: 1) { id amount quantity note status } }`

func BenchmarkAppendData(b *testing.B) {
	for _, c := range []struct {
		name   string
		schema *Schema
		text   string
	}{
		{"five fields", nil, fiveFields},
		{"five fields with a schema", loadTestSchema(b), fiveFields},
		{"a fragment on a type", nil, `subscription { order { ...F } } fragment F on Order { id amount quantity customer { id name } }`},
	} {
		b.Run(c.name, func(b *testing.B) {
			plan, err := parse(b, c.schema, c.text).Plan(nil)
			if err != nil {
				b.Fatal(err)
			}
			var event document.Document
			if err := event.Parse([]byte(event200)); err != nil {
				b.Fatal(err)
			}
			dst := make([]byte, 0, 1024)
			var problems []Problem
			b.ReportAllocs()
			for b.Loop() {
				dst, problems = plan.AppendData(dst[:0], event.Root(), nil)
			}
			if len(problems) > 0 {
				b.Error(problems)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	schema := loadTestSchema(b)
	for name, s := range map[string]*Schema{"without a schema": nil, "with a schema": schema} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(s, fiveFields, "", defaults()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPlan(b *testing.B) {
	operation := parse(b, nil, `subscription($id: ID!, $n: Int = 5) { order(id: $id, first: $n) { id } }`)
	given := []byte(`{"id":"a-1"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := operation.Plan(given); err != nil {
			b.Fatal(err)
		}
	}
}

// Written for every event, so nothing may be allocated, whatever the data's
// shape.
func TestAnsweringAllocatesNothing(t *testing.T) {
	schema := loadTestSchema(t)
	for _, c := range []struct {
		name   string
		schema *Schema
		text   string
		data   string
	}{
		{"five fields", nil, fiveFields, event200},
		{"five fields with a schema", schema, fiveFields, event200},
		{
			"nested lists", nil, `subscription { o { a { b { c d } } } }`,
			`{"a":[[{"b":[{"c":1,"d":"\u00e9"},null]},{}],[]]}`,
		},
		{
			"nested lists with a schema", schema, `subscription { order(id: 1) { lines { sku price } matrix customer { friend { friend { name } } } } }`,
			`{"lines":[{"sku":"a","price":1.5},null],"matrix":[[1,2.0],[3]],"customer":{"friend":{"friend":{"name":"x"}}}}`,
		},
		{"types", schema, `subscription { animal { __typename ... on Dog { name barks } } }`, `{"__typename":"Dog","name":"Rex","barks":3}`},
		{"type conditions", nil, `subscription { a { ... on A { a } ... on B { b } } }`, `{"__typename":"\u0042","a":1,"b":2}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := parse(t, c.schema, c.text).Plan(nil)
			if err != nil {
				t.Fatal(err)
			}
			var event document.Document
			if err := event.Parse([]byte(c.data)); err != nil {
				t.Fatal(err)
			}
			dst := make([]byte, 0, 1024)
			var problems []Problem
			got := testing.AllocsPerRun(100, func() {
				dst, problems = plan.AppendData(dst[:0], event.Root(), nil)
			})
			if got != 0 || len(problems) > 0 {
				t.Errorf("%v allocations, problems %v", got, problems)
			}
		})
	}
}
