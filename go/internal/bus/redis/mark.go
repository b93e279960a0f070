package redis

import (
	"cmp"
	"slices"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// mark is a place in the order in which the streams are read. Where the mark of an
// entry is needed before the entry is, as Follow's is, only wake is set. A mark is not
// changed once it has been handed out.
type mark struct {
	epoch string
	at    place
	// wake is the number of the newest wake-up of this node that was read.
	wake uint64
	// channel and id are of the entry that was read last, if it was one of a channel.
	channel uint64
	id      streamID
}

// Covers implements remote.Server.
func (s *Server) Covers(at, one remote.Mark) bool {
	reader, wanted := at.(*mark), one.(*mark)
	return reader.wake >= wanted.wake && reader.at.includes(wanted.at)
}

// Reached implements remote.Server.
func (s *Server) Reached(at remote.Mark, pending []remote.Item) event.Position {
	reader := at.(*mark)
	if len(pending) == 0 {
		return event.Position{Epoch: reader.epoch, Place: reader}
	}
	lags := make([]lag, len(pending))
	for i, item := range pending {
		one := item.Mark.(*mark)
		lags[i] = lag{one.channel, one.id}
	}
	slices.SortFunc(lags, func(a, b lag) int { return cmp.Compare(a.channel, b.channel) })
	return event.Position{Epoch: reader.epoch, Place: &cursor{at: reader.at, lags: lags}}
}

// cursor is that of a client that has received everything up to a mark.
func (m *mark) cursor() *cursor { return &cursor{at: m.at} }

// AppendText implements event.Place.
func (m *mark) AppendText(dst []byte) []byte { return m.cursor().AppendText(dst) }

// After implements remote.Server.
func (s *Server) After(at event.Position, item remote.Item) event.Position {
	one := item.Mark.(*mark)
	c, err := cursorOf(at)
	if err != nil { // History has read it before
		c = &cursor{}
	}
	return event.Position{Epoch: one.epoch, Place: c.after(one.channel, one.id)}
}
