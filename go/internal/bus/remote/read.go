package remote

import (
	"errors"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// read is the reader's goroutine: it connects, reads and dispatches until the bus
// stops.
func (b *Bus) read() {
	thread := &bus.Thread{}
	var pause pause
	for b.context.Err() == nil {
		if err := b.connect(); err != nil {
			b.lost(err)
			pause.wait(b.context)
			continue
		}
		b.restored()
		for {
			items, err := b.server.Read(b.context)
			if err != nil {
				b.lost(err)
				break
			}
			pause.reset()
			for _, item := range items {
				b.take(thread, item)
			}
		}
		pause.wait(b.context)
	}
}

func (b *Bus) connect() error {
	mark, err := b.server.Open(b.context)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lanes.read == nil {
		b.lanes.read, b.lanes.reached = mark, mark
	}
	return nil
}

func (b *Bus) restored() {
	if b.link.set(nil) {
		b.options.Log.Info("the " + b.server.Name() + " bus is connected")
	}
}

// lost notes that the server is not there. It is logged when that is new.
func (b *Bus) lost(err error) {
	if b.context.Err() != nil || !b.link.set(err) {
		return
	}
	var final *fault.Error
	if errors.As(err, &final) {
		b.options.Log.Error("the "+b.server.Name()+" bus refuses", "cause", final.Text)
		return
	}
	b.options.Log.Warn("the "+b.server.Name()+" bus cannot be reached; trying again", "cause", err.Error())
}

// own are events that this node has published and that have not come back, once.
func (b *Bus) own(ids [][]byte, found []*event.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, id := range ids {
		found[i] = b.outbox.recognise(id)
	}
}

// take gives an item its place in the order, and dispatches its event unless that waits
// behind others in a lane.
func (b *Bus) take(t *bus.Thread, item Item) {
	ev := item.Event
	b.mu.Lock()
	b.lanes.awaitRoom(b.context)
	if item.Lost || item.Skipped != nil {
		var told finishes
		if item.Lost {
			told = b.outbox.lose(b.server.Reached(item.Mark, nil).Epoch)
		} else {
			told = b.outbox.skip(item.Skipped)
		}
		b.stopIfIdle()
		b.mu.Unlock()
		told.tell()
		b.mu.Lock()
	}
	b.lanes.read = item.Mark
	if b.passing != nil {
		close(b.passing)
		b.passing = nil
	}
	if ev == nil {
		b.lanes.reached = item.Mark
		b.mu.Unlock()
		return
	}
	l := b.lanes.accept(item)
	alone := len(b.lanes.byChannel) == 0 // and so it stays: only this goroutine makes lanes
	ev.Publication = b.outbox.cameBack(ev)
	for _, one := range b.records {
		one.items = append(one.items, item)
	}
	b.mu.Unlock()
	if l != nil {
		return
	}
	delivery := b.dispatcher.DispatchEventToSubscriptions(t, ev)
	if delivery.NeedsPython() {
		b.mu.Lock()
		l := b.lanes.begin(item, delivery)
		b.mu.Unlock()
		b.dispatcher.Lend(func(t *bus.Thread) { b.run(t, l) })
		return
	}
	var pending []Item
	if !alone {
		b.mu.Lock()
		pending = b.lanes.oldestPending(nil)
		b.mu.Unlock()
	}
	at := b.server.Reached(item.Mark, pending)
	delivery.Deliver(t, at)
	ev.ReleaseDocument()
	t.HandOver(b.dispatcher.Lend)
	b.mu.Lock()
	b.lanes.finishInHand(item)
	b.finish(item, at)
}

// run dispatches a lane on a thread of the engine, until it is empty.
func (b *Bus) run(t *bus.Thread, l *lane) {
	for {
		b.mu.Lock()
		first := l.first()
		b.mu.Unlock()
		if first == nil {
			break
		}
		if first.delivery == nil {
			first.delivery = b.dispatcher.DispatchEventToSubscriptions(t, first.item.Event)
		}
		t.Lock(&b.mu)
		at := b.server.Reached(b.lanes.reached, b.lanes.oldestPending(l))
		b.mu.Unlock()
		first.delivery.Deliver(t, at)
		first.item.Event.ReleaseDocument()
		t.Lock(&b.mu)
		b.lanes.pop(l)
		b.finish(first.item, at)
	}
	t.Settle()
}

// finish takes a dispatched event off the books, and tells those who wait. b.mu is held
// on entry, and not on return.
func (b *Bus) finish(item Item, at event.Position) {
	finishes := b.outbox.dispatched(item.Event, at)
	var calls []func()
	if len(b.settling) > 0 {
		calls = b.settled()
	}
	b.stopIfIdle()
	b.mu.Unlock()
	finishes.tell()
	for _, call := range calls {
		call()
	}
}
