package channel

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

const (
	shardBits = 6
	minSlots  = 4
)

// table is a hash table from (parent, text) to V with one writer at a time and
// readers that never wait: open addressing with linear probing over atomic
// pointers to entries that never move. A reader that has loaded an array of
// slots finds in it every entry that was there; the writer replaces the array
// when it rehashes. Shards keep each rehash short.
//
// It stands in for sync.Map because that takes twice the time and 70 bytes more
// an entry (BenchmarkSyncMap against BenchmarkTable).
type table[V any] struct {
	live   atomic.Int64 // readers look no further when it is 0
	seed   maphash.Seed // set before live first leaves 0
	grave  entry[V]     // stands where an entry was removed
	shards [1 << shardBits]shard[V]
}

type shard[V any] struct {
	slots atomic.Pointer[[]atomic.Pointer[entry[V]]]
	live  uint32 // entries
	used  uint32 // entries and graves
}

type entry[V any] struct {
	hash   uint64
	parent uint64
	text   string
	value  V
}

// find is the value of (parent, text), or nil. Any goroutine may call it.
func (t *table[V]) find(parent uint64, text string) *V {
	if t.live.Load() == 0 {
		return nil
	}
	hash := t.hash(parent, text)
	array := t.shard(hash).slots.Load()
	if array == nil {
		return nil
	}
	slots := *array
	mask := uint64(len(slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := slots[i].Load()
		if e == nil {
			return nil
		}
		if e.hash == hash && e.parent == parent && e.text == text && e != &t.grave {
			return &e.value
		}
	}
}

// obtain is the value of (parent, text), made if absent; a new one is shown to
// readers only after prepare has run on it.
func (t *table[V]) obtain(parent uint64, text string, prepare func(*V)) *V {
	if v := t.find(parent, text); v != nil {
		return v
	}
	if t.seed == (maphash.Seed{}) {
		t.seed = maphash.MakeSeed()
	}
	e := &entry[V]{hash: t.hash(parent, text), parent: parent, text: text}
	prepare(&e.value)
	s := t.shard(e.hash)
	if array := s.slots.Load(); array == nil || int(s.used+1)*2 > len(*array) {
		t.rehash(s)
	}
	slots := *s.slots.Load()
	mask := uint64(len(slots) - 1)
	for i := e.hash & mask; ; i = (i + 1) & mask {
		old := slots[i].Load()
		if old != nil && old != &t.grave {
			continue
		}
		if old == nil {
			s.used++
		}
		s.live++
		slots[i].Store(e)
		t.live.Add(1)
		return &e.value
	}
}

// remove takes (parent, text) out of the table if it is there.
func (t *table[V]) remove(parent uint64, text string) {
	if t.live.Load() == 0 {
		return
	}
	hash := t.hash(parent, text)
	s := t.shard(hash)
	array := s.slots.Load()
	if array == nil {
		return
	}
	slots := *array
	mask := uint64(len(slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := slots[i].Load()
		if e == nil {
			return
		}
		if e.hash != hash || e.parent != parent || e.text != text || e == &t.grave {
			continue
		}
		slots[i].Store(&t.grave)
		s.live--
		t.live.Add(-1)
		if s.live == 0 {
			s.slots.Store(nil)
			s.used = 0
		} else if len(slots) > minSlots && int(s.live)*8 < len(slots) {
			t.rehash(s)
		}
		return
	}
}

// rehash gives s a new array, without graves and at most three eighths full.
func (t *table[V]) rehash(s *shard[V]) {
	size := max(minSlots, 1<<bits.Len(uint(s.live+1)*8/3))
	slots := make([]atomic.Pointer[entry[V]], size)
	mask := uint64(size - 1)
	if old := s.slots.Load(); old != nil {
		for i := range *old {
			e := (*old)[i].Load()
			if e == nil || e == &t.grave {
				continue
			}
			at := e.hash & mask
			for slots[at].Load() != nil {
				at = (at + 1) & mask
			}
			slots[at].Store(e)
		}
	}
	s.used = s.live
	s.slots.Store(&slots)
}

func (t *table[V]) hash(parent uint64, text string) uint64 {
	// The odd constant is 2⁶⁴ divided by the golden ratio: it spreads
	// consecutive parents over all bits.
	return maphash.String(t.seed, text) ^ parent*0x9e3779b97f4a7c15
}

func (t *table[V]) shard(hash uint64) *shard[V] { return &t.shards[hash>>(64-shardBits)] }
