package query

import (
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// Rules say which permissions a field needs. They are asked along each selection
// path, by the fields' names in the schema and not by their aliases. State is what
// they remember of the path so far, comparable, "" at its start; two paths with
// the same state need the same from there on.
//
// object tells a field that selects from an object (without a schema: one with a
// selection set) from a leaf; declared is what the schema's @requiresPermission
// says of it.
type Rules interface {
	Step(state, name string, object bool, declared []string) (needs []string, next string)
}

// Permissions is what the plan's fields need by the rules, sorted, each once; it
// must not be changed. Fields that @skip and @include leave out need nothing; those
// that depend on an object's type count for every type that it can be.
// Introspection fields are free.
func (p *Plan) Permissions(rules Rules) []string {
	t := p.Whole().tree
	if known := t.needs.Load(); known != nil && known.rules == rules {
		return known.permissions
	}
	c := permissions{rules: rules}
	c.field(&t.root, "")
	slices.Sort(c.found)
	c.found = slices.Compact(c.found)
	t.needs.Store(&needs{rules, c.found})
	return c.found
}

// needs is what a tree needs by some rules.
type needs struct {
	rules       Rules
	permissions []string
}

// Untyped tells whether the plan has no schema to say what its fields are.
func (p *Plan) Untyped() bool { return p.tree.root.shape == nil }

// Checked is the plan for a reader whose permissions are checked and who lacks
// some: in the place of each field that needs one of them stand null and an error of
// the code FORBIDDEN. Without a schema a field without a selection set shows him no
// objects either: nobody could say what their fields need.
func (p *Plan) Checked(rules Rules, missing []string) *Plan {
	p = p.Whole()
	if len(missing) == 0 && !p.Untyped() {
		return p
	}
	checked := &Plan{tree: p.tree, variables: p.variables, arguments: p.arguments, base: p, scalarsOnly: p.Untyped()}
	if len(missing) > 0 {
		d := denier{rules: rules, missing: missing, known: map[selectionAt]*selection{}}
		checked.tree = &tree{root: d.field(p.tree.root, ""), conditional: p.tree.conditional}
	}
	return checked
}

// Whole is the plan that Checked was made from, or the plan itself.
func (p *Plan) Whole() *Plan {
	if p.base != nil {
		return p.base
	}
	return p
}

// selectionAt is a selection below a path with a state. Fragments and types lead
// to one selection by many paths: each is looked at once a state.
type selectionAt struct {
	selection *selection
	state     string
}

// introspects tells a field of introspection. Such names are a schema's own; without
// one only __typename is known, and others are data like any.
func (f *field) introspects() bool {
	return f.name == "__typename" || f.shape != nil && isReserved(f.name)
}

func isReserved(name string) bool { return strings.HasPrefix(name, "__") }

type permissions struct {
	rules Rules
	found []string
	seen  map[selectionAt]bool // nil until something is selected of an object
}

func (c *permissions) field(f *field, state string) {
	if f.introspects() {
		return
	}
	needs, next := c.rules.Step(state, f.name, f.set != nil, f.declared)
	c.found = append(c.found, needs...)
	if f.set != nil {
		c.selection(f.set, next)
	}
}

func (c *permissions) selection(set *selection, state string) {
	at := selectionAt{set, state}
	if c.seen[at] {
		return
	}
	if c.seen == nil {
		c.seen = map[selectionAt]bool{}
	}
	c.seen[at] = true
	for i := range set.fields {
		c.field(&set.fields[i], state)
	}
	for _, within := range set.alternatives() {
		c.selection(within, state)
	}
}

// alternatives are the selections of which an object's type chooses one.
func (s *selection) alternatives() []*selection {
	var found []*selection
	for i := range s.variants {
		found = append(found, s.variants[i].set)
	}
	if s.other != nil {
		found = append(found, s.other)
	}
	if s.absent != nil {
		found = append(found, s.absent)
	}
	return found
}

// denier copies what leads to a denied field.
type denier struct {
	rules   Rules
	missing []string
	known   map[selectionAt]*selection
}

func (d *denier) field(f field, state string) field {
	if f.introspects() {
		return f
	}
	needs, next := d.rules.Step(state, f.name, f.set != nil, f.declared)
	for _, one := range needs {
		if slices.Contains(d.missing, one) {
			f.denied, f.set = one, nil
			return f
		}
	}
	f.set = d.selection(f.set, next)
	return f
}

func (d *denier) selection(set *selection, state string) *selection {
	if set == nil {
		return nil
	}
	at := selectionAt{set, state}
	if known := d.known[at]; known != nil {
		return known
	}
	copied := *set
	copied.fields = slices.Clone(set.fields)
	for i := range copied.fields {
		copied.fields[i] = d.field(copied.fields[i], state)
	}
	copied.variants = slices.Clone(set.variants)
	for i := range copied.variants {
		copied.variants[i].set = d.selection(copied.variants[i].set, state)
	}
	copied.other = d.selection(set.other, state)
	copied.absent = d.selection(set.absent, state)
	d.known[at] = &copied
	return &copied
}

// forbid writes null for a denied field and says why, at its place. It returns
// false where the field's type rules a null out, as complete does.
func (w *writer) forbid(f *field, at *step) bool {
	w.problem(CodeForbidden, "the field "+f.name+" needs the permission "+f.denied, at)
	if f.shape != nil && f.shape.nonNull {
		return false
	}
	w.dst = append(w.dst, "null"...)
	return true
}

// holdsObject tells whether a value is an object or a list that has one at some
// depth.
func holdsObject(value document.Value) bool {
	if value.Kind() == document.Object {
		return true
	}
	for elements := value.Elements(); elements.Next(); {
		if holdsObject(elements.Value()) {
			return true
		}
	}
	return false
}
