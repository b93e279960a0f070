package query

import "github.com/vektah/gqlparser/v2/ast"

// shape is the type of a field as result coercion needs it.
type shape struct {
	list    *shape // the elements' type, nil for a named type
	kind    leaf   // of a named type
	nonNull bool
	name    string              // of a named type
	values  map[string]struct{} // of an enum
}

// leaf is how a value of a named type is coerced.
type leaf uint8

const (
	composite leaf = iota // an object, interface or union
	intLeaf
	floatLeaf
	stringLeaf
	booleanLeaf
	idLeaf
	enumLeaf
	customLeaf // any JSON
)

// builtIn is the kind of the scalars that the specification defines, composite
// for every other name.
func builtIn(name string) leaf {
	switch name {
	case "Int":
		return intLeaf
	case "Float":
		return floatLeaf
	case "String":
		return stringLeaf
	case "Boolean":
		return booleanLeaf
	case "ID":
		return idLeaf
	}
	return composite
}

// leaf is the kind of the named type at the bottom of lists.
func (s *shape) leaf() leaf {
	for s.list != nil {
		s = s.list
	}
	return s.kind
}

func (c *compiler) shape(t *ast.Type) *shape {
	if known := c.shapes[t]; known != nil {
		return known
	}
	s := &shape{nonNull: t.NonNull, name: t.NamedType}
	c.shapes[t] = s
	if t.Elem != nil {
		s.list = c.shape(t.Elem)
		return s
	}
	definition := c.schema.Types[t.NamedType]
	switch {
	case builtIn(t.NamedType) != composite:
		s.kind = builtIn(t.NamedType)
	case definition.Kind == ast.Enum:
		s.kind = enumLeaf
		s.values = make(map[string]struct{}, len(definition.EnumValues))
		for _, value := range definition.EnumValues {
			s.values[value.Name] = struct{}{}
		}
	case definition.Kind == ast.Scalar:
		s.kind = customLeaf
	}
	return s
}
