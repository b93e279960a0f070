package postgres

import (
	"math/rand/v2"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
)

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
	f = finality{}
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

// TestFinalityIsWhatAModelSays commits numbers in any order, some of them twice.
func TestFinalityIsWhatAModelSays(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var f finality
		committed, upTo := map[uint64]bool{}, uint64(0)
		for range 30 {
			var seqs []int64
			for range 1 + r.IntN(6) {
				first := int64(1 + r.IntN(40))
				for n := range int64(1 + r.IntN(3)) {
					seqs = append(seqs, first+n)
					committed[uint64(first+n)] = true
				}
			}
			f.commit(seqs)
			horizon := uint64(max(r.IntN(20)-10, 0))
			f.reach(horizon)
			for upTo = max(upTo, horizon); committed[upTo+1]; upTo++ {
			}
			if f.upTo != upTo {
				t.Fatalf("seed %d: final up to %d, want %d; ahead are %v", seed, f.upTo, upTo, f.ahead)
			}
		}
	}
}

// TestABatchOfAnotherHistorySaysNothingOfTheNewOne has the answer to a batch come when another
// connection has found the database in another epoch, or numbers drawn again after a crash.
func TestABatchOfAnotherHistorySaysNothingOfTheNewOne(t *testing.T) {
	for _, now := range []string{"before", "after"} {
		s := &Server{}
		s.options = s.options.withDefaults()
		s.enter(settings{epoch: "before"})
		known := s.finality
		number, _ := known.begin()
		s.enter(settings{epoch: now})
		known.end(number)
		r := &remote.Request{Events: request("one", "{}").Events, Follows: []bool{true}}
		s.accept(t.Context(), nil, []*remote.Request{r}, batch{seqs: []int64{2}, finality: known, asked: true, final: 1})
		if got := r.Positions[0].String(); got != "before:2" {
			t.Errorf("in the epoch %s it has the position %s", now, got)
		}
		s.finality.reach(1)
		if s.finality.upTo != 1 {
			t.Errorf("in the epoch %s, 2 is final before it is drawn", now)
		}
		if own := len(s.own) > 0; own != (now == "before") {
			t.Errorf("in the epoch %s, %d events of its own are to be read", now, len(s.own))
		}
	}
}
