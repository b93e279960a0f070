package limit_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/limit"
)

func pace(t testing.TB, perSecond float64, burst int) limit.Pace {
	t.Helper()
	p, err := limit.NewPace("rate", limit.Rate{PerSecond: perSecond, Burst: burst})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tokens is the token bucket as textbooks have it, in exact arithmetic: a token takes
// interval nanoseconds, and what is there is counted in those.
type tokens struct{ interval, most, there, at int64 }

func (b *tokens) take(now, n int64) bool {
	b.there, b.at = min(b.most, b.there+now-b.at), now
	if b.there < n*b.interval {
		return false
	}
	b.there -= n * b.interval
	return true
}

func TestABucketDecidesAsATokenBucketDoes(t *testing.T) {
	for _, rate := range []limit.Rate{{PerSecond: 1, Burst: 1}, {PerSecond: 100, Burst: 1000}, {PerSecond: 8, Burst: 3}, {PerSecond: 1e6, Burst: 7}, {PerSecond: 0.01, Burst: 5}} {
		p := pace(t, rate.PerSecond, rate.Burst)
		interval := int64(float64(time.Second) / rate.PerSecond)
		model := tokens{interval: interval, most: interval * int64(rate.Burst), there: interval * int64(rate.Burst)}
		var bucket limit.Bucket
		random := rand.New(rand.NewPCG(1, uint64(rate.Burst)))
		now := int64(0)
		for step := range 20_000 {
			now += random.Int64N(2 * interval)
			n := 1 + random.IntN(rate.Burst+1)
			if random.IntN(3) > 0 {
				n = 1
			}
			if got, want := p.Take(&bucket, now, n), model.take(now, int64(n)); got != want {
				t.Fatalf("%+v, step %d: take %d gave %v", rate, step, n, got)
			}
		}
	}
}

func TestTheRateIsTrueAfterTheBurst(t *testing.T) {
	for _, perSecond := range []float64{0.5, 3, 7, 100, 333.3, 300_000, 999_999} {
		p := pace(t, perSecond, 10)
		var bucket limit.Bucket
		const seconds = 20
		passed := 0
		step := int64(float64(time.Second) / perSecond / 3)
		for now := int64(0); now < seconds*int64(time.Second); now += step {
			for p.Take(&bucket, now, 1) {
				passed++
			}
		}
		if want := 10 + perSecond*seconds; float64(passed) > want*1.0006+1 || float64(passed) < want*0.9994-1 {
			t.Errorf("%v a second: %d passed in %d s, want %v", perSecond, passed, seconds, want)
		}
	}
}

func TestManyAtOnceNeverTakeMoreThanTheBurst(t *testing.T) {
	p := pace(t, 1, 1000)
	var bucket limit.Bucket
	var taken atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 500 {
				if p.Take(&bucket, 5, 1) {
					taken.Add(1)
				}
			}
		})
	}
	group.Wait()
	if taken.Load() != 1000 {
		t.Errorf("%d were taken", taken.Load())
	}
}

func TestATokenGivenBackCanBeTakenAgain(t *testing.T) {
	p := pace(t, 1, 2)
	var bucket limit.Bucket
	if !p.Take(&bucket, 0, 2) || p.Take(&bucket, 0, 1) {
		t.Fatal("the burst is not two")
	}
	p.Give(&bucket, 1)
	if !p.Take(&bucket, 0, 1) || p.Take(&bucket, 0, 1) {
		t.Error("what was given back was not one")
	}
}

func TestARateThatCannotBeIsRefusedByName(t *testing.T) {
	zero := 0.0
	for _, rate := range []limit.Rate{
		{},
		{PerSecond: 1},
		{Burst: 1},
		{PerSecond: -1, Burst: 1},
		{PerSecond: 1, Burst: -1},
		{PerSecond: zero / zero, Burst: 1},
		{PerSecond: 1e6 + 1, Burst: 1},
		{PerSecond: 1e-9, Burst: 1},
		{PerSecond: 1, Burst: 1e9},
	} {
		if _, err := limit.NewPace("user_rate", rate); fault.CodeOf(err) != fault.InvalidValue {
			t.Errorf("%+v: %v", rate, err)
		}
	}
}

func TestTakingAllocatesNothing(t *testing.T) {
	p := pace(t, 1000, 10)
	var bucket limit.Bucket
	now := int64(0)
	if n := testing.AllocsPerRun(100, func() { now += 1e5; p.Take(&bucket, now, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBucketsAreForgottenWhenTheyAreFullAgain(t *testing.T) {
	b := limit.NewBuckets(pace(t, 1, 5))
	now := int64(0)
	most := 0
	for i := range 100_000 {
		now += int64(10 * time.Millisecond) // a hundred new names a second, each full again after one
		b.Take(name(i), now, 1)
		most = max(most, b.Len())
	}
	if most > 1000 {
		t.Errorf("%d buckets were kept", most)
	}
	for i := range 5 {
		if !b.Take("one", now, 1) {
			t.Fatalf("token %d", i)
		}
	}
	for i := range 1000 { // what is not full stays
		if b.Take("one", now, 1) {
			t.Fatalf("after %d others the bucket was new", i)
		}
		b.Take(name(i), now, 1)
	}
}

func name(i int) string { return string([]byte{byte(i), byte(i >> 8), byte(i >> 16)}) }

func FuzzBucket(f *testing.F) {
	f.Add(uint16(3), uint16(1000), []byte{1, 2, 3, 200, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, burst, perSecond uint16, steps []byte) {
		if burst == 0 || perSecond == 0 {
			t.Skip()
		}
		p := pace(t, float64(perSecond), int(burst))
		interval := int64(float64(time.Second)/float64(perSecond) + 0.5)
		full := interval * int64(burst)
		model := tokens{interval: interval, most: full, there: full}
		var bucket limit.Bucket
		now := int64(0)
		for i := 0; i+1 < len(steps); i += 2 {
			now += int64(steps[i]) * interval / 16
			n := int64(steps[i+1]%8) + 1
			if got, want := p.Take(&bucket, now, int(n)), model.take(now, n); got != want {
				t.Fatalf("at %d take %d: %v, the model %v", now, n, got, want)
			}
		}
	})
}

func BenchmarkBucket(b *testing.B) {
	p := pace(b, 1e6, 1e6)
	var bucket limit.Bucket
	now := int64(0)
	for b.Loop() {
		now += 1000
		p.Take(&bucket, now, 1)
	}
}
