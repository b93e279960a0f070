package queue

import "math"

// Response is what a queue holds: the finished bytes of an answer, or the place
// of an answer that is still being computed.
//
// A ready response is immutable and may lie in any number of queues at once: the
// members of a group share one. A pending one belongs to the single queue it is
// pushed to.
type Response struct {
	payload []byte
	key     string
	// place is 0 in a ready response. In a pending one it is unplaced until it is
	// pushed, then 1 + the index of its cell; the pushing goroutine writes it
	// before it publishes the cell, and nobody does afterwards.
	place uint64
}

const unplaced = math.MaxUint64

// Ready returns a response of finished bytes, which the caller must not change
// afterwards.
func Ready(payload []byte) *Response {
	return &Response{payload: payload}
}

// ReadyKeyed is Ready with the key by which the policy Latest tells what it
// replaces.
func ReadyKeyed(payload []byte, key string) *Response {
	return &Response{payload: payload, key: key}
}

// Pending returns a place for an answer that comes later: push it, then give it
// to [Queue.Settle] with the answer. It holds back every response behind it and
// counts as one response of no bytes.
func Pending() *Response { return PendingKeyed("") }

// PendingKeyed is Pending with a key. The answer takes the key of its place.
func PendingKeyed(key string) *Response {
	return &Response{key: key, place: unplaced}
}

// Payload returns the response's bytes, shared and not to be changed; nil while
// it is pending.
func (r *Response) Payload() []byte { return r.payload }

func (r *Response) size() int64     { return int64(len(r.payload)) }
func (r *Response) isPending() bool { return r.place != 0 }
