package query

import (
	"strconv"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// Problem is an entry for the response's "errors".
type Problem struct {
	Message string
	Path    []byte // JSON array of response keys and list indices
	Code    string // stable, for "extensions"
}

// The codes of problems.
const (
	// CodeInvalidData: the data does not fit the query or the schema.
	CodeInvalidData = "INVALID_DATA"
	// CodeNullValue: a null where the schema rules it out.
	CodeNullValue = "NULL_VALUE"
	// CodeUnknownType: an abstract value does not say which type it is.
	CodeUnknownType = "UNKNOWN_TYPE"
	// CodeForbidden: the reader lacks a permission that the field needs.
	CodeForbidden = "FORBIDDEN"
	// CodeTooLarge: the response would exceed MaxDataBytes.
	CodeTooLarge = "RESPONSE_TOO_LARGE"
)

const (
	// MaxDataBytes bounds one answer. A query of 500 fields, each missing in
	// each of 300,000 list elements, would turn 1 MB into 2 GB.
	MaxDataBytes = 64 << 20
	// maxProblems bounds the problems of one answer; the nulls are written all
	// the same.
	maxProblems = 100
)

// AppendData appends the value of "data" that answers the operation when value
// is the value of its root field: {"<response key>":…}, or null when a null
// reaches a root field that the schema declares non-null. What went wrong is
// appended to problems. When nothing does and dst has room, nothing is
// allocated; scalars are copied byte for byte.
func (p *Plan) AppendData(dst []byte, value document.Value, problems []Problem) ([]byte, []Problem) {
	w := writer{dst: dst, start: len(dst), problems: problems, known: len(problems), scalarsOnly: p.scalarsOnly}
	root := &p.tree.root
	w.dst = append(append(w.dst, '{'), root.key...)
	at := step{key: root.key}
	if root.denied != "" {
		if !w.forbid(root, &at) {
			w.null()
			return w.dst, w.problems
		}
	} else if root.shape == nil {
		w.project(root.set, value, &at)
	} else if !w.complete(root, root.shape, value, &at) {
		w.null()
		return w.dst, w.problems
	}
	if w.overflow {
		w.null()
		return w.dst, w.problems
	}
	w.dst = append(w.dst, '}')
	return w.dst, w.problems
}

// writer is one answer in the making.
type writer struct {
	dst      []byte
	start    int // of the answer in dst
	problems []Problem
	known    int  // how many problems are not this answer's
	overflow bool // the answer is too large: write no more
	// scalarsOnly: a field without a selection set shows no objects.
	scalarsOnly bool
}

// step is one place on the way from the root to a value. The steps live on the
// stack and are only put together for a problem.
type step struct {
	parent *step
	key    []byte // `"responseKey":`, nil for a list element
	index  int
}

// null replaces the answer.
func (w *writer) null() { w.dst = append(w.dst[:w.start], "null"...) }

// full tells whether the answer has no room for so many more bytes, and reports
// it once.
func (w *writer) full(more int, at *step) bool {
	if len(w.dst)-w.start+more <= MaxDataBytes && !w.overflow {
		return false
	}
	if !w.overflow {
		w.overflow = true
		w.problems = append(w.problems, Problem{
			Message: "the answer exceeds " + strconv.Itoa(MaxDataBytes) + " bytes: select fewer fields",
			Path:    at.appendPath(nil), Code: CodeTooLarge,
		})
	}
	return true
}

// problem records what is wrong with the value at a place.
func (w *writer) problem(code, message string, at *step) {
	count := len(w.problems) - w.known
	if count >= maxProblems {
		return
	}
	if count == maxProblems-1 {
		message += " (further problems are left out)"
	}
	w.problems = append(w.problems, Problem{Message: message, Path: at.appendPath(nil), Code: code})
}

// appendPath appends the path as a JSON array. It recurses to the root instead of
// collecting the steps, which would move every step to the heap.
func (s *step) appendPath(dst []byte) []byte { return append(s.appendSteps(append(dst, '[')), ']') }

func (s *step) appendSteps(dst []byte) []byte {
	if s.parent != nil {
		dst = append(s.parent.appendSteps(dst), ',')
	}
	if s.key != nil {
		return append(dst, s.key[:len(s.key)-1]...)
	}
	return strconv.AppendInt(dst, int64(s.index), 10)
}

// project writes a value through a selection when there is no schema: set is
// nil for a leaf, which is copied whatever it holds.
func (w *writer) project(set *selection, value document.Value, at *step) {
	kind := value.Kind()
	switch {
	case kind == document.Missing || kind == document.Null:
		w.dst = append(w.dst, "null"...)
	case set == nil && w.scalarsOnly && holdsObject(value):
		w.problem(CodeForbidden, "the value is or holds an object: select its fields, so that their permissions can be checked", at)
		w.dst = append(w.dst, "null"...)
	case set == nil:
		if raw := value.Raw(); !w.full(len(raw), at) {
			w.dst = append(w.dst, raw...)
		}
	case kind == document.Object:
		w.projectObject(set.of(value), value, at)
	case kind == document.Array:
		w.projectList(set, value, at)
	default:
		w.problem(CodeInvalidData, "the query selects fields of a value that is "+withArticle(kind), at)
		w.dst = append(w.dst, "null"...)
	}
}

func (w *writer) projectList(set *selection, list document.Value, at *step) {
	w.dst = append(w.dst, '[')
	element := step{parent: at}
	for cursor := list.Elements(); cursor.Next() && !w.full(0, &element); element.index++ {
		if element.index > 0 {
			w.dst = append(w.dst, ',')
		}
		w.project(set, cursor.Value(), &element)
	}
	w.dst = append(w.dst, ']')
}

func (w *writer) projectObject(set *selection, object document.Value, at *step) {
	w.dst = append(w.dst, '{')
	member := step{parent: at}
	var found [document.MostPicked]document.Value
	for i := range set.fields {
		f, at := &set.fields[i], i%len(found)
		if at == 0 {
			object.Pick(set.names[i:min(i+len(found), len(set.names))], &found)
		}
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(w.dst, f.key...)
		member.key = f.key
		if f.denied != "" {
			w.forbid(f, &member)
			continue
		}
		w.project(f.set, found[at], &member)
		if w.overflow {
			break
		}
	}
	w.dst = append(w.dst, '}')
}

// of picks the selection for an object by its __typename, without a schema.
func (s *selection) of(object document.Value) *selection {
	if !s.typed() {
		return s
	}
	name := object.Get("__typename")
	if name.Kind() != document.String {
		return s.absent
	}
	for i := range s.variants {
		if name.EqualText(s.variants[i].typename) {
			return s.variants[i].set
		}
	}
	return s.other
}
