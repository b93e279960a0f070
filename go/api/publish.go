package api

import (
	"strconv"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// Flags of a publish. The bits above are the number of the consumer that is told
// of completion.
const (
	flagLoop     = 1 // the calling thread runs an event loop: never wait
	flagAccepted = 2 // wait for acceptance only
	flagTicket   = 4 // tell the consumer when the event has been dispatched
	flagBits     = 3
)

// PublishEvent publishes one event whose data is the bytes object at dataAddress.
// It returns the position, followed by a space and a ticket when the event is
// accepted but still to be dispatched and the caller is to wait for that. Where a
// server decides, there is no position yet: Outcome tells.
func PublishEvent(handle int, eventType, channel string, dataAddress int, correlationID, eventID string, flags int) (receipt string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	data, err := bridge.View(dataAddress)
	if err != nil {
		return "", err
	}
	ev, err := event.Make(time.Now(), eventType, channel, data, correlationID, eventID)
	if err != nil {
		return "", err
	}
	return publish(e, t, []*event.Event{ev}, flags)
}

// PublishEvents publishes the events of the list at eventsAddress, each a tuple
// (event_type, channel, anything) or (event_type, channel, anything, correlation_id, event_id), with
// the data that the bytes object at dataAddress has (see event.Batch): all or none. It returns their
// receipts, separated by newlines.
func PublishEvents(handle, eventsAddress, dataAddress, flags int) (receipts string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	data, err := bridge.View(dataAddress)
	if err != nil {
		return "", err
	}
	list := bridge.ListAt(eventsAddress)
	events := make([]*event.Event, list.Len())
	batch := event.NewBatch(time.Now(), data, len(events))
	err = list.Events(func(i int, one *bridge.Event) (err error) {
		events[i], err = batch.Make(one.Type, one.Channel, one.CorrelationID, one.ID)
		return err
	})
	if err != nil {
		return "", err
	}
	return publish(e, t, events, flags)
}

func publish(e *engine, t *bus.Thread, events []*event.Event, flags int) (string, error) {
	wait := bus.WaitDispatched
	if flags&flagAccepted != 0 {
		wait = bus.WaitAccepted
	}
	if !t.Nested() {
		t.Loop = flags&flagLoop != 0
		if flags&flagTicket != 0 {
			t.Finish = e.Completion(flags >> flagBits)
		}
	}
	t.Awaits = flags&flagLoop == 0
	memory, some := e.answers.Get().(*answer)
	if !some {
		memory = new(answer)
	}
	t.Receipts = memory.receipts
	receipts, err := e.PublishWithExecutor(t, events, wait)
	if err != nil {
		return "", err
	}
	text := memory.text[:0]
	for i := range receipts {
		if i > 0 {
			text = append(text, '\n')
		}
		if !receipts[i].Position.IsZero() {
			text = receipts[i].Position.AppendText(text)
		}
		if receipts[i].Ticket != 0 {
			text = append(text, ' ')
			text = strconv.AppendUint(text, receipts[i].Ticket, 10)
		}
	}
	told := string(text)
	if len(receipts) <= maxReceipts {
		memory.receipts, memory.text = receipts, text
		e.answers.Put(memory)
	}
	return told, nil
}

// maxReceipts is the number from which the memory of an answer is not kept.
const maxReceipts = 1024

// answer is the memory of what a publish is answered.
type answer struct {
	receipts []bus.Receipt
	text     []byte
}

// AwaitDispatch waits at most timeoutMs milliseconds for the event behind a
// ticket: 1 when it has been dispatched, 0 when not yet, 2 when it has been and some
// of its responses wait for room in their queues.
func AwaitDispatch(handle, ticket, timeoutMs int) (dispatched int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	if !e.Await(t, uint64(ticket), milliseconds(timeoutMs)) {
		return 0, nil
	}
	if !e.HasRoom(t, uint64(ticket)) {
		return 2, nil
	}
	return 1, nil
}

// Outcome is what became of an event whose receipt had no position: its position, ""
// while it is not known. Asked after AwaitDispatch, or the consumer's report, has said
// that it is done, it ends the ticket.
func Outcome(handle, ticket int) (position string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	at, err := e.Executor.Outcome(t, uint64(ticket))
	if err != nil || at.IsZero() {
		return "", err
	}
	return at.String(), nil
}

// Settled is Outcome for count tickets that follow each other, one a line, as far as
// nothing has to be waited for: it stops before the first that has.
func Settled(handle, ticket, count int) (positions string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	text := make([]byte, 0, 32*count)
	for number := uint64(ticket); number < uint64(ticket+count); number++ {
		if !e.Await(t, number, 0) || !e.HasRoom(t, number) {
			break
		}
		at, err := e.Executor.Outcome(t, number)
		if err != nil {
			return "", err
		}
		if len(text) > 0 {
			text = append(text, '\n')
		}
		text = at.AppendText(text)
	}
	return string(text), nil
}

// AwaitRoom waits at most timeoutMs milliseconds until no response of the event
// behind a ticket waits for room: 1, or 0 when not yet.
func AwaitRoom(handle, ticket, timeoutMs int) (settled int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	return truth(e.AwaitRoom(t, uint64(ticket), milliseconds(timeoutMs))), nil
}

// ForsakeDispatch gives up waiting for a ticket: the engine dispatches the event,
// and drops what does not fit.
func ForsakeDispatch(handle, ticket int) (_ int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	e.Forsake(t, uint64(ticket))
	return 0, nil
}

// Settle brings the answer of an async resolver, the bytes object at valueAddress:
// 1, or 0 when nobody waits for it any more. kind: 0 data, 1 execution result, 2
// error message.
func Settle(handle, ticket, kind, valueAddress int) (taken int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	value, err := bridge.Bytes(valueAddress)
	if err != nil {
		return 0, err
	}
	return truth(e.Executor.Settle(t, uint64(ticket), executor.Result{Kind: executor.Kind(kind), Value: value})), nil
}
