package query

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// variables are coerced variables: canonical JSON by name. A variable that was
// not given and has no default is absent, which differs from null.
type variables map[string][]byte

// canonical is all of them as one JSON object.
func (v variables) canonical() []byte {
	if len(v) == 0 {
		return noVariables
	}
	return appendMembers(nil, v)
}

// coerceVariables is CoerceVariableValues of the specification (section 6.1.2).
// given is an object, Null or Missing.
func (o *Operation) coerceVariables(given document.Value) (variables, error) {
	values := make(variables, len(o.variables))
	in := input{schema: o.schema}
	for _, definition := range o.variables {
		name := definition.Variable
		value := given.Get(name)
		var problem *inputProblem
		var coerced []byte
		switch {
		case value.Exists():
			coerced, problem = in.append(nil, definition.Type, value)
		case o.schema == nil && isName(definition.DefaultValue) && builtIn(definition.Type.Name()) != composite:
			problem = wrong("its default %s is an enum value", definition.DefaultValue)
		case definition.DefaultValue != nil:
			coerced, problem = in.literal(definition.Type, definition.DefaultValue, nil)
		case definition.Type.NonNull:
			return nil, invalidAt(definition.Position, "variable $%s of type %s is required", name, definition.Type)
		default:
			continue
		}
		if problem != nil {
			return nil, invalidAt(definition.Position, "variable $%s of type %s: %s", name, definition.Type, problem)
		}
		values[name] = coerced
	}
	return values, nil
}

// coerceArguments is CoerceArgumentValues of the specification (section 6.4.1)
// for the root field, as canonical JSON. Without a schema the arguments are what
// the query says, variables filled in.
func (o *Operation) coerceArguments(values variables) ([]byte, error) {
	root := o.root[0]
	arguments := make(variables, len(root.Arguments))
	in := input{schema: o.schema}
	if o.schema == nil {
		for _, argument := range root.Arguments {
			if text, given := appendLiteral(nil, argument.Value, values); given {
				arguments[argument.Name] = text
			}
		}
		text := arguments.canonical()
		if len(values) == 0 {
			return text, nil
		}
		// A variable's depth adds to the literal's around it.
		_, err := parseInput(text)
		return text, err
	}
	for _, definition := range o.schema.Subscription.Fields.ForName(root.Name).Arguments {
		literal := definition.DefaultValue
		if argument := root.Arguments.ForName(definition.Name); argument != nil {
			// A variable that is absent leaves the default in force.
			if _, given := values[argument.Value.Raw]; given || argument.Value.Kind != ast.Variable {
				literal = argument.Value
			}
		}
		if literal == nil {
			if definition.Type.NonNull {
				return nil, invalidAt(root.Position, "argument %q of type %s is required", definition.Name, definition.Type)
			}
			continue
		}
		coerced, problem := in.literal(definition.Type, literal, values)
		if problem != nil {
			return nil, invalidAt(literal.Position, "argument %q of type %s: %s", definition.Name, definition.Type, problem)
		}
		arguments[definition.Name] = coerced
	}
	return arguments.canonical(), nil
}

// isName tells whether a literal is an enum value or a list of some, which no
// built-in scalar takes; a schema's validation would have told.
func isName(literal *ast.Value) bool {
	if literal == nil {
		return false
	}
	return literal.Kind == ast.EnumValue || slices.ContainsFunc(literal.Children, func(child *ast.ChildValue) bool {
		return isName(child.Value)
	})
}

// appendLiteral appends a literal as canonical JSON, variables filled in. It
// tells whether there is a value: an absent variable is none (section 6.4.1); in
// a list it is null.
func appendLiteral(dst []byte, literal *ast.Value, values variables) (_ []byte, given bool) {
	switch literal.Kind {
	case ast.Variable:
		text, given := values[literal.Raw]
		return append(dst, text...), given
	case ast.StringValue, ast.BlockValue, ast.EnumValue:
		return appendString(dst, literal.Raw), true
	case ast.ListValue:
		dst = append(dst, '[')
		for i, child := range literal.Children {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, given = appendLiteral(dst, child.Value, values); !given {
				dst = append(dst, "null"...)
			}
		}
		return append(dst, ']'), true
	case ast.ObjectValue:
		members := make(variables, len(literal.Children))
		for _, child := range literal.Children {
			if text, given := appendLiteral(nil, child.Value, values); given {
				members[child.Name] = text
			}
		}
		return appendMembers(dst, members), true
	default: // numbers, true, false and null are written as in JSON
		return append(dst, literal.Raw...), true
	}
}

// appendMembers appends members as an object, sorted by name.
func appendMembers(dst []byte, members variables) []byte {
	dst = append(dst, '{')
	var few [8]string
	names := few[:0]
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(appendString(dst, name), ':'), members[name]...)
	}
	return append(dst, '}')
}

// appendCanonical appends any JSON value compactly, members sorted by name (of
// two with one name the last counts) and strings in one spelling. Numbers keep
// theirs: 1 and 1.0 may differ for whoever defined the type.
func appendCanonical(dst []byte, value document.Value) []byte {
	switch value.Kind() {
	case document.String:
		return appendString(dst, value.Text())
	case document.Array:
		dst = append(dst, '[')
		for cursor, first := value.Elements(), true; cursor.Next(); first = false {
			if !first {
				dst = append(dst, ',')
			}
			dst = appendCanonical(dst, cursor.Value())
		}
		return append(dst, ']')
	case document.Object:
		members := variables{}
		for cursor := value.Members(); cursor.Next(); {
			key, member := cursor.Key(), cursor.Value()
			members[key.Text()] = appendCanonical(nil, member)
		}
		return appendMembers(dst, members)
	default:
		return append(dst, value.Raw()...)
	}
}

const hexDigits = "0123456789abcdef"

// appendString appends text as a JSON string, escaping what JSON requires and
// nothing else.
func appendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// parseInput reads JSON that this package wrote.
func parseInput(text []byte) (document.Value, error) {
	var d document.Document
	if err := d.Parse(text); err != nil {
		return document.Value{}, fault.New(fault.InvalidQuery, "the value cannot be read: %w", err)
	}
	return d.Root(), nil
}
