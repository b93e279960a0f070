package query

import (
	"fmt"
	"math"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Limits bounds what a subscriber may ask for. Zero means unlimited, though the
// fixed bounds below hold even then.
//
// Fields, Aliases and Directives count what the operations of the document
// select once their fragments are expanded; all operations of a document count
// together, because validation pays for all of them. Depth counts nested
// fields, the root field being 1. A question for the schema is one field deep,
// unless what it costs multiplies: see meter.
type Limits struct {
	Bytes          int // of the query text
	Fields         int // also bounds the fragment spreads, counted the same way
	Depth          int
	Aliases        int
	Directives     int
	VariablesBytes int // of the variables as JSON text
}

const (
	// maxNesting bounds brackets within brackets. The parser, the validator and
	// the projection recurse once a level, and a Go stack that overflows ends
	// the process. Event data nests at most 500 levels, so nothing is lost.
	maxNesting = 500
	// maxLevels is the same bound along chains of fragments.
	maxLevels = 5_000
	// maxPlanFields bounds a plan's memory: what a query selects, once for
	// every concrete type that an abstract selection can turn out to be.
	maxPlanFields = 50_000
	// boundsSpreads names max_query_fields in a sentence about spreads.
	boundsSpreads = "max_query_fields, which bounds them too,"
)

// exceeded is the error of every limit: which, its value, what was asked. what
// holds one %s for the number.
func exceeded(limit string, allowed, asked int, what string) error {
	sentence := limit
	if limit == boundsSpreads {
		limit = "max_query_fields"
	}
	number := strconv.Itoa(asked)
	if asked >= countCeiling {
		number = "more than " + strconv.Itoa(countCeiling)
	}
	return fault.Exceeded(fault.LimitExceeded, limit, float64(allowed), float64(asked), "%s; %s is %d", fmt.Sprintf(what, number), sentence, allowed)
}

// CheckVariables refuses variables whose text is too long.
func CheckVariables(bytes int, limits Limits) error {
	if limits.VariablesBytes > 0 && bytes > limits.VariablesBytes {
		return exceeded("max_variables_bytes", limits.VariablesBytes, bytes, "the variables have %s bytes")
	}
	return nil
}

// scan reads the tokens once before the parser does: it reports what is not a
// token with its place and refuses text that would make the parser recurse too
// deeply. Its own stack does not grow with the text.
func scan(text string, limits Limits) error {
	tokens := lexer.New(&ast.Source{Input: text})
	depth, deepest := 0, 0
	for {
		token, err := tokens.ReadToken()
		if err != nil {
			return invalid(err)
		}
		switch token.Kind {
		case lexer.BraceL, lexer.BracketL, lexer.ParenL:
			depth++
			deepest = max(deepest, depth)
		case lexer.BraceR, lexer.BracketR, lexer.ParenR:
			depth--
		case lexer.EOF:
			if deepest > maxNesting {
				return exceeded("max_query_depth", orElse(limits.Depth, maxNesting), deepest, "the query nests brackets to depth %s")
			}
			return nil
		}
	}
}

// cost is what a selection set asks for, fragments expanded.
type cost struct{ fields, spreads, aliases, directives, depth, lists int }

// maxLists is how often lists of a type's members may be nested in a question for the
// schema. Each level multiplies the answer by their length; tools nest one
// (graphql-js has the same bound, MaxIntrospectionDepthRule).
const maxLists = 2

// listed are the lists that lead from a type to types again.
var listed = map[string]bool{"fields": true, "inputFields": true, "interfaces": true, "possibleTypes": true}

// countCeiling is where counting stops: a fragment bomb counts to 2^n.
const countCeiling = 1_000_000_000

func (c *cost) add(o cost) {
	c.fields = min(c.fields+o.fields, countCeiling)
	c.spreads = min(c.spreads+o.spreads, countCeiling)
	c.aliases = min(c.aliases+o.aliases, countCeiling)
	c.directives = min(c.directives+o.directives, countCeiling)
	c.depth = max(c.depth, o.depth)
	c.lists = max(c.lists, o.lists)
}

// check compares a document's cost with the limits.
func (c *cost) check(limits Limits) error {
	for _, l := range [...]struct {
		name           string
		allowed, asked int
		what           string
	}{
		{"max_query_fields", orElse(limits.Fields, maxPlanFields), c.fields, "the query selects %s fields"},
		{boundsSpreads, orElse(limits.Fields, maxPlanFields), c.spreads, "the query spreads %s fragments"},
		{"max_query_depth", orElse(limits.Depth, maxNesting), c.depth, "the query nests fields to depth %s"},
		{"max_query_aliases", orElse(limits.Aliases, math.MaxInt), c.aliases, "the query has %s aliases"},
		{"max_query_directives", orElse(limits.Directives, math.MaxInt), c.directives, "the query has %s directives"},
	} {
		if l.asked > l.allowed {
			return exceeded(l.name, l.allowed, l.asked, l.what)
		}
	}
	return nil
}

// orElse is limit, or ceiling when the limit is absent or above it.
func orElse(limit, ceiling int) int {
	if limit <= 0 || limit > ceiling {
		return ceiling
	}
	return limit
}

// meter measures selection sets: the fields of a question for the schema count, its
// depth does not, as long as lists of types are not nested in one another. Each fragment is measured once, so the time is
// linear in the text however often fragments spread one another.
type meter struct {
	fragments map[string]*ast.FragmentDefinition
	known     map[string]cost
	open      map[string]bool // the fragments being measured: meeting one again is a cycle
	level     int
	depth     int // what max_query_depth allows
}

func newMeter(fragments map[string]*ast.FragmentDefinition, limits Limits) *meter {
	return &meter{
		fragments: fragments, known: map[string]cost{}, open: map[string]bool{},
		depth: orElse(limits.Depth, maxNesting),
	}
}

// set measures one selection set. It fails for undefined fragments, for
// fragments that spread themselves and for nesting beyond maxLevels.
func (m *meter) set(selections ast.SelectionSet) (cost, error) {
	var total cost
	if m.level++; m.level > maxLevels {
		return total, exceeded("max_query_depth", m.depth, m.level, "the query nests fields and fragments to depth %s")
	}
	defer func() { m.level-- }()
	for _, selection := range selections {
		var one cost
		var err error
		switch selection := selection.(type) {
		case *ast.Field:
			one, err = m.set(selection.SelectionSet)
			switch {
			case (selection.Name == "__schema" || selection.Name == "__type") && one.lists <= maxLists:
				one.depth = 0
			case listed[selection.Name]:
				one.lists++
			}
			one.fields++
			one.depth++
			one.directives += len(selection.Directives)
			if selection.Alias != selection.Name {
				one.aliases++
			}
		case *ast.InlineFragment:
			one, err = m.set(selection.SelectionSet)
			one.spreads++
			one.directives += len(selection.Directives)
		case *ast.FragmentSpread:
			one, err = m.fragment(selection)
			one.spreads++
			one.directives += len(selection.Directives)
		}
		if err != nil {
			return total, err
		}
		total.add(one)
	}
	return total, nil
}

func (m *meter) fragment(spread *ast.FragmentSpread) (cost, error) {
	name := spread.Name
	if known, ok := m.known[name]; ok {
		return known, nil
	}
	fragment := m.fragments[name]
	if fragment == nil {
		return cost{}, invalidAt(spread.Position, "fragment %q is not defined in the query", name)
	}
	if m.open[name] {
		return cost{}, invalidAt(spread.Position, "fragment %q spreads itself", name)
	}
	m.open[name] = true
	total, err := m.set(fragment.SelectionSet)
	delete(m.open, name)
	total.directives = min(total.directives+len(fragment.Directives), countCeiling)
	m.known[name] = total
	return total, err
}
