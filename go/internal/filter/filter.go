// Package filter decides which events a subscription wants by their data. A
// filter is compiled once from JSON; matching an event reads its document in
// place and allocates nothing.
//
// The grammar: {"path": {"operator": operand, …}, …} holds when every operator
// on every path does, {"path": operand} is short for equals, and {} always
// holds. "all" and "any" take lists of filters and "not" one filter; they
// combine with the paths beside them. A field of such a name is written with a
// dot before it: ".all", ".any", ".not".
//
// A path is field names joined by dots; in a list a segment is an index
// (items.0.sku).
//
// Where the path leads to nothing every operator is false, not_exists apart; a
// null is there. Numbers compare by exact value (5 equals 5.0), booleans are no
// numbers, strings compare by code points, and values of two types are never
// equal nor in any order. "not" is plain negation, so {"not": {"a": 1}} holds
// where a is missing and {"a": {"not_equals": 1}} does not.
package filter

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/document"

// Filter is a compiled filter. It is immutable: any number of goroutines may
// use it at once.
type Filter struct {
	condition condition
}

// Match tells whether an event whose data is root passes. It never fails and
// allocates nothing.
func (f *Filter) Match(root document.Value) bool { return f.condition.holds(root) }

// condition is one node of a compiled filter.
type condition interface {
	holds(root document.Value) bool
}

type (
	allOf    []condition
	anyOf    []condition
	negation struct{ condition condition }
	// field is every test on one path, so that the path is followed once.
	field struct {
		path  document.Path
		tests []test
	}
)

func (c allOf) holds(root document.Value) bool {
	for _, part := range c {
		if !part.holds(root) {
			return false
		}
	}
	return true
}

func (c anyOf) holds(root document.Value) bool {
	for _, part := range c {
		if part.holds(root) {
			return true
		}
	}
	return false
}

func (c *negation) holds(root document.Value) bool { return !c.condition.holds(root) }

func (c *field) holds(root document.Value) bool {
	v := root.Lookup(c.path)
	for i := range c.tests {
		if !c.tests[i].passes(v) {
			return false
		}
	}
	return true
}
