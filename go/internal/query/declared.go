package query

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// A schema says what a field needs by a directive, which it need not define:
// amount: Float @requiresPermission(name: "order.amount:read").
const (
	permissionDirective  = "requiresPermission"
	permissionDefinition = `directive @requiresPermission(name: String!) repeatable on FIELD_DEFINITION`
)

// declaredPermissions are those of a field, as its type and the interfaces of that
// declare them.
func declaredPermissions(schema *ast.Schema, parent *ast.Definition, name string) []string {
	var found []string
	add := func(definition *ast.Definition) {
		if definition == nil {
			return
		}
		field := definition.Fields.ForName(name)
		if field == nil {
			return
		}
		for _, directive := range field.Directives.ForNames(permissionDirective) {
			found = append(found, directive.Arguments.ForName("name").Value.Raw)
		}
	}
	add(parent)
	for _, one := range parent.Interfaces {
		add(schema.Types[one])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// checkDeclarations refuses a directive that would not have the effect that it
// seems to have: without a name, or on anything but a field. (A schema may define
// the directive by itself, and for other places.)
func checkDeclarations(schema *ast.Schema) error {
	refuse := func(directives ast.DirectiveList, where string) error {
		if len(directives.ForNames(permissionDirective)) > 0 {
			return fault.New(fault.InvalidValue, "the schema has @%s on %s; it can stand on a field of an object or interface only", permissionDirective, where)
		}
		return nil
	}
	for _, definition := range schema.Types {
		if err := refuse(definition.Directives, "the type "+definition.Name); err != nil {
			return err
		}
		for _, value := range definition.EnumValues {
			if err := refuse(value.Directives, "the enum value "+definition.Name+"."+value.Name); err != nil {
				return err
			}
		}
		for _, field := range definition.Fields {
			place := definition.Name + "." + field.Name
			for _, argument := range field.Arguments {
				if err := refuse(argument.Directives, "an argument of "+place); err != nil {
					return err
				}
			}
			if definition.Kind == ast.InputObject {
				if err := refuse(field.Directives, "the input field "+place); err != nil {
					return err
				}
			}
			for _, directive := range field.Directives.ForNames(permissionDirective) {
				name := directive.Arguments.ForName("name")
				if name == nil || name.Value.Kind != ast.StringValue || name.Value.Raw == "" {
					return fault.New(fault.InvalidValue, "the schema's @%s on %s names no permission; write @%[1]s(name: \"order:read\")", permissionDirective, place)
				}
			}
		}
	}
	return refuse(schema.SchemaDirectives, "the schema")
}

// AnyName stands for any one field name in a selection path.
const AnyName = "*"

// Selects tells whether a query can select this path: names of fields, the first
// one of the subscription type, AnyName for any.
func (s *Schema) Selects(path []string) bool {
	types := map[*ast.Definition]bool{s.definition.Subscription: true}
	for _, name := range path {
		next := map[*ast.Definition]bool{}
		found := false
		for parent := range types {
			for _, field := range parent.Fields {
				if isReserved(field.Name) || name != AnyName && name != field.Name {
					continue
				}
				found = true
				s.reach(next, s.definition.Types[field.Type.Name()])
			}
		}
		if !found {
			return false
		}
		types = next
	}
	return true
}

// reach adds what can be selected from a value of a type: its own fields and those
// of every type that it can be.
func (s *Schema) reach(types map[*ast.Definition]bool, definition *ast.Definition) {
	if definition == nil || !definition.IsCompositeType() {
		return
	}
	types[definition] = true
	if definition.IsAbstractType() {
		for _, one := range s.definition.GetPossibleTypes(definition) {
			types[one] = true
		}
	}
}
