package query

import (
	"testing"
)

func TestWithoutASchemaTheDataIsProjected(t *testing.T) {
	for _, c := range []struct{ name, text, variables, data, want string }{
		{
			"the event's data is the value of the root field",
			`subscription { orderUpdated { id } }`, ``, `{"id":1,"secret":2}`, `{"orderUpdated":{"id":1}}`,
		},
		{"the root field's alias is the key", `subscription { o: order { id } }`, ``, `{"id":1}`, `{"o":{"id":1}}`},
		{"a root field without selections is the data", `subscription { order }`, ``, `{"id":1,"b":[1,{}]}`, `{"order":{"id":1,"b":[1,{}]}}`},
		{"members follow the query's order", `subscription { o { c a b } }`, ``, `{"a":1,"b":2,"c":3}`, `{"o":{"c":3,"a":1,"b":2}}`},
		{"aliases rename", `subscription { o { x: a y: a a } }`, ``, `{"a":1}`, `{"o":{"x":1,"y":1,"a":1}}`},
		{
			"any number of fields is selected", `subscription { o { a b c d e f g h i none x: a j { a } k l m n o p } }`, ``,
			`{"p":16,"o":15,"n":14,"m":13,"l":12,"k":11,"j":{"a":10},"i":9,"h":8,"g":7,"f":6,"e":5,"d":4,"c":3,"b":2,"a":1}`,
			`{"o":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"none":null,"x":1,"j":{"a":10},"k":11,"l":12,"m":13,"n":14,"o":15,"p":16}}`,
		},
		{"a missing member is null", `subscription { o { a b { c } } }`, ``, `{}`, `{"o":{"a":null,"b":null}}`},
		{"a null stays null", `subscription { o { a b { c } } }`, ``, `{"a":null,"b":null}`, `{"o":{"a":null,"b":null}}`},
		{"objects nest", `subscription { o { a { b { c } } } }`, ``, `{"a":{"b":{"c":1,"d":2},"e":3}}`, `{"o":{"a":{"b":{"c":1}}}}`},
		{"lists are projected by element", `subscription { o { a { b } } }`, ``, `{"a":[{"b":1,"c":2},{},null]}`, `{"o":{"a":[{"b":1},{"b":null},null]}}`},
		{"lists of lists too", `subscription { o { a { b } } }`, ``, `{"a":[[{"b":1}],[],[[{"b":2}]]]}`, `{"o":{"a":[[{"b":1}],[],[[{"b":2}]]]}}`},
		{"a leaf may be anything", `subscription { o { a b } }`, ``, `{"a":{"x":[1]},"b":[{"y":2}]}`, `{"o":{"a":{"x":[1]},"b":[{"y":2}]}}`},
		{
			"scalars are copied byte for byte", `subscription { o { a b c d e } }`, ``,
			`{"a":123456789012345678901234567890,"b":1.50e+10,"c":"\u00e9\n\"é","d":true,"e":-0.0}`,
			`{"o":{"a":123456789012345678901234567890,"b":1.50e+10,"c":"\u00e9\n\"é","d":true,"e":-0.0}}`,
		},
		{"a member named with escapes is found", `subscription { o { abc } }`, ``, `{"a\u0062c":1}`, `{"o":{"abc":1}}`},
		{"the last of two members counts", `subscription { o { a } }`, ``, `{"a":1,"a":2}`, `{"o":{"a":2}}`},
		{
			"fields of one key are merged at the first one's place", `subscription { o { a { x } b a { y x } } }`, ``,
			`{"a":{"x":1,"y":2},"b":3}`, `{"o":{"a":{"x":1,"y":2},"b":3}}`,
		},
		{
			"root fields of one key are merged", `subscription { o { a } ...F } fragment F on Subscription { o { b } }`, ``,
			`{"a":1,"b":2}`, `{"o":{"a":1,"b":2}}`,
		},
		{
			"fragments are expanded where they stand", `subscription { o { a ...F d } } fragment F on O { b ... { c } }`, ``,
			`{"a":1,"b":2,"c":3,"d":4}`, `{"o":{"a":1,"b":2,"c":3,"d":4}}`,
		},
		{"a type condition holds where the data names no type", `subscription { o { ... on A { a } ... on B { b } } }`, ``, `{"a":1,"b":2}`, `{"o":{"a":1,"b":2}}`},
		{"a type condition holds for its type", `subscription { o { ... on A { a } ... on B { b } c } }`, ``, `{"__typename":"B","a":1,"b":2,"c":3}`, `{"o":{"b":2,"c":3}}`},
		{"no type condition holds for another type", `subscription { o { ...F c } } fragment F on A { a }`, ``, `{"__typename":"X","a":1,"c":3}`, `{"o":{"c":3}}`},
		{
			"each element of a list has its own type", `subscription { o { l { ... on A { a } ... on B { b } } } }`, ``,
			`{"l":[{"__typename":"A","a":1},{"__typename":"\u0042","b":2},{"a":3}]}`, `{"o":{"l":[{"a":1},{"b":2},{"a":3,"b":null}]}}`,
		},
		{
			"what merges depends on the type", `subscription { o { k { x } ... on A { k { y } } } }`, ``,
			`{"__typename":"A","k":{"x":1,"y":2}}`, `{"o":{"k":{"x":1,"y":2}}}`,
		},
		{
			"one key may mean two fields on two types", `subscription { o { ... on A { n: a } ... on B { n: b } } }`, ``,
			`{"__typename":"B","a":1,"b":2}`, `{"o":{"n":2}}`,
		},
		{
			"the first of them counts where no type is named", `subscription { o { ... on A { n: a } ... on B { n: b } } }`, ``,
			`{"a":1,"b":2}`, `{"o":{"n":1}}`,
		},
		{"__typename is the data's", `subscription { o { __typename t: __typename } }`, ``, `{"__typename":"Order"}`, `{"o":{"__typename":"Order","t":"Order"}}`},
		{"__typename is null where the data has none", `subscription { o { __typename } }`, ``, `{}`, `{"o":{"__typename":null}}`},
		{"@skip and @include with constants", `subscription { o { a @skip(if: true) b @skip(if: false) c @include(if: true) d @include(if: false) } }`, ``, `{}`, `{"o":{"b":null,"c":null}}`},
		{"@skip and @include together", `subscription { o { a @skip(if: true) @include(if: true) b } }`, ``, `{}`, `{"o":{"b":null}}`},
		{
			"@skip and @include with variables", `subscription($x: Boolean!, $y: Boolean = true) { o { a @skip(if: $x) ...F @include(if: $x) ... @include(if: $y) { c } } } fragment F on O { b }`,
			`{"x":true}`, `{}`, `{"o":{"b":null,"c":null}}`,
		},
		{
			"the same with the other value", `subscription($x: Boolean!, $y: Boolean = true) { o { a @skip(if: $x) ...F @include(if: $x) ... @include(if: $y) { c } } } fragment F on O { b }`,
			`{"x":false,"y":false}`, `{}`, `{"o":{"a":null}}`,
		},
		{"a skipped spread does not hide the next one", `subscription { o { ...F @skip(if: true) ...F } } fragment F on O { a }`, ``, `{}`, `{"o":{"a":null}}`},
		{"everything may be skipped", `subscription { o { a @skip(if: true) } }`, ``, `{}`, `{"o":{}}`},
		{"a resolver's value may be a list", `subscription { o { a } }`, ``, `[{"a":1}]`, `{"o":[{"a":1}]}`},
		{"a resolver's value may be null", `subscription { o { a } }`, ``, `null`, `{"o":null}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems := answer(t, nil, c.text, c.variables, c.data)
			if got != c.want {
				t.Errorf("%s\nfor  %s\ngot  %s\nwant %s", c.text, c.data, got, c.want)
			}
			if len(problems) > 0 {
				t.Errorf("problems: %q", problems)
			}
		})
	}
}

func TestSelectingFieldsOfAScalarIsAProblem(t *testing.T) {
	got, problems := answer(t, nil, `subscription { o { x: a { b } l { c } d } }`, ``, `{"a":"text","l":[{"c":1},[5,{"c":2}],true],"d":3}`)
	if want := `{"o":{"x":null,"l":[{"c":1},[null,{"c":2}],null],"d":3}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	expectLines(t, problems,
		`INVALID_DATA ["o","x"]: the query selects fields of a value that is a string`,
		`INVALID_DATA ["o","l",1,0]: the query selects fields of a value that is a number`,
		`INVALID_DATA ["o","l",2]: the query selects fields of a value that is a boolean`,
	)
}

func expectLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("problem %d\ngot  %s\nwant %s", i, g, w)
		}
	}
}
