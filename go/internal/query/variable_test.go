package query

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestVariablesAreCoercedToCanonicalJSON(t *testing.T) {
	schema := loadTestSchema(t)
	for _, c := range []struct {
		name        string
		definitions string
		given, want string
	}{
		{"sorted by name, in one spelling", `$b: String, $a: String`, ` { "b" : "\u0041\n" , "a" : "é\/" } `, `{"a":"é/","b":"A\u000a"}`},
		{"those the operation does not define are left out", `$a: Int`, `{"a":1,"z":2}`, `{"a":1}`},
		{"those not given are absent", `$a: Int, $b: Int`, `{"b":null}`, `{"b":null}`},
		{"defaults are filled in", `$a: Int = 5, $b: [String!] = ["x"], $c: Int = 1`, `{"c":null}`, `{"a":5,"b":["x"],"c":null}`},
		{"none at all", `$a: Int`, ``, `{}`},
		{"null for none", `$a: Int`, `null`, `{}`},
		{"the last of two members counts", `$a: Int`, `{"a":"x","a":1}`, `{"a":1}`},
		{"an Int may be written as a whole decimal", `$a: Int`, `{"a":5.0}`, `{"a":5}`},
		{"a Float stays one", `$a: Float, $b: Float, $c: Float`, `{"a":5,"b":0.10,"c":1e30}`, `{"a":5.0,"b":0.1,"c":1e+30}`},
		{"an ID is a string", `$a: ID, $b: ID`, `{"a":5,"b":"x"}`, `{"a":"5","b":"x"}`},
		{"a lone value is a list of one", `$a: [Int], $b: [[Int]]`, `{"a":5,"b":5}`, `{"a":[5],"b":[[5]]}`},
		{"but not within lists of lists", `$b: [[Int]]`, `{"b":[1,[2],null]}`, `{"b":[[1],[2],null]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The schema's rules want every variable used.
			for _, s := range []*Schema{nil, schema} {
				text := `subscription(` + c.definitions + `) { anything }`
				operation, err := Parse(nil, text, "", defaults())
				if err != nil {
					t.Fatal(err)
				}
				if s != nil {
					operation.schema = s.definition
				}
				plan, err := operation.Plan([]byte(c.given))
				if err != nil {
					t.Fatal(err)
				}
				if got := string(plan.Variables()); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			}
		})
	}
}

func TestVariablesOfOtherTypesAreAnyJSONWithoutASchema(t *testing.T) {
	plan, err := parse(t, nil, `subscription($a: Filter, $b: [Filter!]!) { order }`).Plan([]byte(`{"a":{"z":1.0,"b":[{"d":1,"c":"\u0041"}]},"b":[1,"x"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(plan.Variables()), `{"a":{"b":[{"c":"A","d":1}],"z":1.0},"b":[1,"x"]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestInputObjectsAndEnumsFollowTheSchema(t *testing.T) {
	schema := loadTestSchema(t)
	const text = `subscription($f: Filter, $s: [Status!]) { order(id: 1, filter: $f, status: $s) { id } }`
	plan, err := parse(t, schema, text).Plan([]byte(`{"f":{"text":"x","not":{"text":"y","status":"PAID","min":1},"ids":5},"s":"NEW"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(plan.Variables()), `{"f":{"ids":["5"],"not":{"min":1.0,"status":"PAID","text":"y"},"status":"NEW","text":"x"},"s":["NEW"]}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, c := range []struct{ name, given, sentence string }{
		{"an unknown field", `{"f":{"text":"x","nope":1}}`, `variable $f of type Filter: Filter has no field "nope"`},
		{"a missing field", `{"f":{}}`, `the field "text" of Filter is required`},
		{"a null that is not allowed", `{"f":{"text":null}}`, `at text, null is not allowed`},
		{"a wrong value deep within", `{"f":{"text":"x","not":{"text":"y","ids":["a",true]}}}`, `at not.ids[1], true is no ID`},
		{"no object", `{"f":[1]}`, `Filter is an object, an array is none`},
		{"an enum value that does not exist", `{"s":["NEW","new"]}`, `at [1], "new" is no value of the enum Status`},
		{"an enum value that is no name", `{"s":[5]}`, `at [0], 5 is no value of the enum Status`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, schema, text).Plan([]byte(c.given))
			expectFault(t, err, fault.InvalidQuery, c.sentence)
		})
	}
}

func TestAOneOfObjectTakesOneField(t *testing.T) {
	schema, err := LoadSchema(`type Query { a: Int } type Subscription { a(p: Pick): Int } input Pick @oneOf { id: ID name: String }`)
	if err != nil {
		t.Fatal(err)
	}
	operation := parse(t, schema, `subscription($p: Pick) { a(p: $p) }`)
	if _, err := operation.Plan([]byte(`{"p":{"id":1}}`)); err != nil {
		t.Error(err)
	}
	_, err = operation.Plan([]byte(`{"p":{"id":1,"name":"x"}}`))
	expectFault(t, err, fault.InvalidQuery, "exactly one of its fields")
	_, err = operation.Plan([]byte(`{"p":{"id":null}}`))
	expectFault(t, err, fault.InvalidQuery, `the field "id" of Pick cannot be null`)
}

func TestADefaultThatContainsItselfIsRefused(t *testing.T) {
	schema, err := LoadSchema(`type Query { a: Int } type Subscription { a(l: Loop): Int } input Loop { a: Loop = {}, b: Loop = {} }`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parse(t, schema, `subscription($l: Loop) { a(l: $l) }`).Plan([]byte(`{"l":{}}`))
	expectFault(t, err, fault.InvalidQuery, "contains itself")
}

func TestWrongVariablesAreRefusedByName(t *testing.T) {
	for _, c := range []struct{ name, definitions, given, sentence string }{
		{"no JSON", `$a: Int`, `{"a":`, "the variables are not JSON"},
		{"no object", `$a: Int`, `[1]`, "the variables are a JSON array and must be an object"},
		{"nested without end", `$a: X`, `{"a":` + strings.Repeat("[", 100_000), "nested too deeply"},
		{"a required one not given", `$a: Int!`, `{}`, "1:14: variable $a of type Int! is required"},
		{"a null for a required one", `$a: Int!`, `{"a":null}`, "$a of type Int!: null is not allowed"},
		{"a null for a required one with a default", `$a: Int! = 5`, `{"a":null}`, "null is not allowed"},
		{"a null in a list", `$a: [Int!]`, `{"a":[1,null]}`, "$a of type [Int!]: at [1], null is not allowed"},
		{"text for an Int", `$a: Int`, `{"a":"5"}`, `"5" is no Int (a whole number of 32 bits)`},
		{"a fraction for an Int", `$a: Int`, `{"a":5.5}`, "5.5 is no Int"},
		{"a large number for an Int", `$a: Int`, `{"a":2147483648}`, "2147483648 is no Int"},
		{"text for a Float", `$a: Float`, `{"a":"5"}`, `"5" is no Float`},
		{"a Float out of range", `$a: Float`, `{"a":1e999}`, "1e999 is no Float"},
		{"a number for a String", `$a: String`, `{"a":5}`, "5 is no String"},
		{"a number for a Boolean", `$a: Boolean`, `{"a":1}`, "1 is no Boolean"},
		{"a fraction for an ID", `$a: ID`, `{"a":5.5}`, "5.5 is no ID"},
		{"an object for a String", `$a: String`, `{"a":{}}`, "an object is no String"},
		{"a default of the wrong type", `$a: Int = "x"`, `{}`, `"x" is no Int`},
		{"a default that is a name", `$a: String = RED`, `{}`, `its default RED is an enum value`},
		{"a long text", `$a: Int`, `{"a":"` + strings.Repeat("é", 1000) + `"}`, `…" is no Int`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, nil, `subscription(`+c.definitions+`) { order }`).Plan([]byte(c.given))
			expectFault(t, err, fault.InvalidQuery, c.sentence)
		})
	}
}

func TestASteeringVariableMustHaveAValue(t *testing.T) {
	_, err := parse(t, nil, `subscription($x: Boolean) { o { a @skip(if: $x) } }`).Plan(nil)
	expectFault(t, err, fault.InvalidQuery, "variable $x decides a @skip or @include")
}

func TestArgumentsOfTheRootField(t *testing.T) {
	schema := loadTestSchema(t)
	for _, c := range []struct {
		name             string
		schema           *Schema
		text, given, out string
	}{
		{"none", nil, `subscription { o }`, ``, `{}`},
		{"literals", nil, `subscription { o(b: [1, -2.50, RED, "x\u0041\n", """ block """, true, null], a: {d: 1, c: {}}) }`, ``, `{"a":{"c":{},"d":1},"b":[1,-2.50,"RED","xA\u000a"," block ",true,null]}`},
		{"variables", nil, `subscription($a: Int, $b: Int, $c: Int = 3) { o(a: $a, b: $b, l: [$a, $b], o: {x: $b, y: $c}) }`, `{"a":1}`, `{"a":1,"l":[1,null],"o":{"y":3}}`},
		{"a null variable", nil, `subscription($a: Int) { o(a: $a) }`, `{"a":null}`, `{"a":null}`},
		{"coerced, with the schema's defaults", schema, `subscription { order(id: 5, status: NEW, filter: {text: "x", ids: 7}) { id } }`, ``, `{"filter":{"ids":["7"],"status":"NEW","text":"x"},"first":10,"id":"5","status":["NEW"]}`},
		{"variables, coerced", schema, `subscription($id: ID!, $n: Int) { order(id: $id, first: $n) { id } }`, `{"id":5}`, `{"first":10,"id":"5"}`},
		{"a null overrides a default", schema, `subscription($n: Int) { order(id: 5, first: $n) { id } }`, `{"n":null}`, `{"first":null,"id":"5"}`},
		{"a variable within an object", schema, `subscription($t: String!, $m: Float) { order(id: 5, filter: {text: $t, min: $m}) { id } }`, `{"t":"x"}`, `{"filter":{"status":"NEW","text":"x"},"first":10,"id":"5"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := parse(t, c.schema, c.text).Plan([]byte(c.given))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(plan.Arguments()); got != c.out {
				t.Errorf("got  %s\nwant %s", got, c.out)
			}
		})
	}
}

func TestPlansShareWhatTheyCan(t *testing.T) {
	plain := parse(t, nil, `subscription { o { a } }`)
	first, _ := plain.Plan(nil)
	second, _ := plain.Plan([]byte(`{"ignored":1}`))
	if first != second {
		t.Error("an operation without variables has several plans")
	}
	withVariables := parse(t, nil, `subscription($id: Int, $x: Boolean = true) { o(id: $id) { a @skip(if: $x) } }`)
	one, _ := withVariables.Plan([]byte(`{"id":1}`))
	two, _ := withVariables.Plan([]byte(`{"id":2}`))
	three, _ := withVariables.Plan([]byte(`{"id":2,"x":false}`))
	if one.tree != two.tree {
		t.Error("variables that select the same are compiled twice")
	}
	if two.tree == three.tree {
		t.Error("variables that select differently share a tree")
	}
	_, err := plain.Plan([]byte(`no`))
	expectFault(t, err, fault.InvalidQuery, "not JSON")
}

func TestAnOperationKeepsAtMostSixteenTrees(t *testing.T) {
	operation := parse(t, nil, `subscription($a: Boolean! $b: Boolean! $c: Boolean! $d: Boolean! $e: Boolean!) {
		o { a @skip(if: $a) b @skip(if: $b) c @skip(if: $c) d @skip(if: $d) e @skip(if: $e) }
	}`)
	for i := range 32 {
		given := `{`
		for bit, name := range []string{"a", "b", "c", "d", "e"} {
			given += `"` + name + `":` + []string{"false", "true"}[i>>bit&1] + `,`
		}
		plan, err := operation.Plan([]byte(strings.TrimSuffix(given, ",") + `}`))
		if err != nil {
			t.Fatal(err)
		}
		want := `{"o":{`
		for bit, name := range []string{"a", "b", "c", "d", "e"} {
			if i>>bit&1 == 0 {
				want += `"` + name + `":null,`
			}
		}
		if got := appendFor(t, plan, `{}`); got != strings.TrimSuffix(want, ",")+`}}` {
			t.Errorf("%d: got %s", i, got)
		}
	}
	if kept := len(operation.trees); kept != maxTrees {
		t.Errorf("%d trees kept", kept)
	}
}

func TestAVariableWithinALiteralMayNotNestTooDeeply(t *testing.T) {
	operation := parse(t, nil, `subscription($a: Any) { o(b: `+strings.Repeat("[", 200)+`$a`+strings.Repeat("]", 200)+`) }`)
	deep := func(n int) []byte {
		return []byte(`{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`)
	}
	if _, err := operation.Plan(deep(250)); err != nil {
		t.Error(err)
	}
	_, err := operation.Plan(deep(400))
	expectFault(t, err, fault.InvalidQuery, "nested too deeply")
}
