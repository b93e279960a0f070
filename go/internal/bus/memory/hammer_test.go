package memory

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// gil is an interpreter lock: Python threads hold it but inside Unlocked.
type gil struct{ mu sync.Mutex }

func (g *gil) Unlocked(f func()) {
	g.mu.Unlock()
	defer g.mu.Lock()
	f()
}

// held runs f holding the lock on a thread that came from Python.
func (g *gil) held(f func(t *bus.Thread)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(&bus.Thread{GIL: g})
}

// hammer is publishers of every kind on one bus, each event with an account of
// who may run it and how often it was run.
type hammer struct {
	*testing.T
	bus      *Bus
	gil      gil
	accounts sync.Map // of event id → *account
	accepted atomic.Int64
	made     atomic.Int64
	replayed int
}

type account struct {
	publisher  atomic.Pointer[bus.Thread] // whoever publishes or awaits it
	deliveries atomic.Int32
	data       string
}

func (h *hammer) DispatchEventToSubscriptions(_ *bus.Thread, ev *event.Event) bus.Delivery {
	return hammered{h, ev}
}

func (h *hammer) Lend(task func(t *bus.Thread)) { go task(&bus.Thread{Engine: true}) }

type hammered struct {
	hammer *hammer
	event  *event.Event
}

func (one hammered) NeedsPython() bool { return one.event.Type == python }

func (one hammered) Leave(*bus.Thread, event.Position) bool {
	return !one.NeedsPython() && rand.IntN(4) == 0
}

func (one hammered) Deliver(t *bus.Thread, _ event.Position) {
	h := one.hammer
	found, _ := h.accounts.Load(one.event.ID)
	a := found.(*account)
	if a.deliveries.Add(1) != 1 {
		h.Errorf("event %d is dispatched twice", one.event.Offset)
	}
	root := one.event.Document().Root()
	if rand.IntN(2) == 0 { // as a large audience does: others get to publish
		t.Unlocked(runtime.Gosched)
	}
	defer h.reads(one.event, a, root) // to the end of the dispatch
	if !one.NeedsPython() {
		return
	}
	if publisher := a.publisher.Load(); t != publisher && !t.Engine {
		h.Errorf("event %d ran on another publisher's thread", one.event.Offset)
	}
	nest := func() {
		t.Resolving(func() {
			for range rand.IntN(3) {
				h.publish(t, 1, bus.WaitDispatched)
			}
		})
	}
	if t.Engine { // takes the interpreter's lock for the resolver only
		h.gil.mu.Lock()
		t.GIL = &h.gil
		nest()
		t.GIL = nil
		h.gil.mu.Unlock()
		return
	}
	nest()
}

// reads wants a document to be that of an event, and of no other one.
func (h *hammer) reads(ev *event.Event, a *account, root document.Value) {
	if got := string(root.Raw()); got != a.data || ev.Document().Root() != root {
		h.Errorf("the document of event %d reads %q, want %q", ev.Offset, got, a.data)
	}
}

// replay reads what the history has, while it is dispatched.
func (h *hammer) replay() {
	since := h.bus.position(h.bus.Stats().Published)
	if since.Offset -= min(since.Offset, 8); since.Offset == 0 {
		return
	}
	var found []bus.Replayed
	err := h.bus.Replay(new(bus.Thread), since, bustest.Patterns(h, "*"), func(events []bus.Replayed, _ uint64, _ bool) { found = events })
	if err != nil {
		h.Error(err)
	}
	for _, one := range found {
		own := one.Event.Apart()
		a, _ := h.accounts.Load(own.ID)
		h.reads(own, a.(*account), own.Document().Root())
		own.ReleaseDocument()
	}
	h.replayed += len(found)
}

// publish publishes events whose memory others get when they have been dispatched.
func (h *hammer) publish(t *bus.Thread, n int, wait bus.Wait) (accounts []*account, receipts []bus.Receipt) {
	var batch []*event.Event
	for range n {
		kind := plain
		if rand.IntN(3) == 0 {
			kind = python
		}
		a := &account{data: fmt.Sprintf(`{"n":%d}`, h.made.Add(1))}
		ev, err := event.Make(time.Now(), kind, fmt.Sprintf("c%d", rand.IntN(4)), []byte(a.data), "", "")
		if err != nil {
			h.Fatal(err)
		}
		a.publisher.Store(t)
		h.accounts.Store(strings.Clone(ev.ID), a)
		batch, accounts = append(batch, ev), append(accounts, a)
	}
	receipts, err := h.bus.PublishWithExecutor(t, batch, wait)
	if err != nil {
		h.Error(err)
	}
	h.accepted.Add(int64(n))
	return accounts, receipts
}

// await takes the tickets of a batch as Python does: in slices, from a new thread
// for each call; now and then it gives up.
func (h *hammer) await(accounts []*account, receipts []bus.Receipt) {
	for i, receipt := range receipts {
		if receipt.Ticket == 0 {
			continue
		}
		for deadline := time.Now().Add(long); ; {
			if rand.IntN(8) == 0 {
				h.bus.Forsake(receipt.Ticket)
				break
			}
			done := false
			h.gil.held(func(t *bus.Thread) {
				accounts[i].publisher.Store(t)
				done = h.bus.Await(t, receipt.Ticket, time.Duration(rand.IntN(1000))*time.Microsecond)
			})
			if done {
				break
			}
			if time.Now().After(deadline) {
				h.Errorf("event %v is not dispatched after %v", receipt.Position, long)
				return
			}
		}
	}
}

func TestNoTurnIsLostAndNoEventRunsTwiceUnderHammering(t *testing.T) {
	h := &hammer{T: t}
	h.bus = New(h, 16)
	var group sync.WaitGroup
	for kind := range 6 {
		group.Go(func() {
			for range 400 {
				var accounts []*account
				var receipts []bus.Receipt
				h.gil.held(func(thread *bus.Thread) {
					switch kind {
					case 0: // a loop that awaits completion
						thread.Loop = true
						h.loop(thread)
					case 1:
						thread.Loop = true
						h.publish(thread, 1, bus.WaitDispatched)
					case 2:
						h.publish(thread, 1+rand.IntN(3), bus.WaitAccepted)
					default:
						accounts, receipts = h.publish(thread, 1+rand.IntN(kind), bus.WaitDispatched)
					}
				})
				h.await(accounts, receipts)
			}
		})
	}
	publishing := true
	for ended, deadline := bustest.Started(group.Wait), time.Now().Add(long); publishing; {
		h.replay()
		select {
		case <-ended:
			publishing = false
		default:
			if time.Now().After(deadline) {
				t.Fatalf("the publishers have not ended after %v", long)
			}
		}
	}
	if h.replay(); h.replayed == 0 {
		t.Error("nothing was replayed")
	}
	settled := make(chan struct{})
	if !h.bus.Settled(new(bus.Thread), func() { close(settled) }) {
		bustest.Receive(t, settled, "the bus to settle")
	}
	h.accounts.Range(func(id, found any) bool {
		if n := found.(*account).deliveries.Load(); n != 1 {
			t.Errorf("event %v was dispatched %d times", id, n)
		}
		return !t.Failed()
	})
	if s := h.bus.Stats(); int64(s.Dispatched) != h.accepted.Load() || s.Pending != 0 {
		t.Errorf("%+v, accepted %d", s, h.accepted.Load())
	}
	checkIdle(t, h.bus)
}

// loop publishes a batch with a Finish and checks that each ticket is told once.
func (h *hammer) loop(thread *bus.Thread) {
	var told sync.Map // of ticket → times
	var all atomic.Int64
	changed := make(chan struct{}, 64)
	thread.Finish = func(ticket uint64) {
		times, _ := told.LoadOrStore(ticket, new(atomic.Int64))
		if times.(*atomic.Int64).Add(1) > 1 {
			h.Errorf("ticket %d is told twice", ticket)
		}
		all.Add(1)
		changed <- struct{}{}
	}
	_, receipts := h.publish(thread, 1+rand.IntN(3), bus.WaitDispatched)
	thread.Finish = nil
	want := int64(0)
	for _, receipt := range receipts {
		if receipt.Ticket != 0 {
			want++
		}
	}
	thread.Unlocked(func() { // the loop goes on with other tasks
		for all.Load() < want {
			if bustest.Receive(h, changed, "completion"); h.Failed() {
				return
			}
		}
	})
	for _, receipt := range receipts {
		if _, was := told.Load(receipt.Ticket); receipt.Ticket != 0 && !was {
			h.Errorf("ticket %d is never told", receipt.Ticket)
		}
	}
}
