package postgres

import (
	"math"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// epoch is one unbroken history of the outbox, as this process has met them: number
// counts up from 1.
type epoch struct {
	name   string
	number uint64
}

// mark is how far the outbox has been read: every event up to seq has been, or does
// not exist.
type mark struct {
	epoch *epoch
	seq   uint64
}

// position is the place of a client that has received everything up to m.
func (m mark) position() event.Position {
	return event.Position{Epoch: m.epoch.name, Offset: m.seq}
}

// ahead is the place of a client that has received everything up to final, and of what
// comes later the event with the number seq alone: an event was accepted while others
// with lower numbers were still on their way. Its text is "u12+15".
type ahead struct{ final, seq uint64 }

// AppendText implements event.Place.
func (a ahead) AppendText(dst []byte) []byte {
	dst = strconv.AppendUint(append(dst, 'u'), a.final, 10)
	return strconv.AppendUint(append(dst, '+'), a.seq, 10)
}

// since is what a client has received, as History asks for it.
type since struct {
	final   uint64   // everything up to here
	also    uint64   // and this one, 0 for none
	missing []uint64 // but these
}

// newest is the highest number that the client has received.
func (s since) newest() uint64 { return max(s.final, s.also) }

// oldest is the number that nothing may have been pruned beyond.
func (s since) oldest() uint64 {
	if len(s.missing) > 0 {
		return s.missing[0] - 1
	}
	return s.final
}

// readSince reads a position; ok is false for text that is not of this package.
func readSince(p event.Position) (s since, ok bool) {
	if p.Place == nil {
		first := len(p.Missing) > 0 && p.Missing[0] == 0 // numbers begin with 1
		return since{final: p.Offset, missing: p.Missing}, !first && p.Offset <= math.MaxInt64
	}
	text := string(p.Place.AppendText(nil))
	if text == "" || text[0] != 'u' {
		return since{}, false
	}
	final, seq, _ := strings.Cut(text[1:], "+")
	if s.final, ok = parseSeq(final); !ok {
		return since{}, false
	}
	if s.also, ok = parseSeq(seq); !ok || s.also <= s.final {
		return since{}, false
	}
	return s, true
}

// parseSeq reads a number as the outbox gives it: a positive bigint, or 0.
func parseSeq(text string) (uint64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return uint64(n), err == nil && n >= 0 && strconv.FormatInt(n, 10) == text
}

// Reached implements remote.Server.
func (s *Server) Reached(at remote.Mark, pending []remote.Item) event.Position {
	m := at.(mark)
	p := m.position()
	for _, item := range pending {
		// What is pending of an earlier epoch has no number in this one.
		if one := item.Mark.(mark); one.epoch == m.epoch && one.seq <= m.seq {
			p.Missing = append(p.Missing, one.seq)
		}
	}
	for n := len(p.Missing); n > 0 && p.Missing[n-1] == p.Offset; n-- {
		// The newest is not missing but still to come.
		p.Missing, p.Offset = p.Missing[:n-1], p.Offset-1
	}
	if len(p.Missing) == 0 {
		p.Missing = nil
	}
	return p
}

// After implements remote.Server.
func (s *Server) After(at event.Position, item remote.Item) event.Position {
	m := item.Mark.(mark)
	had, ok := readSince(at)
	switch {
	case at.Epoch != m.epoch.name || !ok:
		return m.position()
	case had.also == 0:
		return at.After(m.seq)
	case m.seq < had.also:
		at.Place = ahead{m.seq, had.also}
		return at
	}
	return m.position()
}

// Covers implements remote.Server. A later epoch covers an earlier one: nothing of
// that can be read any more.
func (s *Server) Covers(at, one remote.Mark) bool {
	a, o := at.(mark), one.(mark)
	if a.epoch.number != o.epoch.number {
		return a.epoch.number > o.epoch.number
	}
	return a.seq >= o.seq
}
