package security

import (
	"bytes"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// carried is the identifier that an event's data holds, sorted out once so that
// comparing it with each subscriber's is cheap. It refers to the document.
type carried struct {
	kind    identifierKind
	escaped bool           // a string with escapes: read value, not text
	text    []byte         // a string's text, an integer's digits, a boolean's name
	value   document.Value // what text doesn't tell: floats, escaped strings
}

// carry reads v. Missing and null are absent; an object or an array is foreign,
// which equals nothing.
func carry(v document.Value) carried {
	switch v.Kind() {
	case document.Missing, document.Null:
		return carried{}
	case document.String:
		raw := v.Raw()
		raw = raw[1 : len(raw)-1]
		return carried{kind: text, escaped: bytes.IndexByte(raw, '\\') >= 0, text: raw, value: v}
	case document.Number:
		if v.IsInteger() {
			return carried{kind: integer, text: digits(v), value: v}
		}
		return carried{kind: float, value: v}
	case document.True, document.False:
		return carried{kind: boolean, text: v.Raw(), value: v}
	}
	return carried{kind: foreign, value: v}
}

// equals reports whether c is the subscriber's id; absent equals absent. loose
// also lets an integer equal its decimal text.
func (c *carried) equals(id *Identifier, loose bool) bool {
	if c.kind != id.kind {
		return loose && (c.kind == integer && id.kind == text || c.kind == text && id.kind == integer) &&
			c.reads(id.text)
	}
	switch c.kind {
	case absent:
		return true
	case text, integer, boolean:
		return c.reads(id.text)
	case float:
		return sameFloat(c.value, id.number)
	}
	return false
}

// hasText reports whether c, written as a channel's segment, is s. Only strings
// and integers are ever written so.
func (c *carried) hasText(s string) bool {
	return (c.kind == text || c.kind == integer) && c.reads(s)
}

func (c *carried) reads(s string) bool {
	if c.escaped {
		return c.value.EqualText(s)
	}
	return string(c.text) == s
}

// digits is an integer's canonical text. JSON has one way to write each integer
// but zero.
func digits(v document.Value) []byte {
	raw := v.Raw()
	if string(raw) == "-0" {
		return raw[1:]
	}
	return raw
}

// sameFloat compares two numbers by value. Exponents too long for the
// comparison to be exact must be written alike.
func sameFloat(a, b document.Value) bool {
	x, y := a.Raw(), b.Raw()
	if bytes.Equal(x, y) {
		return true
	}
	if hugeExponent(x) || hugeExponent(y) {
		return false
	}
	order, ok := document.CompareNumbers(a, b)
	return ok && order == 0
}

func hugeExponent(number []byte) bool {
	i := bytes.IndexAny(number, "eE")
	return i >= 0 && len(number)-i > 16
}
