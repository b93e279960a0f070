package redis

import (
	"math"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
)

// written are the channels that this node publishes on.
type written struct {
	server *Server

	mu         sync.Mutex
	channels   map[string]*channelWritten
	pruned     time.Time
	complaints occasional
}

// channelWritten is one of them.
type channelWritten struct {
	name string
	hash uint64
	// As sent: its name, its stream's key, and XADD and PUBLISH up to the event.
	text, stream, add, publish []byte

	// Of who has the turn: somebody outside listens.
	heard bool
	// Guarded by outgoing.packing: that is being asked; how many events the transaction that is being written adds.
	asked  bool
	adding int
	// The tail's: its stream where it has changed its streams so often; nil: it is not followed.
	followed *stream
	changes  uint64

	// Guarded by written.mu.
	tended time.Time // announced and trimmed
	count  int64     // of events since
	last   streamID
	at     time.Time // of the last
}

func (w *written) open(s *Server) {
	w.server = s
	w.channels = make(map[string]*channelWritten)
}

func newChannelWritten(name string) *channelWritten {
	one := &channelWritten{name: name, hash: hashChannel(name), changes: math.MaxUint64}
	one.stream = appendArgument(nil, streamPrefix+name)
	one.add = append(appendCommand(nil, "XADD", 4), one.stream...)
	one.add = appendArgument(appendArgument(one.add, "*"), dataField)
	one.text = appendArgument(nil, name)
	one.publish = append(appendCommand(nil, "PUBLISH", 2), one.text...)
	return one
}

// visit appends the events of requests, with their channels. Those of channels that have
// not been tended for a while are due.
func (w *written) visit(dst []sending, requests []*remote.Request, now time.Time) []sending {
	options := &w.server.options
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.pruned) > options.tending() {
		w.prune(now)
	}
	for _, r := range requests {
		for _, ev := range r.Events {
			one := w.channels[ev.Channel]
			if one == nil {
				one = newChannelWritten(ev.Channel)
				w.channels[ev.Channel] = one
			}
			one.count++
			one.at = now
			full := options.MaxLen > 0 && one.count > max(options.MaxLen/8, 100)
			due := full || now.Sub(one.tended) >= options.tending()
			if due {
				one.count = 0
				one.tended = now
			}
			dst = append(dst, sending{channel: one, due: due})
		}
	}
	return dst
}

// note keeps what was accepted. A channel that could not be tended is due again.
func (w *written) note(events []sending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range events {
		one := &events[i]
		if !one.id.isZero() && !one.again {
			one.channel.last = one.id
		}
		if one.untold == nil {
			continue
		}
		one.channel.tended = time.Time{}
		if isReply(one.untold) && w.complaints.allow(time.Now()) {
			w.server.options.Log.Warn("a channel cannot be announced and trimmed; it is tried again with its next event", "channel", one.channel.name, "cause", w.server.target.clean(replyOf(one.untold)))
		}
	}
}

// prune forgets channels that nothing was published on for long. w.mu is held.
func (w *written) prune(now time.Time) {
	w.pruned = now
	for name, one := range w.channels {
		if now.Sub(one.at) > w.server.options.horizon() {
			delete(w.channels, name)
		}
	}
}

// newest are the newest events that this node has published, by their channels.
func (w *written) newest() map[string]streamID {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make(map[string]streamID, len(w.channels))
	for name, one := range w.channels {
		if !one.last.isZero() {
			all[name] = one.last
		}
	}
	return all
}

// forget lets every channel be announced again: the announcements are lost.
func (w *written) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.channels)
}
