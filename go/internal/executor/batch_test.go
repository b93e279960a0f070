package executor_test

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

func TestHandingOutAllocatesNothingForAResponse(t *testing.T) {
	const share, runs = 50, 10
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	if _, err := x.Descriptor(thread, 0); err != nil {
		t.Fatal(err)
	}
	for i := range share {
		register(t, x, executor.Registration{Subscription: fmt.Sprint(i)})
	}
	for i := range 2*runs + 2 {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d}`, i))
	}
	s := register(t, x, executor.Registration{Subscription: "one"})
	for i := range share * (runs + 1) {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d}`, i))
	}
	hand := func(take func() *executor.Batch) float64 {
		return testing.AllocsPerRun(runs, func() {
			b := take()
			if len(b.Entries) != share {
				t.Fatalf("got %d responses instead of %d", len(b.Entries), share)
			}
			b.Recycle()
		})
	}
	// Not none: under the race detector a pool forgets now and then.
	const few = share / 2
	if allocations := hand(func() *executor.Batch { return taken(x.NextResponses(thread, s, share)) }); allocations > few {
		t.Errorf("%v allocations for %d responses of one subscription", allocations, share)
	}
	drain := func() *executor.Batch {
		b, err := x.Drain(thread, 0, share)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if allocations := hand(drain); allocations > few {
		t.Errorf("%v allocations for %d responses drained", allocations, share)
	}
}

// taken is a batch that cannot fail to be there.
func taken(b *executor.Batch, err error) *executor.Batch {
	if err != nil {
		panic(err)
	}
	return b
}
