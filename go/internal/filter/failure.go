package filter

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/document"

// Failure says why an event whose data is root does not pass: the path and the
// operator of the first test that fails, or the group ("any", "not") of which no part
// can be blamed alone, with the first path in it. ok is false for one that passes.
func (f *Filter) Failure(root document.Value) (path, operator string, ok bool) {
	return failure(f.condition, root)
}

func failure(c condition, root document.Value) (path, operator string, ok bool) {
	if c.holds(root) {
		return "", "", false
	}
	switch c := c.(type) {
	case allOf:
		for _, part := range c {
			if path, operator, ok = failure(part, root); ok {
				return path, operator, true
			}
		}
	case *field:
		v := root.Lookup(c.path)
		for i := range c.tests {
			if !c.tests[i].passes(v) {
				return c.path.String(), operatorNames[c.tests[i].operator], true
			}
		}
	}
	operator = "any"
	if _, negated := c.(*negation); negated {
		operator = "not"
	}
	if paths := appendPaths(nil, c); len(paths) > 0 {
		path = paths[0]
	}
	return path, operator, true
}
