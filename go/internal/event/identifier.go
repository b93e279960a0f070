package event

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// newest is the time in the newest id, in 4096ths of a millisecond since 1970.
var newest atomic.Int64

// idBytes is the length of an id's text.
const idBytes = 36

// appendID appends the text of a new UUIDv7 (RFC 9562, 5.7) of the time now, and returns the
// milliseconds since 1970 in it. Ids of one process ascend in the order they were made, across
// goroutines too, also where now is some time ago: every time, which goes on
// in the 12 bits behind the milliseconds (6.2, method 3), is handed out only once. The rest
// is from the runtime's own ChaCha8 generator, which the system's randomness seeds and which
// needs no lock: an id must be unique, it is no secret.
func appendID(dst []byte, now time.Time) (text []byte, milliseconds int64) {
	at := now.UnixMilli()<<12 | int64(now.Nanosecond()%1e6)<<12/1e6
	for {
		last := newest.Load()
		at = max(at, last+1)
		if newest.CompareAndSwap(last, at) {
			break
		}
	}
	milliseconds = at >> 12
	var made uuid.UUID
	binary.BigEndian.PutUint64(made[:], uint64(milliseconds)<<16|7<<12|uint64(at)&0xfff)
	binary.BigEndian.PutUint64(made[8:], 1<<63|rand.Uint64()>>2)
	written, _ := made.MarshalText() // it never fails, and stays on the stack
	return append(dst, written...), milliseconds
}
