package redis

import (
	"context"
	"errors"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
)

// turn is a call of Publish, in the order in which they have the connection. While one has it, the
// next one packs.
type turn struct {
	outgoing *outgoing
	parcel   *parcel
	before   *turn // nil: nobody's, or its end has been seen
	ended    chan struct{}
	// open is, once it has ended, why something is to be tried again before what was published later; nil: nothing is.
	open error
}

var errPanicked = errors.New("publishing it panicked")

// Turn implements remote.Pipeliner.
func (s *Server) Turn(before remote.Turn) remote.Turn {
	o := &s.outgoing
	made := &turn{outgoing: o, parcel: &o.parcels[0], ended: make(chan struct{})}
	if other, ok := before.(*turn); ok {
		if made.before = other; other.parcel == made.parcel {
			made.parcel = &o.parcels[1]
		}
	}
	return made
}

// Publish implements remote.Turn.
func (t *turn) Publish(ctx context.Context, requests []*remote.Request) {
	defer t.Leave()
	t.open = errPanicked
	t.open = t.outgoing.publish(ctx, t, requests)
}

// waits reports whether another one has the connection.
func (t *turn) waits() bool {
	if t.before == nil {
		return false
	}
	select {
	case <-t.before.ended:
		return false
	default:
		return true
	}
}

// await waits for the connection. behind is why something else is to be tried again first.
func (t *turn) await() (behind error) {
	if t.before != nil {
		<-t.before.ended
		behind = t.before.open
		t.before = nil
	}
	return behind
}

// Leave implements remote.Turn.
func (t *turn) Leave() {
	t.await()
	select {
	case <-t.ended:
	default:
		close(t.ended)
	}
}
