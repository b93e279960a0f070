package queue

// Overflow says who gives way when a response does not fit.
type Overflow uint8

const (
	// DropOldest removes queued responses from the front, places of answers still
	// being computed included, until the new one fits.
	DropOldest Overflow = iota
	// DropNewest refuses the response that does not fit.
	DropNewest
	// Latest lets a response take the place of the queued one with the same key,
	// pending or not, so that there is one a key. Without one it is DropOldest.
	Latest
	// Block queues the response all the same, as Waiting: the caller waits until it
	// Fits, or takes it out again with Withdraw.
	Block
	// Disconnect queues nothing: the caller is to end the subscription.
	Disconnect
)

// Policy bounds a queue. One value is shared by every queue it governs and is
// not changed while they use it.
type Policy struct {
	MaxResponses int   // queued responses, pending places included; below 1 admits nothing
	MaxBytes     int64 // sum of the queued payloads' lengths; a longer response is never admitted
	Overflow     Overflow
}

func (p *Policy) admits(size int64) bool {
	return p.MaxResponses > 0 && size <= p.MaxBytes
}

// Outcome says what became of a response.
type Outcome uint8

const (
	// Accepted: the response is queued.
	Accepted Outcome = iota
	// Dropped: the response itself was refused, and counts as one drop that is not
	// in the Dropped field.
	Dropped
	// Closed: the queue is closed or finished, the response was not queued; no drop.
	Closed
	// Gone, from Settle only: the place was dropped or its queue closed before the
	// answer came. Whoever did that has counted it.
	Gone
	// Waiting, under Block only: the response is queued beyond the bound.
	Waiting
	// Overflowed, under Disconnect only: Dropped, and the subscription is to end.
	Overflowed
)

// Result reports one Push or Settle. Each response that leaves a queue unread is
// reported exactly once: in the Dropped field of the call that removed it, as its
// own outcome Dropped or Overflowed, by Withdraw, or in what Close returns.
type Result struct {
	Outcome Outcome
	Dropped int    // other responses, older ones, removed to make room
	Place   uint64 // of a Waiting response, for Fits and Withdraw
}

// Drops returns how many drops the call has to be counted with.
func (r Result) Drops() int {
	if r.Outcome == Dropped || r.Outcome == Overflowed {
		return r.Dropped + 1
	}
	return r.Dropped
}
