package query

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

func TestAScalarIsWrittenAsItsTypeDemands(t *testing.T) {
	schema := loadTestSchema(t)
	const refused = "refused"
	for _, c := range []struct{ field, value, want string }{
		{"quantity", `5`, `5`},
		{"quantity", `5.0`, `5`},
		{"quantity", `2e3`, `2000`},
		{"quantity", `-2147483648`, `-2147483648`},
		{"quantity", `2147483647`, `2147483647`},
		{"quantity", `2147483648`, refused},
		{"quantity", `99999999999999999999999`, refused},
		{"quantity", `5.5`, refused},
		{"quantity", `"5"`, refused},
		{"quantity", `true`, refused},
		{"quantity", `[5]`, refused},
		{"amount", `5`, `5`},
		{"amount", `-1.50E-3`, `-1.50E-3`},
		{"amount", `1e308`, `1e308`},
		{"amount", `1e309`, refused},
		{"amount", `1` + strings.Repeat("0", 400), refused},
		{"amount", `"5"`, refused},
		{"amount", `false`, refused},
		{"note", `"\u00e9 \"x\""`, `"\u00e9 \"x\""`},
		{"note", `5`, refused},
		{"note", `true`, refused},
		{"note", `{}`, refused},
		{"paid", `true`, `true`},
		{"paid", `false`, `false`},
		{"paid", `1`, refused},
		{"paid", `"true"`, refused},
		{"id", `"a-1"`, `"a-1"`},
		{"id", `5`, `"5"`},
		{"id", `12345678901234567890123`, `"12345678901234567890123"`},
		{"status", `"PAID"`, `"PAID"`},
		{"status", `"\u0050AID"`, `"\u0050AID"`},
		{"status", `"paid"`, refused},
		{"status", `1`, refused},
		{"extra", `{"any":["thing",{}]}`, `{"any":["thing",{}]}`},
		{"extra", `5`, `5`},
		{"matrix", `[[1,2],[],null]`, `[[1,2],[],null]`},
		{"matrix", `[1]`, `[null]`},
		{"matrix", `[[1,null],[2]]`, `[null,[2]]`},
		{"lines", `{}`, refused},
		{"lines", `"x"`, refused},
		{"customer", `"x"`, refused},
		{"customer", `[]`, refused},
	} {
		t.Run(c.field+" "+shorten(c.value, 40), func(t *testing.T) {
			selection := c.field
			switch c.field {
			case "customer":
				selection += " { id }"
			case "lines":
				selection += " { sku }"
			}
			got, problems := answer(t, schema, `subscription { order(id: 1) { `+selection+` } }`, ``, `{"`+c.field+`":`+c.value+`}`)
			want := c.want
			if want == refused {
				want = "null"
				if len(problems) != 1 || !strings.HasPrefix(problems[0], `INVALID_DATA ["order","`+c.field+`"]: `) {
					t.Errorf("problems: %q", problems)
				}
			}
			if got != `{"order":{"`+c.field+`":`+want+`}}` {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// The cases follow section 6.4.4, "Errors and Non-Null Fields".
func TestANullWhereNoneMayBeReachesTheNearestNullableParent(t *testing.T) {
	schema := loadTestSchema(t)
	for _, c := range []struct {
		name, text, data, want string
		problems               []string
	}{
		{
			"a nullable field takes a null silently",
			`subscription { order(id: 1) { amount customer { id } lines { sku } } }`, `{"lines":[null]}`,
			`{"order":{"amount":null,"customer":null,"lines":[null]}}`, nil,
		},
		{
			"a non-null field nulls its object",
			`subscription { order(id: 1) { note customer { nickname name } } }`, `{"note":"n","customer":{"nickname":"x"}}`,
			`{"order":{"note":"n","customer":null}}`,
			[]string{`NULL_VALUE ["order","customer","name"]: cannot return null for the non-null field Customer.name`},
		},
		{
			"an invalid non-null value does the same, with one error",
			`subscription { order(id: 1) { c: customer { n: name } } }`, `{"customer":{"name":5}}`,
			`{"order":{"c":null}}`,
			[]string{`INVALID_DATA ["order","c","n"]: String cannot represent the value, which is a number`},
		},
		{
			"a non-null object passes it on",
			`subscription { order(id: 1) { requiredCustomer { name } } }`, `{"requiredCustomer":{"name":null}}`,
			`{"order":null}`,
			[]string{`NULL_VALUE ["order","requiredCustomer","name"]: cannot return null for the non-null field Customer.name`},
		},
		{
			"in a list of nullable objects the object is null",
			`subscription { order(id: 1) { lines { sku } } }`, `{"lines":[{"sku":"a"},{},{"sku":"b"}]}`,
			`{"order":{"lines":[{"sku":"a"},null,{"sku":"b"}]}}`,
			[]string{`NULL_VALUE ["order","lines",1,"sku"]: cannot return null for the non-null field Line.sku`},
		},
		{
			"in a list of non-null objects the list is null",
			`subscription { order(id: 1) { id requiredLines { sku } } }`, `{"id":"1","requiredLines":[{"sku":"a"},{"sku":null}]}`,
			`{"order":{"id":"1","requiredLines":null}}`,
			[]string{`NULL_VALUE ["order","requiredLines",1,"sku"]: cannot return null for the non-null field Line.sku`},
		},
		{
			"a null element of such a list too",
			`subscription { order(id: 1) { requiredLines { sku } } }`, `{"requiredLines":[null]}`,
			`{"order":{"requiredLines":null}}`,
			[]string{`NULL_VALUE ["order","requiredLines",0]: cannot return null for the non-null field Order.requiredLines`},
		},
		{
			"a non-null root field nulls the data",
			`subscription { requiredOrder { id } }`, `{}`, `null`,
			[]string{`NULL_VALUE ["requiredOrder","id"]: cannot return null for the non-null field Order.id`},
		},
		{
			"a nullable root field stops it",
			`subscription { order(id: 1) { id } }`, `{}`, `{"order":null}`,
			[]string{`NULL_VALUE ["order","id"]: cannot return null for the non-null field Order.id`},
		},
		{
			"errors of siblings are all reported",
			`subscription { order(id: 1) { amount quantity note } }`, `{"amount":"x","quantity":"y","note":"z"}`,
			`{"order":{"amount":null,"quantity":null,"note":"z"}}`,
			[]string{
				`INVALID_DATA ["order","amount"]: Float cannot represent the value, which is a string`,
				`INVALID_DATA ["order","quantity"]: Int cannot represent the value, which is a string`,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems := answer(t, schema, c.text, ``, c.data)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			expectLines(t, problems, c.problems...)
		})
	}
}

func TestTypesAreToldByTypename(t *testing.T) {
	schema := loadTestSchema(t)
	const animal = `subscription { animal { __typename ... on Dog { name barks } ... on Cat { meows } } }`
	const unknown = `UNKNOWN_TYPE ["animal"]: the object's __typename must name a type that Animal can be`
	for _, c := range []struct {
		name, text, data, want string
		problems               []string
	}{
		{"one type of a union", animal, `{"__typename":"Dog","name":"Rex","barks":3}`, `{"animal":{"__typename":"Dog","name":"Rex","barks":3}}`, nil},
		{"the other", animal, `{"__typename":"\u0043at","meows":1}`, `{"animal":{"__typename":"Cat","meows":1}}`, nil},
		{"no type", animal, `{"name":"Rex"}`, `{"animal":null}`, []string{unknown}},
		{"a type that it cannot be", animal, `{"__typename":"Order"}`, `{"animal":null}`, []string{unknown}},
		{"a type that is no name", animal, `{"__typename":5}`, `{"animal":null}`, []string{unknown}},
		{"an object's own type needs no telling", `subscription { order(id: 1) { t: __typename ... on Node { id } } }`, `{"__typename":"Whatever","id":"1"}`, `{"order":{"t":"Order","id":"1"}}`, nil},
		{
			"an interface of one type neither", `subscription { lone { self { name __typename } } }`, `{"self":{"name":"x"}}`,
			`{"lone":{"self":{"name":"x","__typename":"Lone"}}}`, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems := answer(t, schema, c.text, ``, c.data)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			expectLines(t, problems, c.problems...)
		})
	}
}

func TestProblemsAreBounded(t *testing.T) {
	elements := strings.Repeat("5,", 1000) + "5"
	for name, schema := range map[string]*Schema{"without a schema": nil, "with a schema": loadTestSchema(t)} {
		t.Run(name, func(t *testing.T) {
			got, problems := answer(t, schema, `subscription { order(id: 1) { lines { sku } } }`, ``, `{"lines":[`+elements+`]}`)
			if want := `{"order":{"lines":[` + strings.ReplaceAll(elements, "5", "null") + `]}}`; got != want {
				t.Errorf("got %.200s", got)
			}
			if len(problems) != 100 || !strings.HasSuffix(problems[99], "(further problems are left out)") {
				t.Errorf("%d problems, the last one %s", len(problems), problems[len(problems)-1])
			}
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	// 70 kB, seventy times over, in fifteen elements.
	query := `subscription { order(id: 1) { lines { `
	for i := range 70 {
		query += fmt.Sprintf("a%d: sku ", i)
	}
	query += "} } }"
	element := `{"sku":"` + strings.Repeat("x", 70_000) + `"}`
	data := `{"lines":[` + strings.Repeat(element+",", 14) + element + `]}`
	for name, schema := range map[string]*Schema{"without a schema": nil, "with a schema": loadTestSchema(t)} {
		t.Run(name, func(t *testing.T) {
			plan, err := parse(t, schema, query).Plan(nil)
			if err != nil {
				t.Fatal(err)
			}
			var event document.Document
			if err := event.Parse([]byte(data)); err != nil {
				t.Fatal(err)
			}
			earlier := Problem{Message: "not this answer's"}
			got, problems := plan.AppendData([]byte("kept "), event.Root(), []Problem{earlier})
			if string(got) != "kept null" {
				t.Errorf("%d bytes: %.80s", len(got), got)
			}
			if len(problems) != 2 || problems[0].Message != earlier.Message || problems[1].Code != CodeTooLarge {
				t.Errorf("problems: %v", problems)
			}
			if cap(got) > 3*MaxDataBytes {
				t.Errorf("used %d bytes", cap(got))
			}
		})
	}
}
