package query

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// seedQueries are texts that reach most of the package.
var seedQueries = []string{
	`subscription { order(id: 1) { id } }`,
	`subscription A($x: Boolean!, $f: Filter = {text: "x"}, $s: [Status!]) @live { o: order(id: 5, filter: $f, status: $s) { id @skip(if: $x) ...F lines { sku price } matrix } } fragment F on Order { customer { name ... on Customer @include(if: $x) { friend { nickname } } } }`,
	`subscription { animal { __typename ... on Dog { name barks } ... on Cat { n: name } } }`,
	`subscription($a: Int = 1, $b: [Float], $c: ID!, $d: String, $e: Any) { a(b: [$a, {c: $b, d: """x"""}], e: RED) { b { c } ... { b { d } } } }`,
	`subscription { a { ...F } } fragment F on A { b ...G } fragment G on B { ...F }`,
	`query Q { a } mutation M { b }`,
	`subscription{a{...on A{n:b}...on B{n:c}n}}`,
	"\ufeff{a(b:\"\\u{1F600}\\uD83D\\uDE00\") #",
}

// FuzzParse: no text makes Parse panic, loop or fail without a code, and a plan
// of what it accepts has canonical variables and valid arguments.
func FuzzParse(f *testing.F) {
	for _, text := range seedQueries {
		f.Add(text, "", []byte(`{"x":true,"c":5,"f":{"text":"y","ids":[1]},"s":"NEW","b":[1.5,2],"e":{"k":[]}}`))
	}
	f.Add(`subscription A { a } subscription B { b }`, "B", []byte(`{}`))
	f.Add(`subscription($x: Boolean!) { o { a @skip(if: $x) } }`, "", []byte(`{"x":false}`))
	f.Add(`{ a }`, strings.Repeat("\x12", 3000), []byte(`0`)) // an error must not repeat all of it
	schema := loadTestSchema(f)
	f.Fuzz(func(t *testing.T, text, operationName string, variables []byte) {
		for _, s := range []*Schema{nil, schema} {
			begin := time.Now()
			operation, err := Parse(s, text, operationName, defaults())
			if elapsed := time.Since(begin); elapsed > 5*time.Second {
				t.Fatalf("took %v", elapsed)
			}
			if err != nil {
				expectRefusal(t, err)
				continue
			}
			if operation.RootField() == "" {
				t.Error("no root field")
			}
			plan, err := operation.Plan(variables)
			if err != nil {
				expectRefusal(t, err)
				continue
			}
			for _, object := range [][]byte{plan.Variables(), plan.Arguments()} {
				var d document.Document
				if err := d.Parse(object); err != nil || d.Root().Kind() != document.Object {
					t.Errorf("no object: %s: %v", object, err)
				}
			}
			again, err := operation.Plan(plan.Variables())
			if err != nil || !bytes.Equal(again.Variables(), plan.Variables()) || !bytes.Equal(again.Arguments(), plan.Arguments()) {
				t.Errorf("coercing twice differs: %s, then %s (%v)", plan.Variables(), again.Variables(), err)
			}
		}
	})
}

func expectRefusal(t *testing.T, err error) {
	t.Helper()
	if code := fault.CodeOf(err); code != fault.InvalidQuery && code != fault.LimitExceeded {
		t.Errorf("refused with %s: %v", code, err)
	}
	if len(err.Error()) > 2000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// FuzzProject: whatever the query and the data, the answer is one JSON object or
// null, and every problem has a path.
func FuzzProject(f *testing.F) {
	for _, text := range seedQueries {
		f.Add(text, []byte(`{"id":1,"customer":{"name":"x","friend":null},"lines":[{"sku":"a","price":1.5},null,{}],"matrix":[[1,null],[2]],"__typename":"Dog","barks":1e3,"b":[[{"c":1}],5]}`))
	}
	f.Add(seedQueries[0], []byte(`[1]`))
	schema := loadTestSchema(f)
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		var event document.Document
		if len(data) > 100_000 || event.Parse(data) != nil {
			return
		}
		for _, s := range []*Schema{nil, schema} {
			operation, err := Parse(s, text, "", defaults())
			if err != nil {
				continue
			}
			plan, err := operation.Plan([]byte(`{"x":true,"c":5,"f":{"text":"y"}}`))
			if err != nil {
				continue
			}
			got, problems := plan.AppendData([]byte("kept "), event.Root(), nil)
			answer, kept := bytes.CutPrefix(got, []byte("kept "))
			var d document.Document
			if err := d.Parse(answer); err != nil || !kept {
				t.Fatalf("%s: %v", got, err)
			}
			if kind := d.Root().Kind(); kind != document.Object && kind != document.Null || kind == document.Object && d.Root().Len() != 1 {
				t.Errorf("answer %s", answer)
			}
			for _, p := range problems {
				if !document.Valid(p.Path) || p.Message == "" || p.Code == "" {
					t.Errorf("problem %q %s %q", p.Message, p.Path, p.Code)
				}
			}
		}
	})
}
