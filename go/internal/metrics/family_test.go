package metrics

import (
	"sync"
	"testing"
)

func TestALabelFirstSeenByManyAtOnceIsOneCounter(t *testing.T) {
	labels := []string{"a", "b", "c"}
	for round := range 300 {
		var f family
		var group sync.WaitGroup
		start := make(chan struct{})
		for w := range 6 {
			group.Go(func() {
				<-start
				f.add(labels[w%3], 1)
				f.add(labels[(w+1)%3], 1)
			})
		}
		close(start)
		group.Wait()
		if len(f.all()) != 3 {
			t.Fatalf("round %d: %d counters for 3 labels", round, len(f.all()))
		}
		for label, n := range f.values() {
			if n != 4 {
				t.Fatalf("round %d: %s counts %d, want 4", round, label, n)
			}
		}
	}
}

func TestDeclaringALabelAgainKeepsItsCount(t *testing.T) {
	var f family
	f.add("a", 2)
	f.declare("a", "b")
	if got := f.values(); len(f.all()) != 2 || got["a"] != 2 || got["b"] != 0 {
		t.Errorf("%d counters, %v", len(f.all()), got)
	}
}
