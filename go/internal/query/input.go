package query

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// input coerces values that come from outside to input types (section 3, "Input
// Coercion"): JSON in, canonical JSON out. Without a schema it knows the
// built-in scalars and takes any JSON for other names.
type input struct {
	schema *ast.Schema
	// defaults are the coerced defaults of input fields, nil while one is being
	// coerced: a schema may define a default that contains itself.
	defaults map[*ast.FieldDefinition][]byte
}

// inputProblem is a value that does not fit, with its place in the whole.
type inputProblem struct {
	place    string // "[2].name", from the outside in
	sentence string
}

func (p *inputProblem) String() string {
	if p.place == "" {
		return p.sentence
	}
	return "at " + strings.TrimPrefix(p.place, ".") + ", " + p.sentence
}

func (p *inputProblem) within(place string) *inputProblem {
	if len(p.place) < 200 { // places can be 500 deep
		p.place = place + p.place
	}
	return p
}

func wrong(format string, arguments ...any) *inputProblem {
	return &inputProblem{sentence: fmt.Sprintf(format, arguments...)}
}

// literal coerces a value written in the query or the schema.
func (in *input) literal(t *ast.Type, literal *ast.Value, values variables) ([]byte, *inputProblem) {
	text, _ := appendLiteral(nil, literal, values)
	value, err := parseInput(text)
	if err != nil {
		return nil, wrong("%v", err)
	}
	return in.append(nil, t, value)
}

// append appends the coerced value to dst.
func (in *input) append(dst []byte, t *ast.Type, value document.Value) ([]byte, *inputProblem) {
	if value.Kind() == document.Null {
		if t.NonNull {
			return dst, wrong("null is not allowed")
		}
		return append(dst, "null"...), nil
	}
	if t.Elem != nil {
		return in.appendList(dst, t.Elem, value)
	}
	if kind := builtIn(t.NamedType); kind != composite {
		return appendScalar(dst, kind, t.NamedType, value)
	}
	if in.schema == nil {
		return appendCanonical(dst, value), nil
	}
	switch definition := in.schema.Types[t.NamedType]; definition.Kind {
	case ast.Enum:
		return appendEnum(dst, definition, value)
	case ast.InputObject:
		return in.appendObject(dst, definition, value)
	default:
		return appendCanonical(dst, value), nil
	}
}

// appendList takes a lone value for a list of one, as the specification asks.
func (in *input) appendList(dst []byte, t *ast.Type, value document.Value) ([]byte, *inputProblem) {
	var problem *inputProblem
	dst = append(dst, '[')
	if value.Kind() != document.Array {
		dst, problem = in.append(dst, t, value)
		return append(dst, ']'), problem
	}
	for cursor, i := value.Elements(), 0; cursor.Next(); i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, problem = in.append(dst, t, cursor.Value()); problem != nil {
			return dst, problem.within("[" + strconv.Itoa(i) + "]")
		}
	}
	return append(dst, ']'), nil
}

func (in *input) appendObject(dst []byte, definition *ast.Definition, value document.Value) ([]byte, *inputProblem) {
	if value.Kind() != document.Object {
		return dst, wrong("%s is an object, %s is none", definition.Name, describe(value))
	}
	for cursor := value.Members(); cursor.Next(); {
		key := cursor.Key()
		if name := key.Text(); definition.Fields.ForName(name) == nil {
			return dst, wrong("%s has no field %s", definition.Name, quote(name))
		}
	}
	members := make(variables, len(definition.Fields))
	for _, field := range definition.Fields {
		member := value.Get(field.Name)
		var text []byte
		var problem *inputProblem
		switch {
		case member.Exists():
			text, problem = in.append(nil, field.Type, member)
		case field.DefaultValue != nil:
			text, problem = in.fieldDefault(field)
		case field.Type.NonNull:
			return dst, wrong("the field %q of %s is required", field.Name, definition.Name)
		default:
			continue
		}
		if problem != nil {
			return dst, problem.within("." + field.Name)
		}
		members[field.Name] = text
	}
	if definition.Directives.ForName("oneOf") != nil {
		if len(members) != 1 {
			return dst, wrong("%s takes exactly one of its fields", definition.Name)
		}
		for name, text := range members {
			if string(text) == "null" {
				return dst, wrong("the field %q of %s cannot be null", name, definition.Name)
			}
		}
	}
	return appendMembers(dst, members), nil
}

func (in *input) fieldDefault(field *ast.FieldDefinition) ([]byte, *inputProblem) {
	text, known := in.defaults[field]
	if known {
		if text == nil {
			return nil, wrong("the schema's default contains itself")
		}
		return text, nil
	}
	if in.defaults == nil {
		in.defaults = map[*ast.FieldDefinition][]byte{}
	}
	in.defaults[field] = nil
	text, problem := in.literal(field.Type, field.DefaultValue, nil)
	in.defaults[field] = text
	return text, problem
}

func appendEnum(dst []byte, definition *ast.Definition, value document.Value) ([]byte, *inputProblem) {
	if value.Kind() == document.String {
		if name := value.Text(); definition.EnumValues.ForName(name) != nil {
			return appendString(dst, name), nil
		}
	}
	return dst, wrong("%s is no value of the enum %s", describe(value), definition.Name)
}

// appendScalar coerces to a built-in scalar. Int and ID take whole numbers, and
// a Float is always written with a point or an exponent, so that it stays one
// in whatever reads it.
func appendScalar(dst []byte, kind leaf, name string, value document.Value) ([]byte, *inputProblem) {
	switch kind {
	case intLeaf:
		if n, ok := int32Of(value); ok {
			return strconv.AppendInt(dst, n, 10), nil
		}
	case floatLeaf:
		if f, ok := value.Float64(); ok {
			return appendFloat(dst, f), nil
		}
	case stringLeaf:
		if value.Kind() == document.String {
			return appendString(dst, value.Text()), nil
		}
	case booleanLeaf:
		if value.Kind() == document.True || value.Kind() == document.False {
			return append(dst, value.Raw()...), nil
		}
	case idLeaf:
		if value.Kind() == document.String {
			return appendString(dst, value.Text()), nil
		}
		if value.IsInteger() {
			return append(append(append(dst, '"'), value.Raw()...), '"'), nil
		}
	}
	if kind == intLeaf {
		name += " (a whole number of 32 bits)"
	}
	return dst, wrong("%s is no %s", describe(value), name)
}

func appendFloat(dst []byte, f float64) []byte {
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', -1, 64)
	if !strings.ContainsAny(string(dst[start:]), ".e") {
		dst = append(dst, ".0"...)
	}
	return dst
}

// describe names a value in an error.
func describe(value document.Value) string {
	switch value.Kind() {
	case document.Array, document.Object:
		return withArticle(value.Kind())
	case document.String:
		return quote(value.Text())
	default:
		return shorten(string(value.Raw()), 40)
	}
}

func quote(text string) string { return strconv.Quote(shorten(text, 40)) }
