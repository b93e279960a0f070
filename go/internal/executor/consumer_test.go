package executor_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// drained is how many responses a consumer's drain hands out.
func drained(t *testing.T, x *executor.Executor, number int) int {
	b, err := x.Drain(&bus.Thread{}, number, 1024)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Recycle()
	return len(b.Entries)
}

// slowGIL is that of a thread which, once it has to wait for a lock, gets on only when told.
type slowGIL struct{ waits, goOn chan struct{} }

func (g slowGIL) Unlocked(wait func()) {
	close(g.waits)
	wait()
	<-g.goOn
}

func TestASubscriptionGivenBackWhileThePlainSideOpensIsOnIt(t *testing.T) {
	x, s, _ := loop(t, false)
	publishMany(t, x, 1)
	slow := slowGIL{make(chan struct{}), make(chan struct{})}
	given := make(chan error)
	x.Locked(func() {
		go func() { given <- x.Attach(&bus.Thread{GIL: slow}, s.ID(), 0, false, false) }()
		<-slow.waits
	})
	if _, err := x.Descriptor(&bus.Thread{}, 0); err != nil {
		t.Fatal(err)
	}
	close(slow.goOn)
	if err := <-given; err != nil {
		t.Fatal(err)
	}
	if got := drained(t, x, 0); got != 1 {
		t.Errorf("drained %d, want 1", got)
	}
}

func TestASignalMakesAnOpenConsumersDescriptorReadableUntilTheNextDrain(t *testing.T) {
	x := open(t, newResolvers())
	x.Signal(&bus.Thread{}, 0) // not open
	descriptor, err := x.Descriptor(&bus.Thread{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	readable := func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	if readable() {
		t.Error("readable before the signal")
	}
	x.Signal(&bus.Thread{}, 0)
	if !readable() {
		t.Error("not readable after the signal")
	}
	drained(t, x, 0)
	if readable() {
		t.Error("readable after the drain")
	}
}

func TestThePlainSideGetsNothingOfASubscriptionThatALoopIsAboutToTake(t *testing.T) {
	x := open(t, newResolvers())
	number, err := x.OpenConsumer(&bus.Thread{})
	if err != nil {
		t.Fatal(err)
	}
	before := register(t, x, executor.Registration{Subscription: "before", Streamed: true})
	publishMany(t, x, 1)
	if got := drained(t, x, 0); got != 0 { // this opens it
		t.Errorf("the plain side drained %d, want 0", got)
	}
	after := register(t, x, executor.Registration{Subscription: "after", Streamed: true})
	publishMany(t, x, 1)
	if got := drained(t, x, 0); got != 0 {
		t.Errorf("then the plain side drained %d, want 0", got)
	}
	for _, s := range []*executor.Subscription{before, after} {
		if err := x.Attach(&bus.Thread{}, s.ID(), number, false, false); err != nil {
			t.Fatal(err)
		}
	}
	if got := drained(t, x, number); got != 3 {
		t.Errorf("the loop drained %d, want 3", got)
	}
}

func TestAReaderIsToldOfWhatIsBehindAPlaceThatIsWithdrawn(t *testing.T) {
	_, s, drain := loop(t, false)
	withdraw := s.QueueBehindPlace()
	if got := drain(); got != 0 {
		t.Fatalf("drained %d before the answer, want 0", got)
	}
	if !withdraw() {
		t.Fatal("the place has left by itself")
	}
	if got := drain(); got != 1 {
		t.Errorf("drained %d, want 1", got)
	}
}
