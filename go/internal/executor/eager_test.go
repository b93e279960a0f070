package executor_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// share is what one drain hands out of a subscription at most.
const share = 64

// loop is an event loop's consumer and one subscription that it reads.
func loop(t *testing.T, eager bool) (*executor.Executor, *executor.Subscription, func() int) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	number, err := x.OpenConsumer(thread)
	if err != nil {
		t.Fatal(err)
	}
	s := register(t, x, executor.Registration{})
	if err := x.Attach(thread, s.ID(), number, eager, false); err != nil {
		t.Fatal(err)
	}
	return x, s, func() int {
		b, err := x.Drain(thread, number, 1024)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Recycle()
		return len(b.Entries)
	}
}

func publishMany(t *testing.T, x *executor.Executor, count int) {
	for i := range count {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d}`, i))
	}
}

func TestADrainHandsOutMoreOfAnEagerSubscriptionAndAShareAtATime(t *testing.T) {
	x, _, drain := loop(t, true)
	publishMany(t, x, 2*share+1)
	got := []int{drain(), drain(), drain(), drain()}
	if want := []int{share, share, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("drained %v, want %v", got, want)
	}
	publishMany(t, x, 1)
	if got := drain(); got != 1 {
		t.Errorf("then drained %d, want 1", got)
	}
}

func TestAnotherSubscriptionIsHandedOutOnceItIsAskedForMore(t *testing.T) {
	x, s, drain := loop(t, false)
	publishMany(t, x, 1)
	if got := drain(); got != 1 {
		t.Fatalf("drained %d, want 1", got)
	}
	publishMany(t, x, 1)
	if got := drain(); got != 0 {
		t.Errorf("drained %d of a quiet subscription", got)
	}
	if got := len(read(x, s)); got != 1 {
		t.Errorf("read %d, want 1", got)
	}
	publishMany(t, x, 1)
	if got := drain(); got != 1 {
		t.Errorf("after it was asked for, drained %d, want 1", got)
	}
}

func TestWhatIsHeldStaysInItsQueueUntilItIsAskedFor(t *testing.T) {
	x, s, drain := loop(t, true)
	thread := &bus.Thread{}
	publishMany(t, x, 1)
	if got := drain(); got != 1 {
		t.Fatalf("drained %d, want 1", got)
	}
	x.Hold(thread, slices.Values([]string{"sub-0-0", s.ID()})) // one has ended
	publishMany(t, x, 3)
	if got := drain(); got != 0 {
		t.Errorf("drained %d of what is held", got)
	}
	if got := len(read(x, s)); got != 3 {
		t.Errorf("read %d, want 3", got)
	}
	publishMany(t, x, 1)
	if got := drain(); got != 1 {
		t.Errorf("after it was read, drained %d, want 1", got)
	}
}

func TestTheClosedLoopsTextsAreBytesOnThePlainSide(t *testing.T) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	if _, err := x.Descriptor(thread, 0); err != nil {
		t.Fatal(err)
	}
	number, err := x.OpenConsumer(thread)
	if err != nil {
		t.Fatal(err)
	}
	s := register(t, x, executor.Registration{})
	if err := x.Attach(thread, s.ID(), number, true, true); err != nil {
		t.Fatal(err)
	}
	x.CloseConsumer(thread, number)
	publishMany(t, x, 1)
	b, err := x.Drain(thread, 0, 1024)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Recycle()
	if len(b.Entries) != 1 || b.Entries[0].Form != executor.Bytes {
		t.Fatalf("got %+v", b.Entries)
	}
}
