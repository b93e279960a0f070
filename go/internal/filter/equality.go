package filter

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/document"

// Equality is a condition that every event which passes a filter satisfies: what
// stands at Path equals one of Values (as document.Equal tells), none meaning
// that no event passes.
type Equality struct {
	Path   document.Path
	Values []document.Value
}

// AppendEqualities appends the equalities that follow from f to dst: each equals
// and each in that must hold by itself. One in a list of more than maxValues is
// left out. An index can find f's events by any of them; Match decides.
func (f *Filter) AppendEqualities(dst []Equality, maxValues int) []Equality {
	return appendEqualities(dst, f.condition, maxValues)
}

func appendEqualities(dst []Equality, c condition, maxValues int) []Equality {
	switch c := c.(type) {
	case allOf:
		for _, part := range c {
			dst = appendEqualities(dst, part, maxValues)
		}
	case *field:
		for i := range c.tests {
			switch t := &c.tests[i]; {
			case t.operator == equals:
				dst = append(dst, Equality{c.path, []document.Value{t.operand}})
			case t.operator == in && t.operand.Len() <= maxValues:
				values := make([]document.Value, 0, t.operand.Len())
				for elements := t.operand.Elements(); elements.Next(); {
					values = append(values, elements.Value())
				}
				dst = append(dst, Equality{c.path, values})
			}
		}
	}
	return dst
}
