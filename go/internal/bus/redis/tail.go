// Package redis reads events from Redis Streams, one stream a channel, in one order
// for every node.
package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

const (
	streamPrefix = "fraiseql:events:"
	dataField    = "data" // of an entry: the event's JSON
	// batch is how many entries of a stream are read at once.
	batch = 100
)

// entry is one of a stream. event is nil where the entry is none; wrong says why.
type entry struct {
	channel string
	id      streamID
	event   *event.Event
	wrong   error
}

// tail reads the streams that it follows, in the order of the entries' times; those
// of one millisecond in the order in which they became readable. Not safe for
// concurrent use.
//
// Redis gives ids by its clock and executes one command at a time. So a command that
// shows an entry of time t shows every entry of an earlier time, of whatever stream,
// unless the clock went back, and but for those that COUNT cuts off: tail keeps
// what is later than the end of a stream that was cut off, until it knows the rest.
type tail struct {
	last map[string]streamID // of each followed channel: the newest entry read
	kept []entry             // read, and not given yet: ordered
	at   place               // after the newest entry given
	back uint64              // entries that were older than what had been given: the clock went back
}

func newTail() *tail { return &tail{last: make(map[string]streamID)} }

// follow reads a channel's entries after an id from now on.
func (t *tail) follow(channel string, after streamID) { t.last[channel] = after }

// forget stops reading a channel; none of its entries is given any more.
func (t *tail) forget(channel string) {
	delete(t.last, channel)
	t.kept = slices.DeleteFunc(t.kept, func(e entry) bool { return e.channel == channel })
}

// next waits at most patience for entries, and gives those that are there. more: there
// may be others at once. The error is a server's or the connection's; nothing is lost
// by it.
func (t *tail) next(ctx context.Context, client redis.Cmdable, patience time.Duration) (entries []entry, more bool, err error) {
	if len(t.last) == 0 {
		return nil, false, nil
	}
	found, err := client.XRead(ctx, t.request(patience)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, false, err
	}
	var limit *streamID // of the streams that were cut off, the end that comes first
	for _, stream := range found {
		channel := strings.TrimPrefix(stream.Stream, streamPrefix)
		for _, message := range stream.Messages {
			e, err := parseEntry(channel, message)
			if err != nil {
				return nil, false, err
			}
			t.last[channel] = e.id
			t.kept = append(t.kept, e)
		}
		if len(stream.Messages) < batch {
			continue
		}
		if end := t.last[channel]; limit == nil || end.compare(*limit) < 0 {
			limit = &end
		}
	}
	return t.give(limit), limit != nil, nil
}

func (t *tail) request(patience time.Duration) *redis.XReadArgs {
	if len(t.kept) > 0 {
		patience = -1 // without BLOCK
	}
	keys := make([]string, 0, 2*len(t.last))
	ids := make([]string, 0, len(t.last))
	for channel, last := range t.last {
		keys = append(keys, streamPrefix+channel)
		ids = append(ids, last.String())
	}
	return &redis.XReadArgs{Streams: append(keys, ids...), Count: batch, Block: patience}
}

// give takes out what is not later than limit; nil for everything.
func (t *tail) give(limit *streamID) []entry {
	slices.SortStableFunc(t.kept, func(a, b entry) int {
		if order := a.id.compare(b.id); order != 0 {
			return order
		}
		return strings.Compare(a.channel, b.channel)
	})
	end := len(t.kept)
	if limit != nil {
		// Entries of the limit's own millisecond may follow in the stream cut off.
		end, _ = slices.BinarySearchFunc(t.kept, limit.ms+1, func(e entry, ms uint64) int {
			if e.id.ms < ms {
				return -1
			}
			return 1
		})
	}
	given := slices.Clone(t.kept[:end])
	t.kept = slices.Delete(t.kept, 0, end)
	for i := range given {
		if e := &given[i]; e.id.ms < t.at.ms {
			t.back++
		} else {
			t.at = t.at.pass(e.channel, e.id)
		}
	}
	return given
}

// parseEntry reads what XADD wrote. An error means that Redis broke its own format; an
// entry that is no event is given, with what is wrong.
func parseEntry(channel string, message redis.XMessage) (entry, error) {
	id, ok := parseID(message.ID)
	if !ok {
		return entry{}, fmt.Errorf("the stream of %q has an entry of the id %q", channel, message.ID)
	}
	e := entry{channel: channel, id: id}
	text, ok := message.Values[dataField].(string)
	if !ok {
		e.wrong = fmt.Errorf("it has no field %q", dataField)
		return e, nil
	}
	ev, err := event.Decode([]byte(text))
	switch {
	case err != nil:
		e.wrong = err
	case ev.Channel != channel:
		e.wrong = fmt.Errorf("its event is of the channel %q", ev.Channel)
	default:
		e.event = ev
	}
	return e, nil
}
