package queue_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// subscriber is what the engine's subscription is to this package.
type subscriber struct {
	name  string
	queue queue.Queue
	link  queue.Link[subscriber]
}

var wide = queue.Policy{MaxResponses: 1 << 20, MaxBytes: 1 << 40}

// publish is the producer's side of the protocol.
func (s *subscriber) publish(r *queue.Response) {
	s.queue.Push(&wide, r)
	s.wake()
}

func (s *subscriber) wake() {
	if list := s.link.Schedule(); list != nil {
		list.Signal()
	}
}

// attach is the mover's side.
func (s *subscriber) attach(list *queue.List[subscriber]) {
	s.link.Attach(list, s)
	if s.queue.HasReady() {
		s.wake()
	}
}

func subscribers(list *queue.List[subscriber], n int) []*subscriber {
	all := make([]*subscriber, n)
	for i := range all {
		all[i] = &subscriber{name: fmt.Sprint(i)}
		all[i].attach(list)
	}
	return all
}

func names(next func() *subscriber) (all string) {
	for s := next(); s != nil; s = next() {
		all += s.name
	}
	return all
}

func TestOwnersAreReportedOnceInTheOrderTheyTurnedReady(t *testing.T) {
	list := queue.NewList[subscriber](nil)
	all := subscribers(list, 5)
	for _, i := range []int{3, 1, 3, 4, 1, 0} {
		all[i].publish(text("x"))
	}
	if got := list.Next(); got != all[3] {
		t.Errorf("first came %v, want 3", got)
	}
	if !list.HasNext() {
		t.Error("a list in the middle of a batch says it has no more")
	}
	all[2].publish(text("x"))
	all[3].publish(text("x"))
	if got := names(list.Next); got != "14023" {
		t.Errorf("then came %s, want 14023", got)
	}
	if list.HasNext() {
		t.Error("an emptied list says it has more")
	}
}

func TestAReportedOwnerStaysQuietUntilItIsRearmed(t *testing.T) {
	list := queue.NewList[subscriber](nil)
	s := subscribers(list, 1)[0]
	s.link.Rearm() // nothing to end yet
	s.publish(text("1"))
	if got := names(list.NextQuiet); got != "0" {
		t.Fatalf("reported %q, want 0", got)
	}
	s.publish(text("2"))
	if list.HasNext() {
		t.Error("a quiet owner was scheduled")
	}
	if got := drain(&s.queue); got != "12" {
		t.Errorf("drained %q, want 12", got)
	}
	s.link.Rearm()
	s.link.Rearm()
	s.publish(text("3"))
	if got := names(list.NextQuiet); got != "0" {
		t.Errorf("after Rearm reported %q, want 0", got)
	}
}

func TestAHeldOwnerIsNotReportedUntilItIsRearmed(t *testing.T) {
	list := queue.NewList[subscriber](nil)
	s := subscribers(list, 1)[0]
	s.link.Hold()
	s.publish(text("1"))
	if list.HasNext() {
		t.Error("a held owner was scheduled")
	}
	s.link.Rearm()
	s.wake()
	s.link.Hold() // it is on the list
	if got := names(list.Next); got != "0" {
		t.Fatalf("reported %q, want 0", got)
	}
	s.publish(text("2"))
	if got := names(list.Next); got != "0" {
		t.Errorf("then reported %q, want 0", got)
	}
	var detached queue.Link[subscriber]
	detached.Hold()
}

func TestAMovedOwnerIsReportedOnItsNewListOnly(t *testing.T) {
	from, to := queue.NewList[subscriber](nil), queue.NewList[subscriber](nil)
	all := subscribers(from, 3)
	for _, s := range all {
		s.publish(text("x"))
	}
	all[1].attach(to)
	if got := names(from.Next); got != "02" {
		t.Errorf("the old list reported %q, want 02", got)
	}
	if got := names(to.NextQuiet); got != "1" || all[1].link.List() != to {
		t.Errorf("the new list reported %q, want 1", got)
	}
	all[1].attach(from) // quiet there ends with the move
	if got := names(from.Next); got != "1" {
		t.Errorf("back on the old list reported %q, want 1", got)
	}
}

func TestADetachedOwnerIsNotKeptReachable(t *testing.T) {
	list := queue.NewList[subscriber](nil)
	freed := make(chan struct{})
	func() {
		s := subscribers(list, 1)[0]
		s.publish(text("x"))
		runtime.AddCleanup(s, func(struct{}) { close(freed) }, struct{}{})
		s.link.Detach()
		if s.publish(text("y")); s.link.List() != nil {
			t.Error("a detached owner has a list")
		}
	}()
	deadline := time.After(5 * time.Second)
	for {
		runtime.GC()
		select {
		case <-freed:
			if got := names(list.Next); got != "" {
				t.Errorf("reported %q, want nothing", got)
			}
			return
		case <-deadline:
			t.Fatal("the list, not drained since, kept a detached owner for 5 s")
		default:
			runtime.Gosched()
		}
	}
}

// consumer is a goroutine that blocks in poll(2) like an event loop.
type consumer struct {
	list     *queue.List[subscriber]
	notifier *queue.Notifier
	quiet    bool // reports stay quiet until drained, as for an asyncio loop
	quantum  int  // responses taken from one owner before the next has its turn
}

func newConsumer(t *testing.T, quiet bool, quantum int) *consumer {
	t.Helper()
	n, err := queue.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return &consumer{queue.NewList[subscriber](n), n, quiet, quantum}
}

// readable waits until fd can be read.
func readable(fd int, timeout time.Duration) bool {
	for {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(polled, int(timeout.Milliseconds()))
		if err != unix.EINTR {
			return n == 1
		}
	}
}

// run consumes until stop, and calls take with each response. It fails the test
// when it has to wait too long for its descriptor.
func (c *consumer) run(t *testing.T, stop func() bool, take func(*subscriber, *queue.Response)) {
	var batch []*queue.Response
	for !stop() {
		if !readable(c.notifier.FD(), 5*time.Second) {
			if !stop() {
				t.Error("a consumer was not woken for 5 s")
			}
			return
		}
		c.notifier.Clear()
		for {
			var s *subscriber
			if c.quiet {
				s = c.list.NextQuiet()
			} else {
				s = c.list.Next()
			}
			if s == nil {
				break
			}
			batch = s.queue.AppendPop(batch[:0], c.quantum)
			for _, r := range batch {
				take(s, r)
			}
			if c.quiet {
				for len(batch) == c.quantum {
					batch = s.queue.AppendPop(batch[:0], c.quantum)
					for _, r := range batch {
						take(s, r)
					}
				}
				s.link.Rearm()
			}
			if s.queue.HasReady() {
				s.wake()
			}
		}
	}
}

func TestNoWakeUpIsLostUnderLoad(t *testing.T) {
	each := 20_000
	if testing.Short() {
		each = 2000
	}
	for _, moving := range []bool{false, true} {
		t.Run(fmt.Sprintf("moving=%v", moving), func(t *testing.T) {
			atSeveralWidths(t, func(t *testing.T) {
				const producers, owners = 3, 10
				consumers := []*consumer{newConsumer(t, false, 3), newConsumer(t, true, 2)}
				all := subscribers(consumers[0].list, owners)
				for i, s := range all {
					s.attach(consumers[i%2].list)
				}
				var (
					received atomic.Int64
					workers  sync.WaitGroup
					pushing  atomic.Int64
				)
				stop := func() bool { return received.Load() == int64(producers*each) }
				take := func(*subscriber, *queue.Response) {
					if received.Add(1) == int64(producers*each) {
						for _, c := range consumers {
							c.notifier.Signal()
						}
					}
				}
				for _, c := range consumers {
					workers.Add(1)
					go func() {
						defer workers.Done()
						c.run(t, stop, take)
					}()
				}
				pushing.Store(producers)
				for p := range producers {
					workers.Add(1)
					go func() {
						defer workers.Done()
						defer pushing.Add(-1)
						r := text("x")
						for n := range each {
							all[(p+n*7)%owners].publish(r)
							if n%64 == 0 {
								runtime.Gosched() // let the consumers fall asleep now and then
							}
						}
					}()
				}
				if moving {
					workers.Add(1)
					go func() {
						defer workers.Done()
						for n := 0; pushing.Load() > 0; n++ {
							all[n%owners].attach(consumers[n/3%2].list)
							runtime.Gosched()
						}
					}()
				}
				workers.Wait()
				if !stop() {
					t.Errorf("received %d of %d", received.Load(), producers*each)
				}
			})
		})
	}
}

func TestALateAnswerWakesTheConsumer(t *testing.T) {
	c := newConsumer(t, false, 10)
	s := subscribers(c.list, 1)[0]
	place := queue.Pending()
	s.publish(place)
	c.notifier.Clear()
	if got := names(c.list.Next); got != "0" || drain(&s.queue) != "" {
		t.Fatalf("reported %q, want 0 with nothing to read", got)
	}
	go func() {
		s.queue.Settle(&wide, place, text("late"))
		s.wake()
	}()
	if !readable(c.notifier.FD(), 5*time.Second) {
		t.Fatal("not woken by the answer")
	}
	if names(c.list.Next) != "0" || drain(&s.queue) != "late" {
		t.Error("the answer is not there")
	}
}

func TestAChainReportsItsOwnersInOrderWithOneSignalAList(t *testing.T) {
	lists := []*queue.List[int]{queue.NewList[int](nil), queue.NewList[int](nil)}
	const many = 600 // more than one flush
	owners := make([]int, many)
	links := make([]queue.Link[int], many)
	var chain queue.Chain[int]
	for i := range owners {
		owners[i] = i
		links[i].Attach(lists[i*2/many], &owners[i])
		chain.Add(&links[i])
		chain.Add(&links[i]) // it is there already
	}
	chain.Flush()
	chain.Flush()
	want := 0
	for _, list := range lists {
		for o := list.Next(); o != nil; o = list.Next() {
			if *o != want {
				t.Fatalf("owner %d came where %d is due", *o, want)
			}
			want++
		}
	}
	if want != many {
		t.Errorf("%d of %d owners came", want, many)
	}
}
