package channel

import (
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

type kind uint8

const (
	exact kind = iota
	wild
	everything
)

// Pattern says which channels a subscription listens to. It is immutable, safe
// for concurrent use, and comparable: equal patterns were written alike. The
// zero Pattern matches no channel that can be published on.
type Pattern struct {
	text string
	kind kind
}

// ParsePattern reads a pattern: a channel name in which a segment may be "*"
// (any one segment) and the last may be ">" (one or more segments); "*" alone is
// every channel. A wildcard is a whole segment. The pattern keeps a copy of text.
// The error is a *fault.Error with code fault.InvalidValue.
func ParsePattern(text string) (Pattern, error) {
	if err := checkText("channel pattern", text); err != nil {
		return Pattern{}, err
	}
	text = strings.Clone(text) // it may be a small part of something large
	if text == "*" || text == ">" {
		return Pattern{text: text, kind: everything}, nil
	}
	p := Pattern{text: text}
	for start := 0; start < len(text); {
		end := start + segmentEnd(text[start:])
		segment := text[start:end]
		switch {
		case segment == ">" && end < len(text):
			return Pattern{}, fault.New(fault.InvalidValue,
				"channel pattern %q has '>' before its end; '>' stands for all remaining segments and comes last", text)
		case segment == "*" || segment == ">":
			p.kind = wild
		case strings.ContainsAny(segment, "*>"):
			return Pattern{}, fault.New(fault.InvalidValue,
				"channel pattern %q has a wildcard inside the segment %q; a wildcard is a whole segment", text, segment)
		}
		start = end + 1
	}
	return p, nil
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Name is the one channel that the pattern matches; single is false if it has a wildcard.
func (p Pattern) Name() (name string, single bool) { return p.text, p.kind == exact }

// Match reports whether an event published on name reaches the pattern. name
// must satisfy Validate. It doesn't allocate.
func (p Pattern) Match(name string) bool {
	switch p.kind {
	case exact:
		return p.text == name
	case everything:
		return true
	}
	pattern := p.text
	for {
		i, j := segmentEnd(pattern), segmentEnd(name)
		segment := pattern[:i]
		if segment == ">" {
			return true
		}
		if segment != "*" && segment != name[:j] {
			return false
		}
		if i == len(pattern) || j == len(name) {
			return i == len(pattern) && j == len(name)
		}
		if pattern[i] != name[j] {
			return false
		}
		pattern, name = pattern[i+1:], name[j+1:]
	}
}
