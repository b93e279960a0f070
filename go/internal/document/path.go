package document

import (
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Path leads from a value to one inside it. It is immutable and may be used by
// any number of goroutines; the zero Path leads to the value itself.
type Path struct {
	text     string
	segments []segment
}

// segment is one step: a member's name and, when it is a decimal number, also
// an element's index.
type segment struct {
	key   string
	index int // -1 when key is no index
}

// ParsePath reads a dotted path such as "items.0.sku". Each segment is a
// member's name in an object; one of digits only, without leading zeros, is an
// index in an array. The error is a *fault.Error with code InvalidValue.
func ParsePath(text string) (Path, error) {
	if text == "" {
		return Path{}, fault.New(fault.InvalidValue, "a path is empty; write field names joined by dots, such as order.items.0.sku")
	}
	names := strings.Split(text, ".")
	p := Path{text: text, segments: make([]segment, len(names))}
	for i, name := range names {
		if name == "" {
			return Path{}, fault.New(fault.InvalidValue, "the path %q has an empty segment; write field names joined by single dots", text)
		}
		p.segments[i] = segment{key: name, index: parseIndex(name)}
	}
	return p, nil
}

// String is the text that the path was parsed from.
func (p Path) String() string { return p.text }

// Last is the path's last segment, "" for the zero Path.
func (p Path) Last() string {
	if len(p.segments) == 0 {
		return ""
	}
	return p.segments[len(p.segments)-1].key
}

func parseIndex(name string) int {
	if len(name) > 1 && name[0] == '0' {
		return -1
	}
	for i := range len(name) {
		if name[i] < '0' || name[i] > '9' {
			return -1
		}
	}
	index, err := strconv.Atoi(name)
	if err != nil {
		return -1
	}
	return index
}

// Lookup follows p from v, Missing when it leads nowhere.
func (v Value) Lookup(p Path) Value {
	for i := range p.segments {
		step := &p.segments[i]
		switch v.Kind() {
		case Object:
			v = v.Get(step.key)
		case Array:
			v = v.At(step.index)
		default:
			return Value{}
		}
	}
	return v
}
