package event

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Position is a place in a bus's order. Its text is opaque to users:
// "epoch:offset", or "epoch:offset!m1,m2" with the offsets below it that had
// not been dispatched then; or "epoch:place" where one number is not enough.
type Position struct {
	// Epoch names one unbroken history: letters, digits, '-', '_' and '.'.
	Epoch  string
	Offset uint64
	// Missing ascends strictly and stays below Offset.
	Missing []uint64
	// Place is the position within the epoch for a bus whose order has no numbers;
	// then Offset and Missing mean nothing. Otherwise nil.
	Place Place
}

// Place is a bus's own form of a position.
type Place interface {
	// AppendText appends the place as text: a letter, then letters, digits and any of
	// "-_.!,+~*/", 16,384 at most.
	AppendText(dst []byte) []byte
}

// Text is a place as a client gave it, for the bus to read.
type Text string

// AppendText implements Place.
func (t Text) AppendText(dst []byte) []byte { return append(dst, t...) }

// maxPlace is the most bytes that a place's text may have.
const maxPlace = 16_384

// IsZero tells that p is no position.
func (p Position) IsZero() bool { return p.Epoch == "" }

// ParsePosition reads what String wrote and nothing else; the error has the
// code InvalidValue.
func ParsePosition(text string) (Position, error) {
	if p, ok := parsePosition(text); ok {
		return p, nil
	}
	return Position{}, fault.New(fault.InvalidValue, "%q is no position; give one that publish_event or a response returned", abridge(text))
}

func parsePosition(text string) (p Position, ok bool) {
	epoch, rest, ok := strings.Cut(text, ":")
	if !ok || !isEpoch(epoch) {
		return Position{}, false
	}
	if isPlace(rest) {
		return Position{Epoch: epoch, Place: Text(rest)}, true
	}
	offset, missing, some := strings.Cut(rest, "!")
	p = Position{Epoch: epoch}
	if p.Offset, ok = parseOffset(offset); !ok {
		return Position{}, false
	}
	if !some {
		return p, true
	}
	p.Missing = make([]uint64, 0, strings.Count(missing, ",")+1)
	for part := range strings.SplitSeq(missing, ",") {
		m, ok := parseOffset(part)
		if !ok || m >= p.Offset || len(p.Missing) > 0 && m <= p.Missing[len(p.Missing)-1] {
			return Position{}, false
		}
		p.Missing = append(p.Missing, m)
	}
	return p, true
}

// String is the position's text.
func (p Position) String() string { return string(p.AppendText(nil)) }

// AppendText appends the position's text to dst.
func (p Position) AppendText(dst []byte) []byte {
	dst = append(append(dst, p.Epoch...), ':')
	if p.Place != nil {
		return p.Place.AppendText(dst)
	}
	dst = strconv.AppendUint(dst, p.Offset, 10)
	for i, m := range p.Missing {
		separator := byte(',')
		if i == 0 {
			separator = '!'
		}
		dst = strconv.AppendUint(append(dst, separator), m, 10)
	}
	return dst
}

// After is the position reached from p by receiving the event at offset: one that
// p was missing, or a later one.
func (p Position) After(offset uint64) Position {
	after := Position{Epoch: p.Epoch, Offset: max(p.Offset, offset)}
	for _, m := range p.Missing {
		if m != offset {
			after.Missing = append(after.Missing, m)
		}
	}
	return after
}

// Equal tells whether two positions are the same place.
func (p Position) Equal(other Position) bool {
	if p.Place != nil || other.Place != nil {
		return p.String() == other.String()
	}
	return p.Epoch == other.Epoch && p.Offset == other.Offset && slices.Equal(p.Missing, other.Missing)
}

func isEpoch(text string) bool {
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return text != ""
}

// isPlace tells a place's text: it begins with a letter.
func isPlace(text string) bool {
	if text == "" || len(text) > maxPlace || !isLetter(text[0]) {
		return false
	}
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && strings.IndexByte("-_.!,+~*/", c) < 0 {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func isAlphanumeric(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' }

// parseOffset reads decimal digits without sign or leading zeros, so that one
// offset has one text.
func parseOffset(text string) (offset uint64, ok bool) {
	if text == "" || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for i := range len(text) {
		digit := uint64(text[i] - '0')
		if digit > 9 || offset > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		offset = offset*10 + digit
	}
	return offset, true
}
