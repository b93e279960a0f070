// Package channel holds the grammar of channel names and patterns, and the
// index that finds which subscriptions a published channel reaches.
//
// A name is a sequence of segments separated by '.' or ':'. The two separators
// are different characters: "a.b" and "a:b" are two channels. In a pattern, the
// segment "*" stands for any one segment and a last segment ">" for one or more;
// the lone pattern "*" stands for every channel.
//
// Members may say which values they require of an event's fields; the index then
// finds those that an event may satisfy, without looking at the others.
//
// It guarantees that a lookup never blocks, never allocates beyond the caller's
// slice, and costs in proportion to what it finds, and that a member removed from
// the index leaves nothing behind.
package channel

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// MaxBytes is the longest channel name and the longest pattern.
const MaxBytes = 255

// tenantPrefix starts the segment that says whose channel it is.
const tenantPrefix = "tenant-"

// Validate reports why name can't be published on, as a *fault.Error with code
// fault.InvalidValue, or nil. A name has 1 to MaxBytes bytes of valid UTF-8, no
// empty segment, no wildcard, no white space and no control character. It
// doesn't allocate when the name is good.
func Validate(name string) error {
	if err := checkText("channel", name); err != nil {
		return err
	}
	if strings.IndexByte(name, '*') >= 0 || strings.IndexByte(name, '>') >= 0 {
		return fault.New(fault.InvalidValue,
			"channel %q has a wildcard (* or >); wildcards are for subscribing, publish on a full name", name)
	}
	return nil
}

// Tenant is the id in the first segment of name of the form "tenant-<id>", as a
// part of name. ok is false when there is none; "tenant-" alone names nobody.
func Tenant(name string) (id string, ok bool) {
	for start := 0; start < len(name); {
		end := start + segmentEnd(name[start:])
		if id, ok := strings.CutPrefix(name[start:end], tenantPrefix); ok && id != "" {
			return id, true
		}
		start = end + 1
	}
	return "", false
}

// checkText applies what names and patterns have in common. what is the noun
// for the error's sentence.
func checkText(what, text string) error {
	if text == "" {
		return fault.New(fault.InvalidValue, "%s %q is empty; give it at least one segment", what, text)
	}
	if len(text) > MaxBytes {
		return fault.New(fault.InvalidValue, "%s %q… has %d bytes; at most %d are allowed",
			what, strings.ToValidUTF8(text[:40], ""), len(text), MaxBytes)
	}
	atStart := true // of a segment
	for i, r := range text {
		if r == '.' || r == ':' {
			if atStart {
				return emptySegment(what, text)
			}
			atStart = true
			continue
		}
		atStart = false
		switch {
		case r > ' ' && r < 0x7f:
			// Plain ASCII, the usual case.
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			return fault.New(fault.InvalidValue, "%s %q is not valid UTF-8 at byte %d", what, text, i)
		case unicode.IsControl(r):
			return fault.New(fault.InvalidValue, "%s %q has the control character %U at byte %d; remove it", what, text, r, i)
		case unicode.IsSpace(r):
			return fault.New(fault.InvalidValue, "%s %q has white space (%U) at byte %d; remove it", what, text, r, i)
		}
	}
	if atStart {
		return emptySegment(what, text)
	}
	return nil
}

func emptySegment(what, text string) error {
	return fault.New(fault.InvalidValue,
		"%s %q has an empty segment; write something on both sides of every '.' and ':'", what, text)
}

func isSeparator(c byte) bool { return c == '.' || c == ':' }

// segmentEnd is the length of the first segment of text.
func segmentEnd(text string) int {
	for i := 0; i < len(text); i++ {
		if isSeparator(text[i]) {
			return i
		}
	}
	return len(text)
}
