package redis

import (
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// mostDoubts bounds how many events are remembered.
const mostDoubts = 10_000

// doubts are events that may have been accepted: their answers were lost, and their ids are
// noted nowhere at the server, since the publisher had not chosen them. It may publish them
// again by those ids, and then their streams are looked through, from the time that was known
// before. Of who has the turn alone.
type doubts struct {
	after map[string]streamID
	ids   []string // in the order in which they came
}

func (d *doubts) note(ev *event.Event, after streamID) {
	if _, known := d.after[ev.ID]; known || ev.ChosenID {
		return
	}
	if d.after == nil {
		d.after = make(map[string]streamID)
	}
	if len(d.ids) == mostDoubts {
		delete(d.after, d.ids[0])
		d.ids = d.ids[1:]
	}
	id := strings.Clone(ev.ID) // it may lie in the event's memory
	d.after[id] = after
	d.ids = append(d.ids, id)
}
