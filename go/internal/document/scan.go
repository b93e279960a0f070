package document

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// scanString reads a string's source from i, the byte after its opening quote,
// to the byte after the closing one. A detail that is not empty is what is
// wrong, and end is then where.
//
// It looks at eight bytes at a time for one that is not plain: a quote, a
// backslash, a control character or one outside ASCII. A subtraction's borrow
// can only disturb bytes above the first such byte, so the lowest mark is right
// (Hacker's Delight, 6-1).
func scanString(text []byte, i int) (end int, mark flags, detail string) {
	for {
		for len(text)-i >= 8 {
			word := binary.LittleEndian.Uint64(text[i:])
			quote, slash := word^('"'*ones), word^('\\'*ones)
			special := (word | (quote-ones)&^quote | (slash-ones)&^slash | (word-' '*ones)&^word) & highs
			if special != 0 {
				i += bits.TrailingZeros64(special) / 8
				break
			}
			i += 8
		}
		if i >= len(text) {
			return i, mark, "the text ends inside a string"
		}
		switch c := text[i]; {
		case c == '"':
			return i + 1, mark, ""
		case c == '\\':
			width := escapeWidth(text[i:])
			if width == 0 {
				return i, mark, "an escape that JSON does not know, or half a surrogate pair"
			}
			mark |= escaped
			i += width
		case c < ' ':
			return i, mark, "a control character inside a string must be escaped"
		case c < utf8.RuneSelf:
			i++
		default:
			r, width := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && width == 1 {
				return i, mark, "a string is not valid UTF-8"
			}
			i += width
		}
	}
}

// escapeWidth is the length of the escape sequence that source begins with, 6
// or 12 for \u, and 0 if it is none.
func escapeWidth(source []byte) int {
	if len(source) < 2 {
		return 0
	}
	switch source[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		r := hexRune(source[2:])
		switch {
		case r < 0, r >= 0xDC00 && r < 0xE000:
			return 0
		case r < 0xD800 || r >= 0xE000:
			return 6
		}
		if len(source) < 12 || source[6] != '\\' || source[7] != 'u' {
			return 0
		}
		if low := hexRune(source[8:]); low >= 0xDC00 && low < 0xE000 {
			return 12
		}
	}
	return 0
}

// hexRune is the value of the four hexadecimal digits that source begins with,
// or -1.
func hexRune(source []byte) rune {
	if len(source) < 4 {
		return -1
	}
	var r rune
	for _, c := range source[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			r = r<<4 | rune(c&0xF+9)
		default:
			return -1
		}
	}
	return r
}

// scanNumber reads a number from i to the byte after it. When there is none, or
// it breaks off, end is the byte that is wrong.
func scanNumber(text []byte, i int) (end int, mark flags, ok bool) {
	if i < len(text) && text[i] == '-' {
		i++
	}
	switch {
	case i >= len(text) || text[i] < '0' || text[i] > '9':
		return i, 0, false
	case text[i] == '0':
		i++
	default:
		i = skipDigits(text, i)
	}
	mark = integral
	if i < len(text) && text[i] == '.' {
		mark = 0
		start := i + 1
		if i = skipDigits(text, start); i == start {
			return i, 0, false
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		mark = 0
		i++
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		start := i
		if i = skipDigits(text, start); i == start {
			return i, 0, false
		}
	}
	return i, mark, true
}

func skipDigits(text []byte, i int) int {
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		i++
	}
	return i
}
