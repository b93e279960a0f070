// Package query turns the text of a GraphQL subscription into a plan that
// answers events.
//
// Parse checks a text once: limits, syntax, the operation to run, its one root
// field, and, given a schema, everything the GraphQL specification (October
// 2021) asks of a valid document. The Operation it returns never changes and is
// shared by all subscriptions with that text. Operation.Plan adds variables, and
// Plan.AppendData writes the value of "data" for one event, from the event's
// own bytes and without allocating.
//
// Whatever the text, the variables and the event hold, no call panics, recurses
// without bound, or takes time beyond what the limits allow; what AppendData
// writes is JSON.
package query

import (
	"sync"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Operation is one checked subscription operation. It is immutable towards its
// users, may be cached for as long as its schema is in use, and is safe for
// concurrent use.
type Operation struct {
	schema         *ast.Schema // nil without a schema
	variablesBytes int         // limit on the variables' text
	variables      ast.VariableDefinitionList
	root           []*ast.Field // every selection of the root field
	fragments      map[string]*ast.FragmentDefinition
	steering       []string // variables that @skip and @include read

	// fixed is the plan when the operation has no variables: one for all.
	fixed *Plan

	mu    sync.Mutex
	trees map[string]*tree // compiled trees by the steering variables' values
}

// RootField is the name, in the schema, of the one field that is subscribed to.
func (o *Operation) RootField() string { return o.root[0].Name }

// Parse checks a query and picks its operation: the one named operationName, or
// the only one when operationName is empty. Without a schema (nil), field and
// type names are taken on trust and everything else is checked.
//
// A refused query is a fault.InvalidQuery, "line:column: sentence"; one that
// exceeds a limit is a fault.LimitExceeded that names the limit, its value and
// what was asked.
func Parse(schema *Schema, text, operationName string, limits Limits) (*Operation, error) {
	if limits.Bytes > 0 && len(text) > limits.Bytes {
		return nil, exceeded("max_query_bytes", limits.Bytes, len(text), "the query has %s bytes")
	}
	if !utf8.ValidString(text) {
		return nil, fault.New(fault.InvalidQuery, "the query is not valid UTF-8")
	}
	if err := scan(text, limits); err != nil {
		return nil, err
	}
	document, err := parser.ParseQuery(&ast.Source{Input: text})
	if err != nil {
		return nil, invalid(err)
	}
	return check(schema, document, operationName, limits)
}

// OtherOperation is inside the fault of an operation that is no subscription, though
// within every limit.
type OtherOperation struct{ Kind string } // "query" or "mutation"

func (o *OtherOperation) Error() string {
	return "the operation is a " + o.Kind + ": only a subscription can be registered"
}

func check(schema *Schema, document *ast.QueryDocument, operationName string, limits Limits) (*Operation, error) {
	fragments, err := fragmentsByName(document)
	if err != nil {
		return nil, err
	}
	definition, err := pickOperation(document, operationName)
	if err != nil {
		return nil, err
	}
	if err := measure(document, fragments, limits); err != nil {
		return nil, err
	}
	if definition.Operation != ast.Subscription {
		other := &OtherOperation{Kind: string(definition.Operation)}
		return nil, fault.New(fault.InvalidQuery, "%d:%d: %w", definition.Position.Line, definition.Position.Column, other)
	}
	o := &Operation{
		variablesBytes: limits.VariablesBytes,
		variables:      definition.VariableDefinitions,
		fragments:      fragments,
	}
	if schema != nil {
		o.schema = schema.definition
		if err := validate(schema, document); err != nil {
			return nil, err
		}
	} else if err := checkNames(document, fragments); err != nil {
		return nil, err
	}
	if o.root, err = rootField(definition, fragments); err != nil {
		return nil, err
	}
	if o.steering, err = steeringVariables(definition, fragments); err != nil {
		return nil, err
	}
	return o, o.prepare()
}

// prepare compiles what does not depend on variables, so that what is wrong with
// the selections is found at registration and plans can share the result.
func (o *Operation) prepare() error {
	// Field conflicts count whatever @skip and @include say (section 5.3.2).
	everything, err := o.compile(nil)
	if err != nil {
		return err
	}
	if !everything.conditional {
		o.trees = map[string]*tree{"": everything}
	}
	if len(o.variables) > 0 {
		return nil
	}
	if o.fixed, err = o.plan(nil); err != nil {
		return err
	}
	// Nothing will be compiled again: let the syntax tree go.
	o.root = []*ast.Field{{Name: o.root[0].Name}}
	o.fragments, o.trees = nil, nil
	return nil
}

// validate applies the rules of the specification's section 5.
func validate(schema *Schema, document *ast.QueryDocument) error {
	problems := validator.ValidateWithRules(schema.definition, document, nil)
	if len(problems) == 0 {
		return nil
	}
	return invalid(problems[0])
}

func fragmentsByName(document *ast.QueryDocument) (map[string]*ast.FragmentDefinition, error) {
	fragments := make(map[string]*ast.FragmentDefinition, len(document.Fragments))
	for _, fragment := range document.Fragments {
		if fragments[fragment.Name] != nil {
			return nil, invalidAt(fragment.Position, "there can be only one fragment named %q", fragment.Name)
		}
		if len(fragment.VariableDefinition) > 0 {
			return nil, invalidAt(fragment.Position, "fragment %q defines variables: declare them on the operation", fragment.Name)
		}
		fragments[fragment.Name] = fragment
	}
	return fragments, nil
}

// pickOperation finds the operation to run, as the specification's
// GetOperation (section 6.1) does.
func pickOperation(document *ast.QueryDocument, name string) (*ast.OperationDefinition, error) {
	operations := document.Operations
	if len(operations) == 0 {
		return nil, fault.New(fault.InvalidQuery, "the query holds no operation: write subscription { … }")
	}
	var picked *ast.OperationDefinition
	seen := make(map[string]bool, len(operations))
	for _, operation := range operations {
		if seen[operation.Name] {
			return nil, invalidAt(operation.Position, "there can be only one operation named %s", quote(operation.Name))
		}
		if operation.Name == "" && len(operations) > 1 {
			return nil, invalidAt(operation.Position, "an operation without a name must be the only one of the query")
		}
		seen[operation.Name] = true
		if operation.Name == name {
			picked = operation
		}
	}
	if name == "" {
		if len(operations) > 1 {
			return nil, fault.New(fault.InvalidQuery, "the query holds %d operations: operation_name must say which one to run", len(operations))
		}
		picked = operations[0]
	}
	if picked == nil {
		return nil, fault.New(fault.InvalidQuery, "operation_name is %s, and the query holds no operation of that name", quote(name))
	}
	return picked, nil
}

func measure(document *ast.QueryDocument, fragments map[string]*ast.FragmentDefinition, limits Limits) error {
	var total cost
	m := newMeter(fragments, limits)
	for _, operation := range document.Operations {
		one, err := m.set(operation.SelectionSet)
		if err != nil {
			return err
		}
		one.directives += len(operation.Directives)
		for _, variable := range operation.VariableDefinitions {
			one.directives += len(variable.Directives)
		}
		total.add(one)
	}
	// Fragments that no operation reaches are read too, by the validator.
	for _, fragment := range document.Fragments {
		if _, known := m.known[fragment.Name]; known {
			continue
		}
		one, err := m.fragment(&ast.FragmentSpread{Name: fragment.Name, Position: fragment.Position})
		if err != nil {
			return err
		}
		total.add(one)
	}
	return total.check(limits)
}
