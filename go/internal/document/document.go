// Package document reads JSON text in place. One pass validates the text and
// builds a flat index of its values, the tape; every read afterwards walks the
// tape and the text and allocates nothing unless its comment says so.
//
// What is accepted is RFC 8259 and, beyond its grammar, text that every other
// reader understands the same way: UTF-8 must be valid, and an escaped
// surrogate must be one half of a pair. A lone surrogate is refused, because no
// UTF-8 text can hold it: orjson refuses it, encoding/json and sonic turn it
// into U+FFFD, and two different identifiers would become equal. Objects may
// name a member twice; the last one counts, as in Python.
package document

import (
	"errors"
	"fmt"
)

// MaxDepth is how many arrays and objects may be open at once in Parse.
const MaxDepth = 500

// The reasons for which a text is refused. A *ParseError wraps one of them.
var (
	ErrSyntax = errors.New("invalid JSON")
	ErrDepth  = errors.New("JSON nested too deeply")
	ErrSize   = errors.New("JSON text larger than 4 GiB")
)

// ParseError says where a text stops being a document and why.
type ParseError struct {
	Offset int    // bytes from the start of the text
	Detail string // what stands there, in words
	reason error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("%v at byte %d: %s", e.reason, e.Offset, e.Detail)
}

// Unwrap gives ErrSyntax, ErrDepth or ErrSize.
func (e *ParseError) Unwrap() error { return e.reason }

// Kind is the type of a value.
type Kind uint8

// The kinds. Missing is no JSON type: it is what a lookup that finds nothing
// returns, and the kind of the zero Value.
const (
	Missing Kind = iota
	Null
	False
	True
	Number
	String
	Object
	Array
)

var kindNames = [...]string{"missing", "null", "boolean", "boolean", "number", "string", "object", "array"}

// String is the kind's name in JSON's own words.
func (k Kind) String() string { return kindNames[k] }

// Document is one parsed text. The zero value is ready and holds nothing.
//
// Parse reuses the tape's memory and keeps a reference to the text, which must
// not change while the document is read. Any number of goroutines may read
// between two calls of Parse; Values of an earlier text are invalid after it.
type Document struct {
	text      []byte
	nodes     []node
	root      uint32
	bigNumber bool
	names     uint64 // the nameBits of all members' names; those of others are in no object
}

// node is one entry of the tape. An object's entry is followed by key and value
// entries in turn, an array's by its elements; next skips over all of them.
type node struct {
	start, end uint32 // the source bytes, quotes and brackets included
	next       uint32 // index of the entry after this value
	kind       Kind
	flags      flags
}

type flags uint8

const (
	// escaped marks a string whose source holds at least one backslash.
	escaped flags = 1 << iota
	// integral marks a number written without fraction and exponent.
	integral
)

// Root is the document's outermost value, Missing before the first Parse and
// after one that failed.
func (d *Document) Root() Value {
	if len(d.nodes) == 0 {
		return Value{}
	}
	return Value{document: d, index: d.root}
}

// Narrow makes v, a value of this document, its root, so that a document that
// came in an envelope needs no second Parse. Values already taken stay valid.
// It must not run beside readers.
func (d *Document) Narrow(v Value) {
	if v.document != d {
		panic("document: Narrow to a value of another document")
	}
	d.root = v.index
}

// Trim gives back what the tape has to spare, for a document that is kept. It must
// not run beside readers.
func (d *Document) Trim() { d.nodes = append(make([]node, 0, len(d.nodes)), d.nodes...) }

// HasBigNumber tells whether some integer in the text has more than 18 digits,
// so that a decoder limited to 64 bits could change it. It speaks of all the
// text, also after Narrow.
func (d *Document) HasBigNumber() bool { return d.bigNumber }

// Valid tells whether Parse would accept the text.
func Valid(text []byte) bool {
	var d Document
	return d.Parse(text) == nil
}
