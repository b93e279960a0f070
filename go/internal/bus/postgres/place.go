package postgres

import (
	"cmp"
	"slices"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/received"
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

// Reached implements remote.Server. With too many channels that lag behind, everything is
// received again from the first of them on.
func (s *Server) Reached(at remote.Mark, pending []remote.Item) event.Position {
	m := at.(mark)
	reached := received.Set{UpTo: m.seq}
	for _, item := range pending {
		// What is pending of an earlier epoch has no number in this one.
		if one := item.Mark.(mark); one.epoch == m.epoch && one.seq <= m.seq {
			reached.Lags = append(reached.Lags, received.Lag{Channel: received.Hash(item.Event.Channel), From: one.seq})
		}
	}
	if len(reached.Lags) > received.MostLags {
		reached = received.Set{UpTo: reached.Complete()}
	}
	slices.SortFunc(reached.Lags, func(a, b received.Lag) int { return cmp.Compare(a.From, b.From) })
	return reached.Position(m.epoch.name)
}

// After implements remote.Server.
func (s *Server) After(at event.Position, item remote.Item) event.Position {
	m := item.Mark.(mark)
	had, ok := received.Of(at)
	if at.Epoch != m.epoch.name || !ok {
		had = received.Set{}
	}
	return had.After(m.seq).Position(m.epoch.name)
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
