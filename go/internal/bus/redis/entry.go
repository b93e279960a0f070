package redis

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// Keys, all of them in the database of the URL.
const (
	keyPrefix    = "fraiseql:"
	streamPrefix = keyPrefix + "events:"       // a channel's events
	channelsKey  = keyPrefix + "channels"      // a stream: announcements of channels, and of epochs
	usedKey      = keyPrefix + "channels:used" // a sorted set: channels by the time of their newest announcement
	floorsKey    = keyPrefix + "floors"        // a hash: what was trimmed from a channel's stream
	epochKey     = keyPrefix + "epoch"
	scannerKey   = keyPrefix + "scanner" // which node looks for streams that nobody announced
	wakePrefix   = keyPrefix + "wake:"   // a stream for each node
	idPrefix     = keyPrefix + "ids:"    // where an event with a chosen id is
)

const dataField = "data" // of an entry: the event's JSON

// entry is one of a stream that is followed.
type entry struct {
	id     streamID
	from   *stream
	text   []byte       // of an event that is still to be made, in the memory of the answer
	event  *event.Event // nil where the entry is none; wrong says why
	wrong  error
	notice *notice // of the bus's own streams
	mark   *mark   // after it, once it has been given
}

// notice is what the bus tells its nodes, or a node itself, amid the events.
type notice struct {
	announced string // a channel that is in use
	added     int64  // entries of it until then; -1: unknown
	found     bool   // its events were not announced before they were written
	epoch     string // the new one
	lost      bool   // because events were lost
	news      bool   // it is another one than was known
	wake      uint64 // a number of this node's
	follow    []start
}

// isLoss reports whether events have been lost, and that is new.
func (n *notice) isLoss() bool { return n != nil && n.lost && n.news }

// start is a channel to be followed, and the newest id that is history. exists: it is an
// entry's. added is how many entries there have been.
type start struct {
	channel string
	after   streamID
	exists  bool
	added   int64
}

// rank is the order of entries of one millisecond, where their own order is not known: a
// channel is announced before anything that may need it.
func (e *entry) rank() int {
	switch {
	case e.notice == nil:
		return 2
	case e.notice.wake != 0:
		return 1
	default:
		return 0
	}
}

// parseEntry reads what XADD wrote, and keeps it; its event is made by readEvents. An error
// means that Redis broke its own format; an entry that is no event is given, with what is wrong.
func parseEntry(from *stream, id []byte, values fields) (entry, error) {
	e := entry{from: from}
	var ok bool
	if e.id, ok = parseID(id); !ok {
		return entry{}, fmt.Errorf("the stream %q has an entry of the id %.40q", from.key, id)
	}
	if from.channel == "" {
		e.notice = parseNotice(values)
		return e, nil
	}
	if e.text, ok = values.get(dataField); !ok {
		e.wrong = fmt.Errorf("it has no field %q", dataField)
	}
	return e, nil
}

// readEvents makes the events of entries, but for those that are known, and reports whether any
// lies in the memory of the answer.
func readEvents(entries []entry) (kept bool) {
	for i := range entries {
		e := &entries[i]
		if e.text == nil {
			continue
		}
		ev, err := event.Decode(e.text)
		e.text = nil
		switch {
		case err != nil:
			e.wrong = err
		case ev.Channel != e.from.channel:
			e.wrong = fmt.Errorf("its event is of the channel %q", ev.Channel)
		default:
			e.event, kept = ev, true
		}
	}
	return kept
}

// parseNotice reads what the scripts wrote. What it does not know says nothing.
func parseNotice(values fields) *notice {
	text := func(name string) string {
		value, _ := values.get(name)
		return string(value)
	}
	n := &notice{announced: text("channel"), found: text("found") != "", epoch: text("epoch"), lost: text("lost") != ""}
	n.added = parseCount(text("added"))
	n.wake, _ = strconv.ParseUint(text("wake"), 10, 64)
	for line := range strings.Lines(text("follow")) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if after, ok := parseID([]byte(parts[0])); ok && len(parts) == 4 {
			n.follow = append(n.follow, start{parts[3], after, parts[1] == "1", parseCount(parts[2])})
		}
	}
	return n
}

// channel is the entry's, "" for the streams of the bus's own.
func (e *entry) channel() string { return e.from.channel }

// parseCount reads how many entries there were; -1 where that is not told.
func parseCount(text string) int64 {
	count, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return count
}
