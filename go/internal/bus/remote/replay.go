package remote

import (
	"context"
	"errors"
	"slices"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// recording is what is read while a history is being asked for. It lives as long as one
// question may take.
type recording struct{ items []Item }

// Replay implements bus.Bus. The server's history reaches up to what had been read when
// it was asked, and what is read meanwhile is recorded: so the two meet exactly, and
// only what came meanwhile is put behind it while nothing is accepted.
func (b *Bus) Replay(t *bus.Thread, since event.Position, patterns []channel.Pattern, begin func([]bus.Replayed, uint64, bool)) (err error) {
	t.Unlocked(func() {
		ctx, cancel := b.question(t)
		defer cancel()
		if err = b.replay(ctx, since, patterns, begin); err != nil {
			err = b.failure(err)
		}
	})
	return err
}

func (b *Bus) replay(ctx context.Context, since event.Position, patterns []channel.Pattern, begin func([]bus.Replayed, uint64, bool)) error {
	past, recorded, err := b.history(ctx, since, patterns)
	if err != nil && !errors.Is(err, ErrUnrecovered) {
		return err
	}
	replayed := b.follows(nil, since, past)
	if len(replayed) > 0 {
		since = replayed[len(replayed)-1].At
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		begin(nil, b.lanes.last, false)
		return nil
	}
	meanwhile := slices.DeleteFunc(recorded.items, func(item Item) bool {
		return !slices.ContainsFunc(patterns, func(p channel.Pattern) bool { return p.Match(item.Event.Channel) })
	})
	b.forget(recorded)
	begin(b.follows(replayed, since, meanwhile), b.lanes.last, true)
	return nil
}

// follows appends items with the positions of a client that receives them from since on.
func (b *Bus) follows(replayed []bus.Replayed, since event.Position, items []Item) []bus.Replayed {
	for _, item := range items {
		since = b.server.After(since, item)
		replayed = append(replayed, bus.Replayed{Event: item.Event, At: since})
	}
	return replayed
}

// history asks for what came after since, up to now, and records from now on; not when
// it fails.
func (b *Bus) history(ctx context.Context, since event.Position, patterns []channel.Pattern) ([]Item, *recording, error) {
	if err := b.link.await(ctx); err != nil {
		return nil, nil, err
	}
	mark, err := b.server.CatchUp(ctx, since)
	if err != nil {
		return nil, nil, err
	}
	if mark != nil {
		if err := b.pass(ctx, mark); err != nil {
			return nil, nil, err
		}
	}
	made := &recording{}
	b.mu.Lock()
	until := b.lanes.read
	b.records = append(b.records, made)
	b.mu.Unlock()
	past, err := b.server.History(ctx, since, until, patterns)
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.forget(made)
		return nil, nil, err
	}
	return past, made, nil
}

// forget ends a recording. b.mu is held.
func (b *Bus) forget(one *recording) {
	b.records = slices.DeleteFunc(b.records, func(other *recording) bool { return other == one })
}
