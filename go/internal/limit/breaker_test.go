package limit_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/limit"
)

func TestMoreThanTheMostWithinTheWindowCutAConnectionOff(t *testing.T) {
	b := limit.NewBreaker(100, time.Minute)
	for i := range 100 {
		if b.Record("c", int64(i)) || b.IsOpen("c", int64(i)) {
			t.Fatalf("violation %d tripped", i+1)
		}
	}
	if !b.Record("c", 100) || !b.IsOpen("c", 100) {
		t.Error("the hundred and first did not trip")
	}
	if b.Record("c", 101) || b.IsOpen("d", 101) {
		t.Error("it tripped twice, or for another connection")
	}
	if b.IsOpen("c", 101+int64(time.Minute)) {
		t.Error("it never closes")
	}
}

func TestTheWindowSlides(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		most, window := random.IntN(12), int64(1+random.IntN(100))
		b := limit.NewBreaker(most, time.Duration(window))
		var times []int64
		now := int64(1000)
		open := false
		for range 300 {
			now += random.Int64N(20)
			times = slices.DeleteFunc(times, func(at int64) bool { return at <= now-window })
			open = len(times) > most
			times = append(times, now)
			if len(times) > most+1 {
				times = times[1:]
			}
			if got := b.Record("c", now); got != (!open && len(times) > most) {
				t.Fatalf("most %d, window %d: at %d tripped %v with %v", most, window, now, got, times)
			}
			if b.IsOpen("c", now) != (len(times) > most) {
				t.Fatalf("most %d, window %d: at %d open is %v with %v", most, window, now, b.IsOpen("c", now), times)
			}
		}
	}
}

func TestManyAtOnceTripOnce(t *testing.T) {
	b := limit.NewBreaker(100, time.Minute)
	var trips atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				if b.Record("c", 1) {
					trips.Add(1)
				}
			}
		})
	}
	group.Wait()
	if trips.Load() != 1 {
		t.Errorf("tripped %d times", trips.Load())
	}
}

func TestConnectionsWithoutRecentViolationsAreForgotten(t *testing.T) {
	b := limit.NewBreaker(100, time.Second)
	now := int64(0)
	most := 0
	for i := range 50_000 {
		now += int64(10 * time.Millisecond)
		b.Record(name(i), now)
		most = max(most, b.Len())
	}
	if most > 1000 {
		t.Errorf("%d connections were kept", most)
	}
}
