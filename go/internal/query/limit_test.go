package query

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// defaults are the limits of an engine that was told nothing else.
func defaults() Limits {
	return Limits{Bytes: 100_000, Fields: 500, Depth: 10, VariablesBytes: 1_000_000}
}

func TestLimitsNameThemselvesTheirValueAndWhatWasAsked(t *testing.T) {
	fields := func(n int) string { // the root field included
		return "subscription { a { " + strings.Repeat("b ", n-1) + "} }"
	}
	nested := func(depth int) string {
		return "subscription " + strings.Repeat("{ a ", depth) + strings.Repeat("}", depth)
	}
	for _, c := range []struct {
		name     string
		limits   Limits
		within   string
		beyond   string
		sentence string
	}{
		{
			"bytes",
			Limits{Bytes: 20},
			"subscription { a   }", "subscription { a    }",
			"the query has 21 bytes; max_query_bytes is 20",
		},
		{"fields", defaults(), fields(500), fields(501), "the query selects 501 fields; max_query_fields is 500"},
		{
			"fields in fragments, counted where they are spread",
			Limits{Fields: 5},
			"subscription { a { ...F ... { ...F } } } fragment F on A { b c }",
			"subscription { a { ...F ... { ...F } c } } fragment F on A { b c }",
			"selects 6 fields; max_query_fields is 5",
		},
		{
			"fields of all operations together",
			Limits{Fields: 3},
			"subscription { a { b c } }", "subscription A { a { b } } subscription B { a { b } }",
			"selects 4 fields; max_query_fields is 3",
		},
		{
			"fragments",
			Limits{Fields: 3},
			"subscription { ... { ... { ... { a } } } }", "subscription { ... { ... { ... { ... { a } } } } }",
			"spreads 4 fragments; max_query_fields, which bounds them too, is 3",
		},
		{"depth", defaults(), nested(10), nested(11), "nests fields to depth 11; max_query_depth is 10"},
		{
			"depth through fragments",
			Limits{Depth: 3},
			"subscription { a { ...F } } fragment F on A { b { c } }",
			"subscription { a { ...F } } fragment F on A { b { ...G } } fragment G on A { c { d } }",
			"depth 4; max_query_depth is 3",
		},
		{
			"aliases",
			Limits{Aliases: 2},
			"subscription { x: a { y: b c: c d } }", "subscription { x: a { y: b z: c } }",
			"has 3 aliases; max_query_aliases is 2",
		},
		{
			"directives, wherever they stand",
			Limits{Directives: 3},
			"subscription @a { a { b @b ... @c { d } } }",
			"subscription($x: Int @a) @b { a { b @c ...F } } fragment F on A @d { e @e }",
			"has 5 directives; max_query_directives is 3",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := ""
			if strings.Contains(c.beyond, "subscription B") {
				name = "B"
			}
			if _, err := Parse(nil, c.within, "", c.limits); err != nil {
				t.Errorf("%s: %v", c.within, err)
			}
			_, err := Parse(nil, c.beyond, name, c.limits)
			expectFault(t, err, fault.LimitExceeded, c.sentence)
			if _, err := Parse(nil, c.beyond, name, Limits{}); err != nil {
				t.Errorf("without limits: %v", err)
			}
		})
	}
}

func TestVariablesAreLimitedInBytes(t *testing.T) {
	limits := defaults()
	limits.VariablesBytes = 10
	for _, text := range []string{"subscription { a }", "subscription($a: Int) { b(c: $a) }"} {
		operation, err := Parse(nil, text, "", limits)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := operation.Plan([]byte(`{"a": 123}`)); err != nil {
			t.Error(err)
		}
		_, err = operation.Plan([]byte(`{"a": 1234}`))
		expectFault(t, err, fault.LimitExceeded, "the variables have 11 bytes; max_variables_bytes is 10")
	}
}

// bombs are texts of at most 100 kB that make naive readers explode.
func bombs() map[string]string {
	doubling := "subscription { a { ...F0 } }"
	chain := "subscription { a { ...F0 } }"
	for i := range 80 {
		doubling += fmt.Sprintf(" fragment F%d on A { a { ...F%d } b { ...F%d } }", i, i+1, i+1)
	}
	doubling += " fragment F80 on A { a }"
	for i := range 2500 {
		chain += fmt.Sprintf(" fragment F%d on A {a{...F%d}}", i, i+1)
	}
	chain += " fragment F2500 on A { a }"
	mesh := "subscription { a { ...F0 } }"
	for i := range 120 {
		mesh += fmt.Sprintf(" fragment F%d on A { x", i)
		for j := i + 1; j < 120; j++ {
			mesh += fmt.Sprintf(" ...F%d", j)
		}
		mesh += " }"
	}
	valid := "subscription { order(id: 1) { ...F0 } }"
	for i := range 450 {
		valid += fmt.Sprintf(" fragment F%d on Order { ...F%d }", i, i+1)
	}
	valid += " fragment F450 on Order { id }"
	tree := "customer { friend {" + strings.Repeat("friend { friend { name nickname } friend { name nickname } } ", 70) + "} }"
	return map[string]string{
		"a valid chain of fragments":                     valid,
		"valid fields over and over":                     "subscription { order(id: 1) {" + strings.Repeat("id ", 499) + "} }",
		"valid objects that all merge":                   "subscription { order(id: 1) {" + tree + "} }",
		"fragments that double at each of eighty levels": doubling,
		"a chain of fragments":                           chain,
		"a mesh of fragments":                            mesh,
		"nested selections":                              "subscription " + strings.Repeat("{a", 50_000),
		"nested selections, closed":                      "subscription " + strings.Repeat("{a", 30_000) + strings.Repeat("}", 30_000),
		"nested inline fragments":                        "subscription " + strings.Repeat("{...", 20_000),
		"nested lists":                                   "subscription { a(b: " + strings.Repeat("[", 99_000),
		"nested objects":                                 "subscription { a(b: " + strings.Repeat("{c:", 30_000),
		"nested list types":                              "subscription($a: " + strings.Repeat("[", 99_000),
		"nested parentheses":                             "subscription " + strings.Repeat("(", 99_000),
		"one field over and over":                        "subscription { a {" + strings.Repeat("a ", 49_000) + "} }",
		"one fragment over and over":                     "subscription { a {" + strings.Repeat("...F ", 19_000) + "} } fragment F on A { a }",
		"operations":                                     strings.Repeat("subscription{a}", 6_600),
		"variables":                                      "subscription(" + strings.Repeat("$a:A", 24_000) + ") { a }",
		"arguments":                                      "subscription { a(" + strings.Repeat("a:1,", 24_000) + ") }",
		"directives":                                     "subscription { a " + strings.Repeat("@a ", 30_000) + "}",
		"comments":                                       strings.Repeat("#\n", 49_000) + "subscription { a }",
		"quotes":                                         "subscription { a(b: " + strings.Repeat(`"`, 99_000),
		"block string of lines":                          `subscription { a(b: """` + strings.Repeat("\n ", 49_000) + `""") }`,
		"a long name":                                    "subscription { " + strings.Repeat("a", 99_000) + " }",
		"long unknown fields":                            "subscription { " + strings.Repeat(strings.Repeat("b", 190)+" ", 500) + " }",
	}
}

func TestNoTextTakesLongOrEndsTheProcess(t *testing.T) {
	schema := loadTestSchema(t)
	for name, text := range bombs() {
		t.Run(name, func(t *testing.T) {
			for _, s := range []*Schema{nil, schema} {
				for _, limits := range []Limits{defaults(), {}} {
					if s != nil && limits.Bytes == 0 && strings.Contains(name, "over and over") {
						continue // the validator's time is quadratic here: the limits are there for it
					}
					begin := time.Now()
					_, err := Parse(s, text, "", limits)
					elapsed := time.Since(begin)
					t.Logf("schema %t, limited %t: %v: %.150v", s != nil, limits.Bytes > 0, elapsed, err)
					if limits.Bytes > 0 && elapsed > 2*time.Second {
						t.Errorf("took %v", elapsed)
					}
				}
			}
		})
	}
}

func TestAPlanIsBoundedOverAllPossibleTypes(t *testing.T) {
	sdl := "type Query { a: Int } type Subscription { node: Node } interface Node { id: ID }"
	for i := range 300 {
		sdl += fmt.Sprintf(" type T%d implements Node { id: ID }", i)
	}
	schema, err := LoadSchema(sdl)
	if err != nil {
		t.Fatal(err)
	}
	parse(t, schema, "subscription { node {"+strings.Repeat("id ", 400)+"} }")
	query := "subscription { node {"
	for i := range 400 {
		query += fmt.Sprintf(" a%d: id", i)
	}
	_, err = Parse(schema, query+"} }", "", defaults())
	expectFault(t, err, fault.LimitExceeded, "over all possible types, 50001 fields; max_query_fields is 50000")
}

func TestABombIsRefusedByTheLimitItBreaks(t *testing.T) {
	texts := bombs()
	for name, part := range map[string]string{
		"fragments that double at each of eighty levels": "more than 1000000000 fields; max_query_fields is 50000",
		"a chain of fragments":                           "nests fields and fragments to depth 5001; max_query_depth is 500",
		"nested inline fragments":                        "nests brackets to depth 20000; max_query_depth is 500",
		"nested list types":                              "nests brackets to depth 99001; max_query_depth is 500",
	} {
		_, err := Parse(nil, texts[name], "", Limits{})
		expectFault(t, err, fault.LimitExceeded, part)
	}
}

func TestAQuestionForTheSchemaIsDeepOnlyWhereItMultiplies(t *testing.T) {
	limits := defaults()
	limits.Depth = 3
	types := strings.Repeat("ofType { ", 20) + "name" + strings.Repeat(" }", 20)
	for _, text := range []string{
		"{ __schema { types { fields { args { type { " + types + " } } } } } }",
		"{ __schema { types { ...T } } } fragment T on __Type { interfaces { possibleTypes { " + types + " } } }",
		`{ __type(name: "A") { fields { type { inputFields { type { ` + types + " } } } } } }",
		"{ a { __type { fields { x { fields { y { z } } } } } } }",
	} {
		_, err := Parse(nil, text, "", limits)
		if other := new(OtherOperation); !errors.As(err, &other) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, depth := range map[string]int{
		"{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }":                                 8,
		"{ __schema { types { ...T } } } fragment T on __Type { fields { type { interfaces { possibleTypes { name } } } } }": 7,
		"{ a { fields { fields { fields } } } }":                               4,
		"{ a { b { __schema { types { name } } } c { fields { d { e } } } } }": 5,
	} {
		_, err := Parse(nil, text, "", limits)
		expectFault(t, err, fault.LimitExceeded, fmt.Sprintf("nests fields to depth %d; max_query_depth is 3", depth))
		limits := limits
		limits.Depth = depth
		if _, err := Parse(nil, text, "", limits); fault.CodeOf(err) != fault.InvalidQuery {
			t.Errorf("%s: %v", text, err)
		}
	}
}
