package memory

import "slices"

// maxSpare is the capacity, in offsets, that an empty flight keeps.
const maxSpare = 1024

// flight is the set of offsets accepted and not yet dispatched. They are added in
// ascending order and mostly removed in it. Not safe for concurrent use.
type flight struct {
	offsets []uint64 // ascending; those before head are gone
	head    int
}

func (f *flight) len() int { return len(f.offsets) - f.head }

func (f *flight) oldest() (offset uint64, some bool) {
	if f.len() == 0 {
		return 0, false
	}
	return f.offsets[f.head], true
}

func (f *flight) add(offset uint64) {
	if len(f.offsets) == cap(f.offsets) && f.head > len(f.offsets)/2 {
		f.offsets = f.offsets[:copy(f.offsets, f.offsets[f.head:])]
		f.head = 0
	}
	f.offsets = append(f.offsets, offset)
}

func (f *flight) remove(offset uint64) {
	if oldest, some := f.oldest(); some && oldest == offset { // as a rule
		f.head++
	} else if i, found := slices.BinarySearch(f.offsets[f.head:], offset); found {
		f.offsets = slices.Delete(f.offsets, f.head+i, f.head+i+1)
	}
	if f.len() == 0 {
		f.head, f.offsets = 0, f.offsets[:0]
		if cap(f.offsets) > maxSpare {
			f.offsets = nil
		}
	}
}

// below is a copy of the offsets below limit, without except; nil when there are
// none.
func (f *flight) below(limit, except uint64) []uint64 {
	if oldest, some := f.oldest(); !some || oldest >= limit { // as a rule
		return nil
	}
	end, _ := slices.BinarySearch(f.offsets[f.head:], limit)
	part := f.offsets[f.head : f.head+end]
	if len(part) == 0 || len(part) == 1 && part[0] == except {
		return nil
	}
	part = slices.Clone(part)
	if i, found := slices.BinarySearch(part, except); found {
		part = slices.Delete(part, i, i+1)
	}
	return part
}
