package memory

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestFlightHoldsWhatASortedSliceHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	var f flight
	var want []uint64
	next := uint64(0)
	for step := range 20_000 {
		if grow := step/2_000%2 == 0; r.IntN(10) < 6 == grow {
			next += 1 + r.Uint64N(3)
			f.add(next)
			want = append(want, next)
		} else if len(want) > 0 {
			i := min(r.IntN(len(want)), r.IntN(len(want)))
			f.remove(want[i])
			want = slices.Delete(want, i, i+1)
		}
		f.remove(next + 1) // not there
		oldest, some := f.oldest()
		if f.len() != len(want) || some != (len(want) > 0) || some && oldest != want[0] {
			t.Fatalf("step %d: %d offsets from %d, want %v", step, f.len(), oldest, want)
		}
		if step%50 != 0 {
			continue
		}
		limit, except := r.Uint64N(next+2), r.Uint64N(next+2)
		var below []uint64
		for _, offset := range want {
			if offset < limit && offset != except {
				below = append(below, offset)
			}
		}
		if got := f.below(limit, except); !slices.Equal(got, below) {
			t.Fatalf("step %d: below %d without %d: %v, want %v", step, limit, except, got, below)
		}
		if cap(f.offsets) > 4*max(len(want), maxSpare) {
			t.Fatalf("step %d: room for %d offsets, %d used", step, cap(f.offsets), len(want))
		}
	}
}
