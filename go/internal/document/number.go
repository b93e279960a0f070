package document

import (
	"bytes"
	"math"
	"strconv"
)

// CompareNumbers orders two numbers of any documents by value: -1, 0 or 1, and
// false when one of them is no number. It is exact at any number of digits
// (5, 5.0 and 50e-1 are equal; 9007199254740993 and 9007199254740992.0 are not)
// and allocates nothing. Exponents beyond 10^18 count as 10^18.
func CompareNumbers(a, b Value) (order int, ok bool) {
	if a.Kind() != Number || b.Kind() != Number {
		return 0, false
	}
	x, y := a.Raw(), b.Raw()
	if a.IsInteger() && b.IsInteger() {
		return compareIntegers(x, y), true
	}
	if bytes.Equal(x, y) {
		return 0, true
	}
	return compareDecimals(parseDecimal(x), parseDecimal(y)), true
}

// IsInteger tells whether v is a number written without fraction and exponent:
// 5 is one, 5.0 is none.
func (v Value) IsInteger() bool {
	return v.Kind() == Number && v.document.nodes[v.index].flags&integral != 0
}

// Int64 is the number's value when it is a whole one that fits, however it is
// written (5.0 is 5), and false otherwise.
func (v Value) Int64() (value int64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	d := parseDecimal(v.Raw())
	if d.count == 0 {
		return 0, true
	}
	if d.point < int64(d.count) || d.point > 19 {
		return 0, false
	}
	var magnitude uint64
	for i := range int(d.point) {
		magnitude *= 10 // at most 19 digits: no overflow of 64 bits
		if i < d.count {
			magnitude += uint64(d.digit(i) - '0')
		}
	}
	if d.negative {
		return -int64(magnitude), magnitude <= 1<<63
	}
	return int64(magnitude), magnitude <= math.MaxInt64
}

// Float64 is the nearest float64, false when v is no number or beyond the
// range. It may allocate.
func (v Value) Float64() (value float64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	value, err := strconv.ParseFloat(string(v.Raw()), 64)
	return value, err == nil
}

// compareIntegers needs no arithmetic: JSON integers have no leading zeros, so
// the longer one is the larger and equal lengths compare as text.
func compareIntegers(x, y []byte) int {
	xNegative, yNegative := x[0] == '-', y[0] == '-'
	if xNegative != yNegative {
		if isIntegerZero(x) && isIntegerZero(y) {
			return 0
		}
		if xNegative {
			return -1
		}
		return 1
	}
	order := len(x) - len(y)
	if order == 0 {
		order = bytes.Compare(x, y)
	}
	if xNegative {
		order = -order
	}
	return sign(order)
}

func isIntegerZero(x []byte) bool {
	return x[len(x)-1] == '0' && (len(x) == 1 || len(x) == 2 && x[0] == '-')
}

func sign(x int) int {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	}
	return 0
}

// decimal is a number taken apart without arithmetic: its value is
// 0.d0d1d2… × 10^point, d0 and the last digit not zero.
type decimal struct {
	whole, fraction []byte // the digits before and after the point, as written
	first, count    int    // the significant ones among them; none for zero
	point           int64
	negative        bool
}

func (d *decimal) digit(i int) byte {
	if i += d.first; i < len(d.whole) {
		return d.whole[i]
	} else {
		return d.fraction[i-len(d.whole)]
	}
}

func parseDecimal(raw []byte) decimal {
	var d decimal
	if raw[0] == '-' {
		d.negative = true
		raw = raw[1:]
	}
	end := skipDigits(raw, 0)
	d.whole, raw = raw[:end], raw[end:]
	if len(raw) > 0 && raw[0] == '.' {
		end = skipDigits(raw, 1)
		d.fraction, raw = raw[1:end], raw[end:]
	}
	d.count = len(d.whole) + len(d.fraction)
	for d.count > 0 && d.digit(0) == '0' {
		d.first++
		d.count--
	}
	for d.count > 0 && d.digit(d.count-1) == '0' {
		d.count--
	}
	if d.count == 0 {
		return decimal{}
	}
	d.point = int64(len(d.whole) - d.first)
	if len(raw) > 0 {
		d.point += parseExponent(raw[1:])
	}
	return d
}

func parseExponent(raw []byte) int64 {
	const limit = 1_000_000_000_000_000_000
	negative := raw[0] == '-'
	if negative || raw[0] == '+' {
		raw = raw[1:]
	}
	var exponent int64
	for _, c := range raw {
		if exponent >= limit/10 {
			exponent = limit
			break
		}
		exponent = exponent*10 + int64(c-'0')
	}
	if negative {
		return -exponent
	}
	return exponent
}

func compareDecimals(x, y decimal) int {
	xSign, ySign := x.sign(), y.sign()
	if xSign != ySign || xSign == 0 {
		return sign(xSign - ySign)
	}
	return xSign * compareMagnitudes(&x, &y)
}

func (d *decimal) sign() int {
	switch {
	case d.count == 0:
		return 0
	case d.negative:
		return -1
	}
	return 1
}

func compareMagnitudes(x, y *decimal) int {
	if x.point != y.point {
		if x.point < y.point {
			return -1
		}
		return 1
	}
	for i := range min(x.count, y.count) {
		if a, b := x.digit(i), y.digit(i); a != b {
			return sign(int(a) - int(b))
		}
	}
	return sign(x.count - y.count) // the longer one has a digit that is not zero
}
