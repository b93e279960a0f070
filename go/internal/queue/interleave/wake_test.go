package interleave

import (
	"fmt"
	"math"
	"testing"
)

// owner is a subscription in a process of one producer, one consumer and one
// goroutine that moves it to another consumer.
type owner struct {
	queue Queue
	link  Link[owner]
}

var unbounded = Policy{MaxResponses: 100, MaxBytes: math.MaxInt32}

func (o *owner) wake() {
	if list := o.link.Schedule(); list != nil {
		list.Signal()
	}
}

func (o *owner) publish(t *thread) {
	t.do("publish", func() []effect {
		o.queue.Push(&unbounded, Ready([]byte{1}))
		o.wake()
		return nil
	})
}

func (o *owner) moveTo(list *List[owner]) func(*thread) {
	return func(t *thread) {
		t.do("move", func() []effect {
			o.link.Attach(list, o)
			if o.queue.HasReady() {
				o.wake()
			}
			return nil
		})
	}
}

// manner is how a consumer reads.
type manner string

const (
	armed   manner = "armed"
	quietly manner = "quietly"
	holding manner = "holding" // back what comes while it reads
)

// read is a consumer's round in which it takes one response of each owner.
func read(list *List[owner], how manner) func(*thread) {
	return func(t *thread) {
		t.do("read", func() []effect {
			next := list.Next
			if how == quietly {
				next = list.NextQuiet
			}
			for o := next(); o != nil; o = next() {
				if how == holding {
					o.link.Hold()
				}
				o.queue.Pop()
				if how != armed {
					o.link.Rearm()
				}
				if o.queue.HasReady() {
					o.wake()
					return nil
				}
			}
			return nil
		})
	}
}

func TestNoInterleavingLosesAWakeUp(t *testing.T) {
	preemptions := 3
	if testing.Short() {
		preemptions = 2
	}
	for _, how := range []manner{armed, quietly, holding} {
		for _, queued := range []int{0, 1, 2} {
			for _, moving := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s queued=%d moving=%v", how, queued, moving), func(t *testing.T) {
					runs := explore(preemptions, func() ([]func(*thread), func(*machine)) {
						from, to := NewList[owner](new(Notifier)), NewList[owner](new(Notifier))
						o := new(owner)
						o.link.Attach(from, o)
						for range queued {
							o.queue.Push(&unbounded, Ready([]byte{1}))
							o.wake()
						}
						from.notifier.signals = 0 // the consumer cleared it before its round
						bodies := []func(*thread){o.publish, read(from, how), o.publish}
						if moving {
							bodies[2] = o.moveTo(to)
						}
						return bodies, func(m *machine) {
							if !o.queue.HasReady() {
								return
							}
							list := o.link.List()
							if list.notifier.signals == 0 {
								t.Fatal("something is ready and nobody was signalled")
							}
							if list.Next() != o {
								t.Fatal("something is ready and its owner is not on its list")
							}
						}
					})
					t.Logf("%d different interleavings", runs)
				})
			}
		}
	}
}

// publishAll publishes to several owners and wakes them together.
func publishAll(owners []*owner) func(*thread) {
	return func(t *thread) {
		t.do("publish to all", func() []effect {
			var chain Chain[owner]
			for _, o := range owners {
				o.queue.Push(&unbounded, Ready([]byte{1}))
				chain.Add(&o.link)
			}
			chain.Flush()
			return nil
		})
	}
}

func TestNoInterleavingLosesAnOwnerOfAChain(t *testing.T) {
	runs := explore(3, func() ([]func(*thread), func(*machine)) {
		lists := []*List[owner]{NewList[owner](new(Notifier)), NewList[owner](new(Notifier))}
		owners := []*owner{{}, {}, {}}
		for i, o := range owners {
			o.link.Attach(lists[i/2], o) // two on one list, the third on the other
		}
		return []func(*thread){publishAll(owners), owners[1].publish, read(lists[0], armed)}, func(*machine) {
			found := map[*owner]bool{}
			for _, list := range lists {
				for o := list.Next(); o != nil; o = list.Next() {
					found[o] = true
				}
			}
			for i, o := range owners {
				if o.queue.HasReady() && (!found[o] || lists[i/2].notifier.signals == 0) {
					t.Fatalf("owner %d has something ready and was not reported", i)
				}
			}
		}
	})
	t.Logf("%d different interleavings", runs)
}

func TestNoInterleavingLosesAnOwner(t *testing.T) {
	explore(everywhere, func() ([]func(*thread), func(*machine)) {
		list := NewList[owner](new(Notifier))
		owners := []*owner{{}, {}}
		for _, o := range owners {
			o.link.Attach(list, o)
		}
		reported := map[*owner]bool{}
		collect := func(t *thread) {
			t.do("collect", func() []effect {
				for o := list.Next(); o != nil; o = list.Next() {
					reported[o] = true
				}
				return nil
			})
		}
		return []func(*thread){owners[0].publish, owners[1].publish, collect}, func(*machine) {
			for o := list.Next(); o != nil; o = list.Next() {
				reported[o] = true
			}
			if len(reported) != 2 {
				t.Fatalf("%d of 2 owners were reported", len(reported))
			}
		}
	})
}
