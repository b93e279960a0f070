package api

import (
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
)

// NextEvent appends the subscription's oldest response to the list at outAddress
// and returns 1, or 0 when there is none.
func NextEvent(handle int, id string, outAddress int) (count int, err error) {
	return NextEvents(handle, id, outAddress, 1)
}

// NextEvents appends at most maximum responses, oldest first, to the list at
// outAddress and returns how many. Fewer than maximum re-arm the subscription for
// its consumer's descriptor. One that the server ended is not found any more once it
// has been read to its end.
func NextEvents(handle int, id string, outAddress, maximum int) (count int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	s, err := e.Find(t, id)
	if err != nil {
		return 0, err
	}
	batch, err := e.NextResponses(t, s, maximum)
	if err != nil {
		return 0, err
	}
	defer batch.Recycle()
	return len(batch.Entries), bridge.ListAt(outAddress).AppendBytes(batch)
}

// Drain clears a consumer's descriptor and appends to the list at outAddress at
// most maximum (id, bytes) tuples, fair between ready subscriptions, and a
// (ticket, None) for every publish that completed. Of subscriptions that are read as text
// the ids go to the list at namesAddress, and a str each to that at textsAddress. It returns
// how many it appended.
func Drain(handle, consumer, outAddress, namesAddress, textsAddress, maximum int) (count int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	batch, err := e.Drain(t, consumer, maximum)
	if err != nil {
		return 0, err
	}
	defer batch.Recycle()
	list := bridge.ListAt(outAddress)
	for _, ticket := range batch.Tickets {
		if err := list.AppendTicket(ticket); err != nil {
			return 0, err
		}
	}
	return len(batch.Entries) + len(batch.Tickets), list.AppendPairs(bridge.ListAt(namesAddress), bridge.ListAt(textsAddress), batch)
}

// OpenConsumer makes a consumer with a descriptor of its own and returns its number.
func OpenConsumer(handle int) (consumer int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	return e.Executor.OpenConsumer(t)
}

// CloseConsumer closes a consumer and its descriptor.
func CloseConsumer(handle, consumer int) (_ int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	e.Executor.CloseConsumer(t, consumer)
	return 0, nil
}

// ConsumerFd is the descriptor that is readable while the consumer has something
// to drain. Consumer 0 is the plain side.
func ConsumerFd(handle, consumer int) (descriptor int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	return e.Descriptor(t, consumer)
}

// Signal makes a consumer's descriptor readable, if it is open.
func Signal(handle, consumer int) (_ int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	e.Executor.Signal(t, consumer)
	return 0, nil
}

// Hold keeps back what is queued for eager subscriptions, whose ids stand on a line each,
// until NextEvents finds them empty.
func Hold(handle int, ids string) (_ int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	e.Executor.Hold(t, strings.SplitSeq(ids, "\n"))
	return 0, nil
}

// How a consumer reads a subscription.
const (
	_     = iota // it is handed out again after NextEvents
	eager        // it is handed out again by itself
	texts        // likewise, and as str
)

// Attach gives a subscription's responses to a consumer.
func Attach(handle int, id string, consumer, how int) (_ int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	return 0, e.Executor.Attach(t, id, consumer, how >= eager, how == texts)
}

// SubscriptionsByChannel appends to the list at outAddress the ids of the
// subscriptions that an event on the channel would reach, and returns how many.
func SubscriptionsByChannel(handle int, channel string, outAddress int) (count int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	var ids []string
	t.Unlocked(func() { ids, err = e.Executor.SubscriptionsByChannel(channel) })
	if err != nil {
		return 0, err
	}
	list := bridge.ListAt(outAddress)
	for _, id := range ids {
		if err := list.AppendText(id); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}
