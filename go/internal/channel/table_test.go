package channel

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

func TestTableHoldsWhatAMapHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	type key struct {
		parent uint64
		text   string
	}
	var x table[int]
	want := map[key]int{}
	for step := range 60_000 {
		k := key{r.Uint64N(4), fmt.Sprint(r.IntN(1500))}
		// Long runs of growth and of decline, so that every rehash happens.
		if grow := step/10_000%2 == 0; r.IntN(10) < 8 == grow {
			if _, there := want[k]; !there {
				*x.obtain(k.parent, k.text, func(v *int) { *v = step }) += 0
				want[k] = step
			}
		} else {
			x.remove(k.parent, k.text)
			delete(want, k)
		}
		got := x.find(k.parent, k.text)
		v, there := want[k]
		if (got != nil) != there || there && *got != v {
			t.Fatalf("step %d, %v: got %v, want %v %v", step, k, got, v, there)
		}
		if step%100 == 0 {
			checkShards(t, &x)
		}
	}
	for k, v := range want {
		if got := x.find(k.parent, k.text); got == nil || *got != v {
			t.Fatalf("%v is lost", k)
		}
		x.remove(k.parent, k.text)
	}
	for i := range x.shards {
		if s := &x.shards[i]; s.slots.Load() != nil || s.live != 0 || s.used != 0 {
			t.Fatalf("shard %d keeps %d entries and %d slots in use", i, s.live, s.used)
		}
	}
}

// checkShards compares each shard's counts with its slots, and its size with
// what it holds.
func checkShards[V any](t *testing.T, x *table[V]) {
	t.Helper()
	for i := range x.shards {
		s := &x.shards[i]
		var live, used, size uint32
		if array := s.slots.Load(); array != nil {
			size = uint32(len(*array))
			for i := range *array {
				if e := (*array)[i].Load(); e != nil {
					used++
					if e != &x.grave {
						live++
					}
				}
			}
		}
		if live != s.live || used != s.used || used*2 > size || size > max(minSlots, 8*live) {
			t.Fatalf("shard %d counts %d entries and %d slots in use; it has %d and %d of %d", i, s.live, s.used, live, used, size)
		}
	}
}

// The two below back the claim in table's comment.

func BenchmarkTable(b *testing.B) {
	compare(b, func(names []string) func(string) *bucket[member, field] {
		var x table[bucket[member, field]]
		for _, name := range names {
			x.obtain(0, name, func(*bucket[member, field]) {})
		}
		return func(name string) *bucket[member, field] { return x.find(0, name) }
	})
}

func BenchmarkSyncMap(b *testing.B) {
	compare(b, func(names []string) func(string) *bucket[member, field] {
		var x sync.Map
		for _, name := range names {
			x.Store(name, new(bucket[member, field]))
		}
		return func(name string) *bucket[member, field] {
			v, _ := x.Load(name)
			return v.(*bucket[member, field])
		}
	})
}

func compare(b *testing.B, build func(names []string) func(string) *bucket[member, field]) {
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("orders.%d", i)
	}
	before := heap()
	find := build(names)
	size := float64(heap()-before) / float64(len(names))
	for _, c := range []struct {
		name          string
		among, stride int
	}{{"few names", 10, 7}, {"all names", len(names), 7919}} {
		b.Run(c.name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				if find(names[i]) == nil {
					b.Fatal("lost")
				}
				i = (i + c.stride) % c.among
			}
			b.ReportMetric(size, "B/entry")
		})
	}
}
