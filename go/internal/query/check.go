package query

import (
	"github.com/vektah/gqlparser/v2/ast"
)

// The checks of this file need no schema.

// rootField finds the one root field of a subscription and returns all its
// selections: it may be selected several times under one response key, through
// fragments too (section 5.2.3.1).
func rootField(operation *ast.OperationDefinition, fragments map[string]*ast.FragmentDefinition) ([]*ast.Field, error) {
	var fields []*ast.Field
	seen := map[string]bool{}
	var collect func(set ast.SelectionSet) error
	// What is skipped must not decide how many root fields there are, so @skip
	// and @include have no place here, as in the September 2025 edition.
	unconditional := func(directives ast.DirectiveList) error {
		for _, directive := range directives {
			if directive.Name == "skip" || directive.Name == "include" {
				return invalidAt(directive.Position, "@%s cannot stand on the root field of a subscription", directive.Name)
			}
		}
		return nil
	}
	collect = func(set ast.SelectionSet) error {
		for _, selection := range set {
			var err error
			switch selection := selection.(type) {
			case *ast.Field:
				err = unconditional(selection.Directives)
				fields = append(fields, selection)
			case *ast.InlineFragment:
				if err = unconditional(selection.Directives); err == nil {
					err = collect(selection.SelectionSet)
				}
			case *ast.FragmentSpread:
				if err = unconditional(selection.Directives); err == nil && !seen[selection.Name] {
					seen[selection.Name] = true
					err = collect(fragments[selection.Name].SelectionSet)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := collect(operation.SelectionSet); err != nil {
		return nil, err
	}
	for _, field := range fields {
		if field.Alias != fields[0].Alias {
			return nil, invalidAt(field.Position, "a subscription has one root field, and this one selects %q and %q", fields[0].Alias, field.Alias)
		}
		if isReserved(field.Name) {
			return nil, invalidAt(field.Position, "the root field of a subscription cannot be %s", field.Name)
		}
	}
	return fields, nil
}

// checkNames makes the checks of arguments and variables that would otherwise
// come with a schema's validation, for every operation of the document.
func checkNames(document *ast.QueryDocument, fragments map[string]*ast.FragmentDefinition) error {
	for _, operation := range document.Operations {
		defined := make(map[string]bool, len(operation.VariableDefinitions))
		for _, variable := range operation.VariableDefinitions {
			if defined[variable.Variable] {
				return invalidAt(variable.Position, "variable $%s is defined twice", variable.Variable)
			}
			defined[variable.Variable] = true
		}
		err := visit(operation, fragments, func(name string, use *ast.Value) error {
			if !defined[name] {
				return invalidAt(use.Position, "variable $%s is not defined by the operation", name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// steeringVariables are the variables that @skip and @include read, each once.
// It also refuses those directives when they have no usable condition.
func steeringVariables(operation *ast.OperationDefinition, fragments map[string]*ast.FragmentDefinition) ([]string, error) {
	var names []string
	seen := map[string]bool{}
	w := walker{fragments: fragments, entered: map[string]bool{}, directive: func(d *ast.Directive) error {
		condition, err := conditionOf(d)
		if err != nil || condition == nil || condition.Kind != ast.Variable || seen[condition.Raw] {
			return err
		}
		definition := operation.VariableDefinitions.ForName(condition.Raw)
		if definition == nil || definition.Type.NamedType != "Boolean" {
			return invalidAt(condition.Position, "@%s needs a variable of type Boolean!, $%s is none", d.Name, condition.Raw)
		}
		seen[condition.Raw] = true
		names = append(names, condition.Raw)
		return nil
	}}
	return names, w.set(operation.SelectionSet)
}

// conditionOf is the value of `if` in @skip or @include, nil for any other
// directive.
func conditionOf(d *ast.Directive) (*ast.Value, error) {
	if d.Name != "skip" && d.Name != "include" {
		return nil, nil
	}
	argument := d.Arguments.ForName("if")
	if argument == nil || len(d.Arguments) != 1 {
		return nil, invalidAt(d.Position, "@%s takes one argument, if", d.Name)
	}
	if kind := argument.Value.Kind; kind != ast.BooleanValue && kind != ast.Variable {
		return nil, invalidAt(argument.Position, "the argument if of @%s is a Boolean!, %s is none", d.Name, argument.Value)
	}
	return argument.Value, nil
}

// visit calls use for every variable that an operation reads, and checks on the
// way that arguments are given once.
func visit(operation *ast.OperationDefinition, fragments map[string]*ast.FragmentDefinition, use func(name string, at *ast.Value) error) error {
	w := walker{fragments: fragments, entered: map[string]bool{}, variable: use}
	if err := w.directives(operation.Directives); err != nil {
		return err
	}
	return w.set(operation.SelectionSet)
}

// walker goes through the selections of an operation, each fragment once. Its
// recursion is bounded by what measure has let through.
type walker struct {
	fragments map[string]*ast.FragmentDefinition
	entered   map[string]bool
	directive func(*ast.Directive) error
	variable  func(name string, at *ast.Value) error
}

func (w *walker) set(selections ast.SelectionSet) error {
	for _, selection := range selections {
		var directives ast.DirectiveList
		var arguments ast.ArgumentList
		var within ast.SelectionSet
		switch selection := selection.(type) {
		case *ast.Field:
			directives, arguments, within = selection.Directives, selection.Arguments, selection.SelectionSet
		case *ast.InlineFragment:
			directives, within = selection.Directives, selection.SelectionSet
		case *ast.FragmentSpread:
			directives = selection.Directives
			if !w.entered[selection.Name] {
				w.entered[selection.Name] = true
				fragment := w.fragments[selection.Name]
				within = fragment.SelectionSet
				if err := w.directives(fragment.Directives); err != nil {
					return err
				}
			}
		}
		if err := w.arguments(arguments); err != nil {
			return err
		}
		if err := w.directives(directives); err != nil {
			return err
		}
		if err := w.set(within); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) directives(directives ast.DirectiveList) error {
	for _, directive := range directives {
		if w.directive != nil {
			if err := w.directive(directive); err != nil {
				return err
			}
		}
		if err := w.arguments(directive.Arguments); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) arguments(arguments ast.ArgumentList) error {
	if w.variable == nil || len(arguments) == 0 {
		return nil
	}
	given := make(map[string]bool, len(arguments))
	for _, argument := range arguments {
		if given[argument.Name] {
			return invalidAt(argument.Position, "argument %q is given twice", argument.Name)
		}
		given[argument.Name] = true
		if err := w.value(argument.Value); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) value(value *ast.Value) error {
	if value.Kind == ast.Variable {
		return w.variable(value.Raw, value)
	}
	for _, child := range value.Children {
		if err := w.value(child.Value); err != nil {
			return err
		}
	}
	return nil
}
