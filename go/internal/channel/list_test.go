package channel

import "testing"

func TestListFillsFreedSlotsBeforeItGrows(t *testing.T) {
	var l list[int]
	members := make([]int, 1000)
	for i := range members {
		l.add(&members[i])
	}
	before := l.slots()
	for i := range members {
		if i%3 == 0 {
			l.remove(&members[i])
		}
	}
	for i := range members {
		if i%3 == 0 {
			l.add(&members[i])
		}
	}
	if after := l.slots(); after != before {
		t.Errorf("%d slots, want %d as before", after, before)
	}
	if found := l.appendTo(nil); len(found) != len(members) {
		t.Errorf("found %d of %d", len(found), len(members))
	}
}

func TestListGivesBackTheMapOfAMuchLargerPast(t *testing.T) {
	var l list[int]
	members := make([]int, 10_000)
	for i := range members {
		l.add(&members[i])
	}
	for i := range members[:9_000] {
		l.remove(&members[i])
	}
	if l.peak > 8*l.count {
		t.Errorf("the map was made for %d members and %d are left", l.peak, l.count)
	}
	for i := range members {
		if got, want := l.remove(&members[i]), i >= 9_000; got != want {
			t.Fatalf("removing member %d: %v, want %v", i, got, want)
		}
	}
}

func (l *list[T]) slots() int {
	n := 1
	for c := l.head.Load(); c != nil; c = c.next.Load() {
		n += len(c.slots)
	}
	return n
}

func TestAReaderOnAChunkThatEmptiesStillReachesOlderOnes(t *testing.T) {
	for _, descending := range []bool{false, true} {
		var l list[int]
		members := make([]int, 1000)
		for i := range members {
			members[i] = i
			l.add(&members[i])
		}
		var found int
		standing := false
		for m := range l.each {
			if *m > 900 && !standing { // on the newest chunk, which is read first
				standing = true
				for i := range 900 {
					if descending {
						i = 899 - i
					}
					l.remove(&members[100+i])
				}
			} else if *m < 100 {
				found++
			}
		}
		if !standing || found != 100 {
			t.Errorf("descending %v: found %d of the 100 that stayed", descending, found)
		}
	}
}
