package executor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// household is a connection whose subscriptions all have one tenant's context.
type household struct {
	name string
	// mu lets one call at a time say whose it is: registrations and updates.
	mu     sync.Mutex
	tenant atomic.Int64
	turns  atomic.Int64 // odd while the tenant changes
	live   sync.Map     // *executor.Subscription, until somebody found it gone
}

// chaos does everything to an executor at once.
type chaos struct {
	t      *testing.T
	x      *executor.Executor
	clock  *hands
	python *resolvers
	homes  []*household

	mu       sync.Mutex
	acquired map[int]int // uses of resolvers that the engine owes back
	tickets  []uint64    // of async answers
	read     atomic.Int64
	refused  atomic.Int64
	number   atomic.Int64
	reached  atomic.Pointer[string] // a position, of which some have been passed since
}

func (c *chaos) context(tenant int64, r *rand.Rand) string {
	text := fmt.Sprintf(`{"tenant_id":%d`, tenant)
	if r.IntN(3) == 0 {
		text += fmt.Sprintf(`,"claims":{"n":%d}`, r.IntN(3))
	}
	if r.IntN(3) == 0 {
		text += fmt.Sprintf(`,"expires_at":%d`, c.clock.read()/1e9+int64(r.IntN(4)))
	}
	switch r.IntN(5) {
	case 0:
		text += `,"permissions":["order:read","secret:read"]`
	case 1:
		text += `,"permissions":["order:read"]`
	}
	return text + "}"
}

func (c *chaos) acquire(resolver, by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acquired[resolver] += by
}

func (c *chaos) register(h *household, r *rand.Rand) {
	h.mu.Lock()
	defer h.mu.Unlock()
	options := `{"context":` + c.context(h.tenant.Load(), r)
	if r.IntN(4) == 0 {
		options += fmt.Sprintf(`,"queue":{"max_responses":%d,"max_bytes":100000,"overflow":%q}`, 1+r.IntN(4), []string{"drop_oldest", "drop_newest", "latest", "disconnect"}[r.IntN(4)])
	}
	resolver := r.IntN(5)
	if resolver > 0 {
		options += fmt.Sprintf(`,"resolver":%d,"resolver_flags":%d`, resolver, flagsOf[resolver])
	}
	since := ""
	if at := c.reached.Load(); at != nil && r.IntN(3) == 0 {
		since = *at
	}
	s, err := c.x.RegisterSubscription(&bus.Thread{}, executor.Registration{
		Connection: h.name, Subscription: fmt.Sprint(c.number.Add(1)), Since: since,
		Query: "subscription { orderUpdated { id secret { k } } }", Options: options + "}",
	})
	if err != nil {
		c.refused.Add(1)
		c.expect(err, fault.LimitExceeded, fault.Forbidden, fault.Expired, fault.Unauthenticated, fault.TooManyViolations)
		return
	}
	if resolver > 0 {
		c.acquire(resolver, 1)
	}
	h.live.Store(s, true)
}

// flagsOf are those of the resolvers by number: plain, with info, async, of the field.
var flagsOf = map[int]executor.ResolverFlags{1: 0, 2: executor.TakesInfo, 3: executor.Async, 4: executor.Projects}

func (c *chaos) expect(err error, codes ...fault.Code) {
	for _, code := range codes {
		if fault.CodeOf(err) == code {
			return
		}
	}
	c.t.Error(err)
}

// look reads a subscription, and wants what it read while nobody changed the tenant to be
// the tenant's.
func (c *chaos) look(h *household, s *executor.Subscription) {
	before, tenant := h.turns.Load(), h.tenant.Load()
	messages := read(c.x, s)
	if before%2 != 0 || h.turns.Load() != before {
		return
	}
	for _, message := range messages {
		if !strings.Contains(message, `"type":"next"`) {
			continue
		}
		var told struct {
			Payload struct {
				Data struct{ OrderUpdated *struct{ ID int64 } }
			}
		}
		if err := json.Unmarshal([]byte(message), &told); err != nil {
			c.t.Error(err)
		} else if order := told.Payload.Data.OrderUpdated; order != nil {
			if c.read.Add(1); order.ID != tenant {
				c.t.Errorf("a subscription of tenant %d read %s", tenant, message)
			}
		}
	}
}

func (c *chaos) publish(r *rand.Rand) {
	tenant := 1 + r.IntN(2)
	data := fmt.Sprintf(`{"id":%d,"tenant_id":%d,"secret":{"k":1}}`, tenant, tenant)
	ev, err := event.Make(time.Now(), "orderUpdated", fmt.Sprint("orders.", r.IntN(3)), []byte(data), "", "")
	if err != nil {
		c.t.Error(err)
		return
	}
	thread := &bus.Thread{}
	receipts, err := c.x.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched)
	if err != nil {
		c.t.Error(err)
	} else if ticket := receipts[0].Ticket; ticket != 0 && !c.x.Await(thread, ticket, patience) {
		c.t.Error("an event was not dispatched in time")
	} else if r.IntN(8) == 0 {
		at := receipts[0].Position.String()
		c.reached.Store(&at)
	}
}

func (c *chaos) update(h *household, r *rand.Rand) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turns.Add(1)
	h.tenant.Store(int64(1 + r.IntN(2)))
	if _, _, err := c.x.UpdateContext(&bus.Thread{}, h.name, json.RawMessage(c.context(h.tenant.Load(), r))); err != nil {
		c.t.Error(err)
	}
	h.turns.Add(1)
}

func (c *chaos) settle() {
	c.mu.Lock()
	tickets := c.tickets
	c.tickets = nil
	c.mu.Unlock()
	for _, ticket := range tickets {
		// The answer of an event of whatever tenant: only who may have it has a place for it.
		c.x.Settle(&bus.Thread{}, ticket>>2, executor.Result{Kind: executor.KindData, Value: fmt.Appendf(nil, `{"orderUpdated":{"id":%d}}`, ticket&3)})
	}
}

func (c *chaos) step(r *rand.Rand) {
	thread := &bus.Thread{}
	h := c.homes[r.IntN(len(c.homes))]
	var s *executor.Subscription
	h.live.Range(func(key, _ any) bool {
		s = key.(*executor.Subscription)
		return r.IntN(4) > 0
	})
	switch r.IntN(16) {
	case 0, 1, 2:
		c.register(h, r)
	case 3, 4, 5, 6:
		c.publish(r)
	case 7:
		c.update(h, r)
	case 8:
		c.settle()
	case 9:
		_, _, err := c.x.Revoke(thread, []byte([]string{`{"permission":"secret:read"}`, `{"tenant_id":1}`, `{"tenant_id":2,"permission":"order:read"}`}[r.IntN(3)]))
		if err != nil {
			c.t.Error(err)
		}
	case 10:
		if _, err := c.x.Invalidate(thread, fmt.Appendf(nil, `{"claims.n":%d,"connection_id":%q}`, r.IntN(3), h.name)); err != nil {
			c.t.Error(err)
		}
	case 11:
		c.clock.set(float64(c.clock.read())/1e9+0.1, true)
	case 12:
		ev, err := event.Make(time.Now(), "orderUpdated", "orders.1", []byte(`{"id":1,"tenant_id":1}`), "", "")
		if err == nil {
			_, err = c.x.Explain(thread, ev, true)
		}
		if err != nil {
			c.t.Error(err)
		}
	default:
		if s == nil {
			return
		}
		switch r.IntN(6) {
		case 0:
			c.x.CompleteSubscription(thread, s.ID())
			h.live.Delete(s)
		case 1:
			resolver := r.IntN(5)
			err := c.x.SetResolver(thread, s.ID(), resolver, flagsOf[resolver])
			if err == nil && resolver > 0 {
				c.acquire(resolver, 1)
			} else if err != nil {
				c.expect(err, fault.SubscriptionNotFound, fault.Forbidden)
			}
		default:
			c.look(h, s)
			if _, err := c.x.Find(thread, s.ID()); err != nil {
				h.live.Delete(s)
			}
		}
	}
}

// Contexts, permissions, resolvers, expiry, invalidation, publishers and readers, on four
// goroutines: whatever comes first, nobody reads another tenant's event, nobody waits for
// ever, and when everything has ended nothing is left, neither of the engine's nor
// borrowed from others.
func TestEverythingAtOnceShowsNothingForeignAndLeavesNothing(t *testing.T) {
	python := newResolvers()
	x := openWith(t, python, strings.Replace(options, `"limits":{`, `"security":{"rbac":"null","max_violations":1000000},"limits":{"max_subscriptions_per_connection":30,`, 1))
	clock := &hands{now: 1e9, timers: map[int]func(){}, due: map[int]int64{}}
	executor.SetClock(x, clock.read, clock.after)
	c := &chaos{t: t, x: x, clock: clock, python: python, acquired: map[int]int{}}
	for i := range 3 {
		h := &household{name: fmt.Sprint("c", i)}
		h.tenant.Store(1)
		c.homes = append(c.homes, h)
	}
	answer := func(_ *bus.Thread, data []byte, _ executor.Call) executor.Result {
		return executor.Result{Kind: executor.KindData, Value: append(append([]byte(`{"orderUpdated":`), data...), '}')}
	}
	python.table[1], python.table[2] = answer, answer
	python.table[3] = func(_ *bus.Thread, data []byte, call executor.Call) executor.Result {
		tenant := uint64(1)
		if strings.HasPrefix(string(data), `{"id":2`) {
			tenant = 2
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tickets = append(c.tickets, call.Ticket<<2|tenant)
		return executor.Result{Kind: executor.KindPending}
	}
	python.table[4] = func(_ *bus.Thread, data []byte, _ executor.Call) executor.Result {
		return executor.Result{Kind: executor.KindData, Value: data}
	}

	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 5))
			for range 4000 {
				c.step(r)
			}
		})
	}
	workers.Wait()
	c.settle()
	thread := &bus.Thread{}
	for _, h := range c.homes {
		x.CloseConnection(thread, h.name)
	}
	eventually(t, "the events to be dispatched", func() bool { return x.Metrics().Queued == 0 })
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
	if active := x.Metrics().Active; active != 0 {
		t.Errorf("%d are active", active)
	}
	python.mu.Lock()
	defer python.mu.Unlock()
	for resolver, uses := range c.acquired {
		if got := python.released[resolver]; got != uses {
			t.Errorf("resolver %d was used %d times and given back %d times", resolver, uses, got)
		}
	}
	if c.read.Load() == 0 {
		t.Error(errors.New("nothing was read at all"))
	}
	m := x.Metrics()
	t.Logf("%d registered, %d refused, %d published, %d read; ended %v, dropped %v, denied %v", m.Total, c.refused.Load(), m.Published, c.read.Load(), m.Ended, m.Dropped, m.Denied)
}
