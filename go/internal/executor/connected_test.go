package executor_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func connect(t *testing.T, x *executor.Executor, context string) {
	t.Helper()
	if err := x.Connect(&bus.Thread{}, "c", json.RawMessage(context)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		x.Disconnect(&bus.Thread{}, "c")
		if left := x.Remains(); left != "" {
			t.Errorf("tables of sizes %s are left", left)
		}
	})
}

// registering registers subscriptions of connection "c" with a context until it is stopped,
// on two goroutines that keep some twenty ahead; what it has registered since the last call is taken by the function.
func registering(t *testing.T, x *executor.Executor, context string, refused func(error) bool) (take func() []*executor.Subscription, stop func()) {
	t.Helper()
	var (
		over   atomic.Bool
		group  sync.WaitGroup
		mu     sync.Mutex
		made   []*executor.Subscription
		number atomic.Int64
	)
	for range 2 {
		group.Go(func() {
			for !over.Load() {
				if mu.Lock(); len(made) >= 20 {
					mu.Unlock()
					runtime.Gosched()
					continue
				}
				mu.Unlock()
				s, err := x.RegisterSubscription(&bus.Thread{}, executor.Registration{
					Connection: "c", Subscription: fmt.Sprint(number.Add(1)),
					Query: "subscription { orderUpdated { id } }", Options: `{"context":` + context + `}`,
				})
				if err != nil {
					if !refused(err) {
						t.Error(err)
					}
					continue
				}
				mu.Lock()
				made = append(made, s)
				mu.Unlock()
			}
		})
	}
	take = func() []*executor.Subscription {
		mu.Lock()
		defer mu.Unlock()
		taken := made
		made = nil
		return taken
	}
	return take, func() { over.Store(true); group.Wait() }
}

func TestAClientRegistersAsWhoItIsNowHoweverLateItIs(t *testing.T) {
	x := open(t, newResolvers())
	connect(t, x, `{"tenant_id":1}`)
	take, stop := registering(t, x, `{"tenant_id":1}`, func(error) bool { return false })
	defer stop()
	seen := 0
	for round := range 100 {
		var before []*executor.Subscription
		eventually(t, "a registration", func() bool { before = append(before, take()...); return len(before) > 0 })
		tenant := 1 + round%2
		update(t, x, fmt.Sprintf(`{"tenant_id":%d}`, tenant))
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"tenant_id":%d}`, 3-tenant, 3-tenant))
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"tenant_id":%d}`, tenant, tenant))
		for _, s := range append(before, take()...) {
			for _, id := range orderIDs(t, read(x, s)) {
				if seen++; id != tenant {
					t.Fatalf("a client of tenant %d read an event of tenant %d", tenant, id)
				}
			}
			x.CompleteSubscription(&bus.Thread{}, s.ID())
		}
	}
	stop()
	for _, s := range take() {
		x.CompleteSubscription(&bus.Thread{}, s.ID())
	}
	if seen == 0 {
		t.Error("nothing was read at all")
	}
}

func TestWhoWasRevokedRegistersNothingMore(t *testing.T) {
	x := open(t, newResolvers())
	const who = `{"user_id":"a","tenant_id":1}`
	connect(t, x, who)
	take, stop := registering(t, x, who, func(err error) bool { return fault.CodeOf(err) == fault.Unauthenticated })
	defer stop()
	for range 100 {
		var before []*executor.Subscription
		eventually(t, "a registration", func() bool { before = append(before, take()...); return len(before) > 0 })
		revoke(t, x, `{"user_id":"a"}`)
		publish(t, x, "orders", `{"id":1,"tenant_id":1,"user_id":"a"}`)
		for _, s := range append(before, take()...) {
			if got := read(x, s); len(got) != 1 || !strings.Contains(got[0], "UNAUTHENTICATED") {
				t.Fatalf("read %v", got)
			}
		}
		if active := x.Metrics().Active; active > 0 {
			t.Fatalf("%d live on", active)
		}
		update(t, x, who)
	}
	stop()
	x.CloseConnection(&bus.Thread{}, "c")
}

func TestAPermissionThatWasRevokedIsNotRegisteredWithAgain(t *testing.T) {
	x := open(t, newResolvers())
	const who = `{"permissions":["order:read","x"]}`
	connect(t, x, who)
	take, stop := registering(t, x, who, func(err error) bool {
		return fault.CodeOf(err) == fault.Forbidden || fault.CodeOf(err) == fault.TooManyViolations
	})
	defer stop()
	var before []*executor.Subscription
	eventually(t, "a registration", func() bool { before = append(before, take()...); return len(before) > 0 })
	revoke(t, x, `{"permission":"order:read"}`)
	publish(t, x, "orders", `{"id":1}`)
	for _, s := range append(before, take()...) {
		if got := read(x, s); len(got) != 1 || !strings.Contains(got[0], "FORBIDDEN") && !strings.Contains(got[0], "TOO_MANY") {
			t.Fatalf("read %v", got)
		}
	}
	stop()
	x.CloseConnection(&bus.Thread{}, "c")
}

func TestATrustedSubscriptionOfAClientsConnectionHasTheClientsContext(t *testing.T) {
	x := open(t, newResolvers())
	connect(t, x, `{"tenant_id":1}`)
	s := register(t, x, executor.Registration{})
	publish(t, x, "orders", `{"id":2,"tenant_id":2}`)
	if got := read(x, s); len(got) > 0 {
		t.Errorf("read %v", got)
	}
	x.CompleteSubscription(&bus.Thread{}, s.ID())
}

func TestAClientsContextThatCannotBeReadIsNone(t *testing.T) {
	x := open(t, newResolvers())
	if err := x.Connect(&bus.Thread{}, "c", json.RawMessage(`{"tenant":1}`)); fault.CodeOf(err) != fault.InvalidValue {
		t.Error(err)
	}
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}
