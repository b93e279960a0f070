package query

import (
	"sync/atomic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Plan answers events for one operation with one set of variables. It is
// immutable and safe for concurrent use. Plans share the compiled selections:
// one costs some 100 bytes and the text of its variables.
type Plan struct {
	tree      *tree
	variables []byte
	arguments []byte
	// Of a plan that Checked made:
	base        *Plan
	scalarsOnly bool // without a schema: leaves show no objects
}

// tree is a compiled operation: its one root field and all below it.
type tree struct {
	root field
	// conditional is set when some selection depends on @skip or @include.
	conditional bool
	needs       atomic.Pointer[needs] // what it needs by the rules last asked for
}

// field is one member of the response.
type field struct {
	key      []byte     // `"responseKey":`
	name     string     // the member of the data that it shows
	typename []byte     // the constant value of a __typename whose type is known
	set      *selection // what is selected of an object, nil for a leaf
	shape    *shape     // the field's type, nil without a schema
	parent   string     // with a schema: the type that defines the field
	declared []string   // the permissions that the schema says it needs
	denied   string     // the permission that its reader lacks, "" for none
}

// selection is what is selected of an object. The members depend on the
// object's type when there is a type condition or an abstract type.
type selection struct {
	fields   []field
	names    []string // the fields'
	variants []variant

	// Without a schema: what to select of objects whose __typename is none of
	// the variants', and of objects that have none.
	other, absent *selection
	// With a schema: the abstract type whose possible types the variants are.
	abstract string
}

type variant struct {
	typename string
	set      *selection
}

// typed tells whether the selection has to look at the object's __typename.
func (s *selection) typed() bool { return s.absent != nil || s.abstract != "" }

// noVariables is the canonical form of an empty object.
var noVariables = []byte("{}")

// Plan coerces variables (a JSON object; nil or null for none) as the
// specification's section 6.1.2 says and resolves what depends on them.
// Variables that the operation does not define are ignored, as there.
//
// An operation without variables has one plan, shared by all callers. Wrong
// variables are a fault.InvalidQuery that names the variable and the place in
// it; too many bytes are a fault.LimitExceeded.
func (o *Operation) Plan(variables []byte) (*Plan, error) {
	if err := CheckVariables(len(variables), Limits{VariablesBytes: o.variablesBytes}); err != nil {
		return nil, err
	}
	if len(variables) == 0 {
		if o.fixed != nil {
			return o.fixed, nil
		}
		return o.plan(nil)
	}
	var given document.Document
	if err := given.Parse(variables); err != nil {
		return nil, fault.New(fault.InvalidQuery, "the variables are not JSON: %w", err)
	}
	if kind := given.Root().Kind(); kind != document.Object && kind != document.Null {
		return nil, fault.New(fault.InvalidQuery, "the variables are a JSON %s and must be an object", kind)
	}
	if o.fixed != nil {
		return o.fixed, nil
	}
	return o.plan(&given)
}

func (o *Operation) plan(given *document.Document) (*Plan, error) {
	var root document.Value
	if given != nil {
		root = given.Root()
	}
	values, err := o.coerceVariables(root)
	if err != nil {
		return nil, err
	}
	p := &Plan{variables: values.canonical()}
	if p.arguments, err = o.coerceArguments(values); err != nil {
		return nil, err
	}
	if p.tree, err = o.treeFor(values); err != nil {
		return nil, err
	}
	return p, nil
}

// Variables is the coerced variables, defaults included, as a JSON object whose
// text is canonical: equal variables give equal bytes. It must not be changed.
func (p *Plan) Variables() []byte { return p.variables }

// Arguments is the coerced arguments of the root field, defaults included, as a
// canonical JSON object. It must not be changed.
func (p *Plan) Arguments() []byte { return p.arguments }

// RootPath is the response path of the root field, as a JSON array.
func (p *Plan) RootPath() []byte {
	key := p.tree.root.key
	path := append(make([]byte, 0, len(key)+1), '[')
	path = append(path, key[:len(key)-1]...) // without its colon
	return append(path, ']')
}

// maxTrees bounds the compiled trees that an operation keeps: clients choose the
// values of its steering variables.
const maxTrees = 16

// treeFor compiles the operation for these values of the steering variables, or
// finds the tree compiled before.
func (o *Operation) treeFor(values variables) (*tree, error) {
	key := make([]byte, 0, 64)
	for _, name := range o.steering {
		value, given := values[name]
		if !given || string(value) == "null" {
			return nil, fault.New(fault.InvalidQuery, "variable $%s decides a @skip or @include and must be true or false", name)
		}
		key = append(key, value[0])
	}
	o.mu.Lock()
	known := o.trees[string(key)]
	o.mu.Unlock()
	if known != nil {
		return known, nil
	}
	compiled, err := o.compile(values)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.trees == nil {
		o.trees = map[string]*tree{}
	}
	if len(o.trees) < maxTrees {
		o.trees[string(key)] = compiled
	}
	return compiled, nil
}
