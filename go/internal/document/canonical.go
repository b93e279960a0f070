package document

import (
	"slices"
	"strconv"
)

// AppendCanonical appends a text that says what v is and nothing of how it was
// written: two values have the same text exactly when they are Equal. It is for
// keys, not for people; Missing has one, too.
func AppendCanonical(dst []byte, v Value) []byte {
	switch v.Kind() {
	case Missing:
		return append(dst, 'm')
	case Null:
		return append(dst, 'n')
	case True:
		return append(dst, 't')
	case False:
		return append(dst, 'f')
	case Number:
		d := parseDecimal(v.Raw())
		return d.appendCanonical(dst)
	case String:
		return appendCanonicalText(dst, v)
	case Array:
		dst = append(dst, '[')
		for elements := v.Elements(); elements.Next(); {
			dst = AppendCanonical(dst, elements.Value())
		}
		return append(dst, ']')
	default:
		return appendCanonicalObject(dst, v)
	}
}

// appendCanonical writes the digits that count and where the point stands.
func (d *decimal) appendCanonical(dst []byte) []byte {
	if d.count == 0 {
		return append(dst, "0;"...)
	}
	if d.negative {
		dst = append(dst, '-')
	}
	for i := range d.count {
		dst = append(dst, d.digit(i))
	}
	dst = append(dst, 'e')
	dst = strconv.AppendInt(dst, d.point, 10)
	return append(dst, ';')
}

// appendCanonicalText says how long the text is, so that nothing in it can be
// taken for what follows.
func appendCanonicalText(dst []byte, v Value) []byte {
	var short [64]byte
	text := v.AppendText(short[:0])
	dst = append(dst, '"')
	dst = strconv.AppendInt(dst, int64(len(text)), 10)
	dst = append(dst, ':')
	return append(dst, text...)
}

func appendCanonicalObject(dst []byte, v Value) []byte {
	last := make(map[string]Value, v.Len()) // of members named twice the last counts
	for members := v.Members(); members.Next(); {
		last[string(appendCanonicalText(nil, members.Key()))] = members.Value()
	}
	names := make([]string, 0, len(last))
	for name := range last {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for _, name := range names {
		dst = append(dst, name...)
		dst = AppendCanonical(dst, last[name])
	}
	return append(dst, '}')
}
