package query

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// compiler turns selections into a tree, following CollectFields and
// MergeSelectionSets of the specification (sections 6.3.2 and 6.4.3). Where the
// result depends on an object's type it compiles one variant per type, so that
// answering an event merges nothing.
type compiler struct {
	schema    *ast.Schema // nil without a schema
	fragments map[string]*ast.FragmentDefinition
	// values are the variables; nil compiles everything, whatever @skip and
	// @include say.
	values      variables
	conditional bool
	size        int // fields compiled, against maxPlanFields

	// The same fields merged for the same type give the same selection, which
	// keeps variants within variants from multiplying.
	selections map[string]*selection
	shapes     map[*ast.Type]*shape
	numbers    map[*ast.Field]uint32
}

func (o *Operation) compile(values variables) (*tree, error) {
	c := &compiler{
		schema:     o.schema,
		fragments:  o.fragments,
		values:     values,
		selections: map[string]*selection{},
		shapes:     map[*ast.Type]*shape{},
		numbers:    map[*ast.Field]uint32{},
	}
	group := o.root
	if c.schema == nil {
		if err := mergeable(group); err != nil {
			return nil, err
		}
	}
	var parent *ast.Definition
	if c.schema != nil {
		parent = c.schema.Subscription
	}
	root, err := c.field(group, parent)
	if err != nil {
		return nil, err
	}
	return &tree{root: root, conditional: c.conditional}, nil
}

// field compiles the selections of one response key of an object of type
// parent, nil without a schema.
func (c *compiler) field(group []*ast.Field, parent *ast.Definition) (field, error) {
	first := group[0]
	f := field{key: append(strconv.AppendQuote(nil, first.Alias), ':'), name: first.Name}
	if c.size++; c.size > maxPlanFields {
		return f, exceeded("max_query_fields", maxPlanFields, c.size, "the query selects, over all possible types, %s fields")
	}
	var err error
	if parent == nil {
		if hasSelections(group) {
			f.set, err = c.selection(group, nil)
		}
		return f, err
	}
	f.parent = parent.Name
	if first.Name == "__typename" {
		f.typename = strconv.AppendQuote(nil, parent.Name)
		return f, nil
	}
	definition := parent.Fields.ForName(first.Name)
	if definition == nil {
		return f, invalidAt(first.Position, "type %q has no field %q", parent.Name, first.Name)
	}
	f.shape = c.shape(definition.Type)
	f.declared = declaredPermissions(c.schema, parent, first.Name)
	if f.shape.leaf() == composite {
		f.set, err = c.selection(group, c.schema.Types[definition.Type.Name()])
	}
	return f, err
}

// selection compiles the merged sub-selections of a group of fields whose values
// are objects of type definition, nil without a schema.
func (c *compiler) selection(group []*ast.Field, definition *ast.Definition) (*selection, error) {
	key := c.identity(group, definition)
	if known := c.selections[key]; known != nil {
		return known, nil
	}
	set, err := c.compileSelection(group, definition)
	if err != nil {
		return nil, err
	}
	c.selections[key] = set
	return set, nil
}

func (c *compiler) compileSelection(group []*ast.Field, definition *ast.Definition) (*selection, error) {
	if definition == nil {
		return c.untyped(group)
	}
	if definition.Kind == ast.Object {
		return c.flat(group, definition, func(condition string) bool {
			return c.possible(condition, definition)
		}, mergeAll)
	}
	set := &selection{abstract: definition.Name}
	for _, object := range c.schema.GetPossibleTypes(definition) {
		if object == nil || object.Kind != ast.Object {
			continue
		}
		one, err := c.selection(group, object)
		if err != nil {
			return nil, err
		}
		set.variants = append(set.variants, variant{object.Name, one})
	}
	return set, nil
}

// possible tells whether a fragment with this type condition applies to objects
// of the type.
func (c *compiler) possible(condition string, object *ast.Definition) bool {
	if condition == "" || condition == object.Name {
		return true
	}
	return slices.Contains(c.schema.PossibleTypes[condition], object)
}

// untyped compiles a selection without a schema: a type condition is compared
// with the data's __typename, and holds where there is none.
func (c *compiler) untyped(group []*ast.Field) (*selection, error) {
	conditions := c.conditions(group)
	if len(conditions) == 0 {
		return c.flat(group, nil, func(string) bool { return true }, mergeOrRefuse)
	}
	set := &selection{}
	var err error
	for _, name := range conditions {
		one, err := c.flat(group, nil, func(condition string) bool {
			return condition == "" || condition == name
		}, mergeOrRefuse)
		if err != nil {
			return nil, err
		}
		set.variants = append(set.variants, variant{name, one})
	}
	if set.other, err = c.flat(group, nil, func(condition string) bool { return condition == "" }, mergeOrRefuse); err != nil {
		return nil, err
	}
	// Fragments on different types may give one response key different
	// meanings; where all of them apply, the first one counts.
	set.absent, err = c.flat(group, nil, func(string) bool { return true }, mergeFirst)
	return set, err
}

// merging says what to do with fields of one response key.
type merging uint8

const (
	mergeAll      merging = iota // the validator has checked them
	mergeOrRefuse                // check them, refuse what differs
	mergeFirst                   // keep those that agree with the first
)

// flat compiles the selection for objects of one known type, or for all objects
// alike.
func (c *compiler) flat(group []*ast.Field, parent *ast.Definition, applies func(condition string) bool, merge merging) (*selection, error) {
	g := grouper{compiler: c, applies: applies, index: map[string]int{}, visited: map[string]bool{}}
	for _, f := range group {
		g.collect(f.SelectionSet)
	}
	// An empty selection costs memory as well.
	c.size++
	set := &selection{fields: make([]field, 0, len(g.groups)), names: make([]string, 0, len(g.groups))}
	for _, fields := range g.groups {
		switch merge {
		case mergeOrRefuse:
			if err := mergeable(fields); err != nil {
				return nil, err
			}
		case mergeFirst:
			fields = slices.DeleteFunc(fields, func(f *ast.Field) bool { return difference(fields[0], f) != "" })
		}
		one, err := c.field(fields, parent)
		if err != nil {
			return nil, err
		}
		set.fields = append(set.fields, one)
		set.names = append(set.names, one.name)
	}
	return set, nil
}

// grouper is CollectFields: the fields of some selection sets by response key,
// in order of first appearance.
type grouper struct {
	*compiler
	applies func(condition string) bool
	groups  [][]*ast.Field
	index   map[string]int
	visited map[string]bool
}

func (g *grouper) collect(set ast.SelectionSet) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			if !g.included(selection.Directives) {
				continue
			}
			at, known := g.index[selection.Alias]
			if !known {
				at = len(g.groups)
				g.index[selection.Alias] = at
				g.groups = append(g.groups, nil)
			}
			g.groups[at] = append(g.groups[at], selection)
		case *ast.InlineFragment:
			if g.included(selection.Directives) && g.applies(selection.TypeCondition) {
				g.collect(selection.SelectionSet)
			}
		case *ast.FragmentSpread:
			if !g.included(selection.Directives) || g.visited[selection.Name] {
				continue
			}
			g.visited[selection.Name] = true
			if fragment := g.fragments[selection.Name]; g.applies(fragment.TypeCondition) {
				g.collect(fragment.SelectionSet)
			}
		}
	}
}

// included evaluates @skip and @include.
func (c *compiler) included(directives ast.DirectiveList) bool {
	included := true
	for _, directive := range directives {
		condition, _ := conditionOf(directive) // checked by steeringVariables
		if condition == nil {
			continue
		}
		c.conditional = true
		if c.values == nil {
			continue
		}
		value := condition.Raw == "true"
		if condition.Kind == ast.Variable {
			value = string(c.values[condition.Raw]) == "true"
		}
		if value == (directive.Name == "skip") {
			included = false
		}
	}
	return included
}

// conditions are the type conditions within the selections of one object, each
// once.
func (c *compiler) conditions(group []*ast.Field) []string {
	var names []string
	g := grouper{compiler: c, index: map[string]int{}, visited: map[string]bool{}, applies: func(condition string) bool {
		if condition != "" && !slices.Contains(names, condition) {
			names = append(names, condition)
		}
		return true
	}}
	for _, f := range group {
		g.collect(f.SelectionSet)
	}
	return names
}

// identity is a key for a group of fields read as one type.
func (c *compiler) identity(group []*ast.Field, definition *ast.Definition) string {
	key := make([]byte, 0, 64)
	for _, f := range group {
		number, known := c.numbers[f]
		if !known {
			number = uint32(len(c.numbers))
			c.numbers[f] = number
		}
		key = binary.LittleEndian.AppendUint32(key, number)
	}
	if definition != nil {
		key = append(key, definition.Name...)
	}
	return string(key)
}

func hasSelections(group []*ast.Field) bool { return len(group[0].SelectionSet) > 0 }

// mergeable checks, without a schema, that fields of one response key mean the
// same (section 5.3.2).
func mergeable(group []*ast.Field) error {
	for _, f := range group[1:] {
		if why := difference(group[0], f); why != "" {
			return invalidAt(f.Position, "fields of the response key %q conflict: %s; give them different aliases", f.Alias, why)
		}
	}
	return nil
}

// difference is what keeps two fields of one response key from being merged.
func difference(a, b *ast.Field) string {
	if a.Name != b.Name {
		return a.Name + " and " + b.Name + " are different fields"
	}
	if (len(a.SelectionSet) > 0) != (len(b.SelectionSet) > 0) {
		return "only one of them selects fields of its own"
	}
	if len(a.Arguments) != len(b.Arguments) {
		return "their arguments differ"
	}
	for _, argument := range a.Arguments {
		other := b.Arguments.ForName(argument.Name)
		if other == nil || other.Value.String() != argument.Value.String() {
			return "their arguments differ"
		}
	}
	return ""
}
