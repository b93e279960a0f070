package event

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// newest is the time in the newest id, in 4096ths of a millisecond since 1970.
var newest atomic.Int64

// newID is a new UUIDv7 (RFC 9562, 5.7) and the milliseconds since 1970 in it. Ids of one
// process ascend in the order they were made, across goroutines too: every time, which goes on
// in the 12 bits behind the milliseconds (6.2, method 3), is handed out only once. The rest
// is from the runtime's own ChaCha8 generator, which the system's randomness seeds and which
// needs no lock: an id must be unique, it is no secret. This takes 91 ns and one allocation;
// github.com/google/uuid, given the same generator, 150 and two, which was 4% of a publish.
func newID() (id string, milliseconds int64) {
	now := time.Now()
	at := now.UnixMilli()<<12 | int64(now.Nanosecond()%1e6)<<12/1e6
	for {
		last := newest.Load()
		at = max(at, last+1)
		if newest.CompareAndSwap(last, at) {
			break
		}
	}
	milliseconds = at >> 12
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], uint64(milliseconds)<<16|7<<12|uint64(at)&0xfff)
	binary.BigEndian.PutUint64(raw[8:], 1<<63|rand.Uint64()>>2)
	var text [36]byte
	hex.Encode(text[:8], raw[:4])
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:], raw[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:]), milliseconds
}
