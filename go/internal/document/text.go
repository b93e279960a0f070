package document

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// The methods of this file read strings as the text they stand for, escapes
// resolved. On a value that is no string, Text is empty, AppendText appends
// nothing and the comparisons are false.

// source is the bytes between a string's quotes, and whether they hold escapes.
func (v Value) source() (raw []byte, isEscaped, ok bool) {
	if v.Kind() != String {
		return nil, false, false
	}
	n := &v.document.nodes[v.index]
	return v.document.text[n.start+1 : n.end-1], n.flags&escaped != 0, true
}

// Text is the string's text. It allocates.
func (v Value) Text() string {
	raw, isEscaped, _ := v.source()
	if !isEscaped {
		return string(raw)
	}
	return string(appendUnescaped(make([]byte, 0, len(raw)), raw))
}

// AppendText appends the string's text to dst.
func (v Value) AppendText(dst []byte) []byte {
	raw, isEscaped, _ := v.source()
	if !isEscaped {
		return append(dst, raw...)
	}
	return appendUnescaped(dst, raw)
}

// EqualText tells whether v is a string with the text s.
func (v Value) EqualText(s string) bool {
	raw, isEscaped, ok := v.source()
	if isEscaped {
		return equalEscaped(raw, s)
	}
	return ok && string(raw) == s
}

// CompareText orders v against s by code points: negative when v comes first, 0
// when they are equal; ok is false when v is no string.
func (v Value) CompareText(s string) (order int, ok bool) {
	raw, isEscaped, ok := v.source()
	if !ok {
		return 0, false
	}
	if !isEscaped {
		// UTF-8 sorts as its code points do. Converting for a comparison
		// alone does not allocate.
		switch {
		case string(raw) < s:
			return -1, true
		case string(raw) > s:
			return 1, true
		}
		return 0, true
	}
	reader := textReader{source: raw}
	for i := range len(s) {
		c, more := reader.next()
		if !more {
			return -1, true
		}
		if c != s[i] {
			return int(c) - int(s[i]), true
		}
	}
	if _, more := reader.next(); more {
		return 1, true
	}
	return 0, true
}

// HasTextPrefix tells whether v is a string whose text begins with prefix.
func (v Value) HasTextPrefix(prefix string) bool {
	raw, isEscaped, ok := v.source()
	if !isEscaped {
		return ok && len(raw) >= len(prefix) && string(raw[:len(prefix)]) == prefix
	}
	reader := textReader{source: raw}
	return reader.skip(prefix)
}

// ContainsText tells whether v is a string in whose text part occurs.
func (v Value) ContainsText(part string) bool {
	raw, isEscaped, ok := v.source()
	switch {
	case !ok:
		return false
	case part == "":
		return true
	case !isEscaped:
		return containsPlain(raw, part)
	}
	// Rabin and Karp's search, with two readers as the window's ends, for the
	// text exists nowhere in memory and an event's size must not be multiplied
	// by the part's.
	const base = 1099511628211
	var wanted, window, leaving uint64 = 0, 0, 1
	front, back := textReader{source: raw}, textReader{source: raw}
	for i := range len(part) {
		c, more := front.next()
		if !more {
			return false
		}
		wanted = wanted*base + uint64(part[i])
		window = window*base + uint64(c)
		leaving *= base
	}
	for {
		if window == wanted {
			if candidate := back; candidate.skip(part) {
				return true
			}
		}
		c, more := front.next()
		if !more {
			return false
		}
		old, _ := back.next()
		window = window*base + uint64(c) - leaving*uint64(old)
	}
}

// containsPlain searches text that needs no unescaping with the library's
// search, whose worst case is linear. The view lives for the call only.
func containsPlain(raw []byte, part string) bool {
	return len(raw) > 0 && strings.Contains(unsafe.String(&raw[0], len(raw)), part)
}

func equalStrings(a, b Value) bool {
	ours, oursEscaped, _ := a.source()
	theirs, theirsEscaped, _ := b.source()
	if !oursEscaped && !theirsEscaped {
		return bytes.Equal(ours, theirs)
	}
	x, y := textReader{source: ours}, textReader{source: theirs}
	for {
		c, more := x.next()
		d, moreToo := y.next()
		if c != d || more != moreToo {
			return false
		}
		if !more {
			return true
		}
	}
}

func equalEscaped(raw []byte, s string) bool {
	reader := textReader{source: raw}
	if !reader.skip(s) {
		return false
	}
	_, more := reader.next()
	return !more
}

// textReader yields the UTF-8 bytes of a string's source, escapes resolved. The
// source has passed scanString.
type textReader struct {
	source  []byte
	at      int
	pending uint32 // bytes of the escape in hand, lowest first
	held    uint8  // how many
}

func (r *textReader) next() (c byte, more bool) {
	if r.held > 0 {
		c = byte(r.pending)
		r.pending >>= 8
		r.held--
		return c, true
	}
	if r.at >= len(r.source) {
		return 0, false
	}
	if c = r.source[r.at]; c != '\\' {
		r.at++
		return c, true
	}
	character, width := unescape(r.source[r.at:])
	r.at += width
	var encoded [utf8.UTFMax]byte
	n := utf8.EncodeRune(encoded[:], character)
	r.pending = uint32(encoded[1]) | uint32(encoded[2])<<8 | uint32(encoded[3])<<16
	r.held = uint8(n - 1)
	return encoded[0], true
}

// skip reads s and tells whether it stood there.
func (r *textReader) skip(s string) bool {
	for i := range len(s) {
		if c, more := r.next(); !more || c != s[i] {
			return false
		}
	}
	return true
}

func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		character, width := unescape(raw[i:])
		dst = utf8.AppendRune(append(dst, raw[:i]...), character)
		raw = raw[i+width:]
	}
}

// unescape is the character that the escape at the start of source stands for,
// and the escape's length.
func unescape(source []byte) (character rune, width int) {
	switch c := source[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		character = hexRune(source[2:])
		if utf16.IsSurrogate(character) {
			return utf16.DecodeRune(character, hexRune(source[8:])), 12
		}
		return character, 6
	default:
		return rune(c), 2
	}
}
