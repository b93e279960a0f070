package filter

import (
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Compile reads a filter, a JSON object. The filter keeps text, which the
// caller must not change.
//
// maxDepth limits how deep filters may stand within filters, the outermost
// being 1; 0 means no limit beyond document.MaxDepth. Exceeding it gives a
// *fault.Error with code LimitExceeded, everything else that is wrong one with
// InvalidValue naming the key: an unknown operator, an operand of a type the
// operator cannot take, a name given twice.
func Compile(text []byte, maxDepth int) (*Filter, error) {
	d := new(document.Document)
	if err := d.Parse(text); err != nil {
		return nil, fault.New(fault.InvalidValue, "the filter cannot be read (%w); give a JSON object", err)
	}
	if depth := depthOf(d.Root()); maxDepth > 0 && depth > maxDepth {
		return nil, fault.Exceeded(fault.LimitExceeded, "max_filter_depth", float64(maxDepth), float64(depth), "the filter is %d levels deep and max_filter_depth is %d; nest fewer all, any and not", depth, maxDepth)
	}
	c, err := compile("the filter", d.Root())
	if err != nil {
		return nil, err
	}
	d.Trim()
	return &Filter{c}, nil
}

// depthOf counts filters within filters, well-formed or not.
func depthOf(filter document.Value) int {
	deepest := 0
	for members := filter.Members(); members.Next(); {
		switch v := members.Value(); members.Key().Text() {
		case "all", "any":
			for parts := v.Elements(); parts.Next(); {
				deepest = max(deepest, depthOf(parts.Value()))
			}
		case "not":
			deepest = max(deepest, depthOf(v))
		}
	}
	return deepest + 1
}

// compile reads one filter; where is what to call it in an error.
func compile(where string, filter document.Value) (condition, error) {
	if filter.Kind() != document.Object {
		return nil, fault.New(fault.InvalidValue, "%s is of type %v; give an object such as {\"status\": {\"equals\": \"open\"}}", where, filter.Kind())
	}
	parts := make(allOf, 0, filter.Len())
	seen := make(map[string]struct{}, filter.Len())
	for members := filter.Members(); members.Next(); {
		key := members.Key().Text()
		if _, twice := seen[key]; twice {
			return nil, givenTwice(key)
		}
		seen[key] = struct{}{}
		part, err := compileMember(key, members.Value())
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return parts, nil
}

func compileMember(key string, v document.Value) (condition, error) {
	switch key {
	case "all":
		parts, err := compileList(key, v)
		return allOf(parts), err
	case "any":
		parts, err := compileList(key, v)
		return anyOf(parts), err
	case "not":
		part, err := compile(`the filter in "not"`, v)
		return &negation{part}, err
	}
	if word := strings.ToLower(key); (word == "and" || word == "or") && v.Kind() == document.Array {
		return nil, fault.New(fault.InvalidValue, "%q is no group of filters; write \"all\", \"any\" or \"not\" (a field of that name is written %q)", key, "."+key)
	}
	path, err := document.ParsePath(strings.TrimPrefix(key, "."))
	if err != nil {
		return nil, fault.New(fault.InvalidValue, "the filter's key %q is no path; write field names joined by single dots, such as order.items.0.sku", abridge(key))
	}
	if v.Kind() != document.Object {
		return &field{path, []test{newTest(equals, v)}}, nil
	}
	tests, err := compileTests(key, v)
	return &field{path, tests}, err
}

func compileList(key string, list document.Value) ([]condition, error) {
	if list.Kind() != document.Array {
		return nil, fault.New(fault.InvalidValue, "%q in a filter is of type %v; give a list of filters (a field of that name is written %q)", key, list.Kind(), "."+key)
	}
	parts := make([]condition, 0, list.Len())
	for elements := list.Elements(); elements.Next(); {
		part, err := compile("a filter in \""+key+"\"", elements.Value())
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func compileTests(path string, operators document.Value) ([]test, error) {
	tests := make([]test, 0, operators.Len())
	seen := [len(operatorNames)]bool{}
	for members := operators.Members(); members.Next(); {
		name := members.Key().Text()
		op := slices.Index(operatorNames[:], name)
		if op < 0 {
			return nil, fault.New(fault.InvalidValue, "unknown operator %q on %q in a filter; the operators are %s (to compare with an object, write {\"equals\": {…}})",
				abridge(name), abridge(path), strings.Join(operatorNames[:], ", "))
		}
		if seen[op] {
			return nil, givenTwice(name)
		}
		seen[op] = true
		t, err := compileTest(path, operator(op), members.Value())
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
	}
	if len(tests) == 0 {
		return nil, fault.New(fault.InvalidValue, "%q in a filter has no operator; give one, such as {\"exists\": true} (to compare with the empty object, write {\"equals\": {}})", abridge(path))
	}
	return tests, nil
}

// compileTest checks the operand's type: one that could never match is a
// mistake, and said so here.
func compileTest(path string, op operator, operand document.Value) (test, error) {
	kind := operand.Kind()
	wanted := ""
	switch op {
	case greater, greaterOrEqual, less, lessOrEqual:
		if kind != document.Number && kind != document.String {
			wanted = "a number or a string"
		}
	case in, notIn:
		if kind != document.Array {
			wanted = "a list of values"
		}
	case startsWith:
		if kind != document.String {
			wanted = "a string"
		}
	case exists, notExists:
		switch kind {
		case document.True:
		case document.False: // {"exists": false} is {"not_exists": true}
			op = exists + notExists - op
		default:
			wanted = "true or false"
		}
	}
	if wanted != "" {
		return test{}, fault.New(fault.InvalidValue, "the operand of %q on %q in a filter is of type %v; give %s", operatorNames[op], abridge(path), kind, wanted)
	}
	return newTest(op, operand), nil
}

func newTest(op operator, operand document.Value) test {
	t := test{operator: op, operand: operand, text: operand.Text()}
	if op == in || op == notIn {
		t.among = newSet(operand)
	}
	return t
}

func givenTwice(key string) error {
	return fault.New(fault.InvalidValue, "%q is given twice in one object of a filter; join both by \"all\"", abridge(key))
}

// abridge keeps a wrong key short enough for an error's text.
func abridge(text string) string {
	const limit = 64
	if len(text) <= limit {
		return text
	}
	return text[:limit] + "…"
}
