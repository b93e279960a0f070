package postgres

import "testing"

// TestNumbersBecomeFinalWithoutAsking has batches of this process's own that are committed in any
// order, and others' numbers among them.
func TestNumbersBecomeFinalWithoutAsking(t *testing.T) {
	var f finality
	expect := func(step string, upTo uint64, explained bool) {
		t.Helper()
		f.reach(0)
		if f.upTo != upTo {
			t.Fatalf("%s: final up to %d, want %d", step, f.upTo, upTo)
		}
		if f.upTo < 100 && f.explained() != explained {
			t.Errorf("%s: explained is %v", step, !explained)
		}
	}
	first, _ := f.begin()
	second, _ := f.begin()
	f.end(second)
	f.commit([]int64{4, 5, 3})
	expect("the second is committed before the first", 0, true)
	third, _ := f.begin()
	f.end(first)
	f.commit([]int64{1, 2})
	expect("the first is committed, too", 5, true)
	f.end(third)
	f.commit([]int64{8, 7})
	expect("6 is missing, and nothing of one's own is under way", 5, false)
	fourth, _ := f.begin()
	expect("what has begun since then has no lower numbers", 5, false)
	f.reach(6)
	expect("the horizon has passed it", 8, true)
	f.end(fourth)
	f.commit([]int64{2, 9, 9})
	expect("one that was there already", 9, false)

	f.commit([]int64{12})
	expect("10 and 11 are missing", 9, false)
	f.restart()
	f.commit([]int64{1, 2})
	expect("after a crash numbers are drawn again", 2, false)

	for n := int64(4); n < 20*mostSpans; n += 2 {
		f.commit([]int64{n})
	}
	if len(f.ahead) != mostSpans {
		t.Errorf("%d spans are remembered", len(f.ahead))
	}
	f.reach(30 * mostSpans)
	if len(f.ahead) != 0 || f.upTo != 30*mostSpans {
		t.Errorf("%d spans are left behind %d", len(f.ahead), f.upTo)
	}
}
