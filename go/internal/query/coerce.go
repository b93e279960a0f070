package query

import (
	"strconv"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// This file writes values as a schema's types demand: CompleteValue and
// CoerceResult of the specification (sections 6.4.3 and 3.5).

// complete writes the value of a field, or null where an error allows it. It
// returns false when the value had to be null and its type rules that out; then
// the enclosing value becomes null in its place, and what has been written of
// this one is the caller's to cut off (section 6.4.4).
func (w *writer) complete(f *field, t *shape, value document.Value, at *step) bool {
	mark := len(w.dst)
	if w.write(f, t, value, at) {
		return true
	}
	if t.nonNull || w.overflow {
		return false
	}
	w.dst = append(w.dst[:mark], "null"...)
	return true
}

// write writes the value or tells why it cannot.
func (w *writer) write(f *field, t *shape, value document.Value, at *step) bool {
	kind := value.Kind()
	if kind == document.Missing || kind == document.Null {
		if t.nonNull {
			w.problem(CodeNullValue, "cannot return null for the non-null field "+f.parent+"."+f.name, at)
			return false
		}
		w.dst = append(w.dst, "null"...)
		return true
	}
	switch {
	case t.list != nil:
		return w.writeList(f, t.list, value, at)
	case t.kind == composite:
		return w.writeObject(f, t, value, at)
	default:
		if w.full(len(value.Raw()), at) {
			return false
		}
		return w.writeLeaf(t, value, at)
	}
}

func (w *writer) writeList(f *field, t *shape, list document.Value, at *step) bool {
	if list.Kind() != document.Array {
		w.problem(CodeInvalidData, "the field "+f.parent+"."+f.name+" is a list, and its value is "+withArticle(list.Kind()), at)
		return false
	}
	w.dst = append(w.dst, '[')
	element := step{parent: at}
	for cursor := list.Elements(); cursor.Next(); element.index++ {
		if element.index > 0 {
			w.dst = append(w.dst, ',')
		}
		if w.full(0, &element) || !w.complete(f, t, cursor.Value(), &element) {
			return false
		}
	}
	w.dst = append(w.dst, ']')
	return true
}

func (w *writer) writeObject(f *field, t *shape, object document.Value, at *step) bool {
	if object.Kind() != document.Object {
		w.problem(CodeInvalidData, "expected an object of type "+t.name+", and the value is "+withArticle(object.Kind()), at)
		return false
	}
	set := f.set
	if set.abstract != "" {
		if set = set.resolve(object); set == nil {
			w.problem(CodeUnknownType, "the object's __typename must name a type that "+t.name+" can be", at)
			return false
		}
	}
	w.dst = append(w.dst, '{')
	next := step{parent: at}
	for i := range set.fields {
		member := &set.fields[i]
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(w.dst, member.key...)
		if member.typename != nil {
			w.dst = append(w.dst, member.typename...)
			continue
		}
		next.key = member.key
		if member.denied != "" {
			if !w.forbid(member, &next) {
				return false
			}
			continue
		}
		if !w.complete(member, member.shape, object.Get(member.name), &next) {
			return false
		}
	}
	w.dst = append(w.dst, '}')
	return true
}

// resolve picks the selection for an object of an abstract type, nil when its
// type cannot be told. An abstract type that only one type can be needs no
// __typename.
func (s *selection) resolve(object document.Value) *selection {
	name := object.Get("__typename")
	if !name.Exists() && len(s.variants) == 1 {
		return s.variants[0].set
	}
	for i := range s.variants {
		if name.EqualText(s.variants[i].typename) {
			return s.variants[i].set
		}
	}
	return nil
}

// writeLeaf writes a scalar or an enum value. It converts only where nothing is
// lost: 5.0 is the Int 5 and an integer is an ID, but "5" is no Int and true is
// no String.
func (w *writer) writeLeaf(t *shape, value document.Value, at *step) bool {
	kind := value.Kind()
	ok := false
	switch t.kind {
	case intLeaf:
		var n int64
		if n, ok = int32Of(value); ok {
			w.dst = strconv.AppendInt(w.dst, n, 10)
			return true
		}
	case floatLeaf:
		ok = kind == document.Number && finite(value)
	case stringLeaf:
		ok = kind == document.String
	case booleanLeaf:
		ok = kind == document.True || kind == document.False
	case idLeaf:
		if value.IsInteger() {
			w.dst = append(append(append(w.dst, '"'), value.Raw()...), '"')
			return true
		}
		ok = kind == document.String
	case enumLeaf:
		ok = t.holds(value)
	default:
		ok = true
	}
	if !ok {
		// The value itself stays out of the message: it may be any length.
		w.problem(CodeInvalidData, t.name+" cannot represent the value, which is "+withArticle(kind), at)
		return false
	}
	w.dst = append(w.dst, value.Raw()...)
	return true
}

// int32Of is the value of a whole number within the range of Int.
func int32Of(value document.Value) (int64, bool) {
	n, ok := value.Int64()
	return n, ok && n == int64(int32(n))
}

// finite tells whether a number is within the range of Float.
func finite(value document.Value) bool {
	if value.IsInteger() && len(value.Raw()) < 300 {
		return true
	}
	_, ok := value.Float64()
	return ok
}

// holds tells whether a string is one of the enum's values.
func (s *shape) holds(value document.Value) bool {
	if value.Kind() != document.String {
		return false
	}
	raw := value.Raw()
	if _, ok := s.values[string(raw[1:len(raw)-1])]; ok {
		return true // names have nothing to escape, so this is the usual way
	}
	_, ok := s.values[value.Text()]
	return ok
}

// withArticle names a kind in a sentence.
func withArticle(kind document.Kind) string {
	if kind == document.Object || kind == document.Array {
		return "an " + kind.String()
	}
	return "a " + kind.String()
}
