package security

import (
	"bytes"
	"strconv"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

type identifierKind uint8

const (
	absent identifierKind = iota
	text
	integer
	float
	boolean
	foreign // what is no identifier; only an event carries such
)

// Identifier is a subscriber's user or tenant. It is immutable; the zero
// Identifier is absent.
//
// Identifiers compare by type and value: 5, "5", 5.0 and true are four things.
// Integers are exact at any size; numbers written with a fraction or an exponent
// compare by value among themselves.
type Identifier struct {
	kind   identifierKind
	text   string         // a string's text, an integer's decimal digits, a boolean's name
	number document.Value // a float, in a document of its own
}

// Text is a string identifier, such as a UUID in its canonical form.
func Text(s string) Identifier { return Identifier{kind: text, text: s} }

// Integer is an integer identifier.
func Integer(n int64) Identifier {
	return Identifier{kind: integer, text: strconv.FormatInt(n, 10)}
}

// Name is a text that two identifiers share when they are equal by type and value,
// and only then; "" for none.
func (id *Identifier) Name() string {
	switch id.kind {
	case absent:
		return ""
	case float:
		return string(append([]byte{'0' + byte(id.kind)}, document.AppendCanonical(nil, id.number)...))
	}
	return string('0'+rune(id.kind)) + id.text
}

// Absent reports whether there is no identifier.
func (id Identifier) Absent() bool { return id.kind == absent }

// newIdentifier copies v, so that the identifier may outlive v's document. what
// names it in the error, which is a *fault.Error with code fault.InvalidValue
// for an object or an array.
func newIdentifier(what string, v document.Value) (Identifier, error) {
	switch v.Kind() {
	case document.Missing, document.Null:
		return Identifier{}, nil
	case document.String:
		return Text(v.Text()), nil
	case document.True, document.False:
		return Identifier{kind: boolean, text: string(v.Raw())}, nil
	case document.Number:
		if v.IsInteger() {
			return Identifier{kind: integer, text: string(digits(v))}, nil
		}
		var own document.Document
		if err := own.Parse(bytes.Clone(v.Raw())); err != nil {
			return Identifier{}, fault.New(fault.InvalidValue, "%s: %w", what, err)
		}
		return Identifier{kind: float, number: own.Root()}, nil
	}
	return Identifier{}, fault.New(fault.InvalidValue,
		"%s is %s; an identifier is a string or a number", what, excerpt(v))
}

// hasText reports whether the identifier, written as a channel's segment, is s.
// Only strings and integers are ever written so.
func (id *Identifier) hasText(s string) bool {
	return (id.kind == text || id.kind == integer) && id.text == s
}

// Excerpt is a value for a sentence: its JSON, or the beginning of it.
func Excerpt(v document.Value) string { return excerpt(v) }

// excerpt is a value for an error's sentence.
func excerpt(v document.Value) string {
	const most = 60
	raw := v.Raw()
	if len(raw) <= most {
		return string(raw)
	}
	return string(bytes.ToValidUTF8(raw[:most], nil)) + "…"
}
