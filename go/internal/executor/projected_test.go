package executor_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// projecting are the options of a subscription whose resolver, number 1, gives the root
// field's value.
const projecting = `{"context":{"permissions":["order:read"]},"resolver":1,"resolver_flags":8}`

// withSecret has a resolver that gives an object which needs a permission of its own.
func withSecret(t *testing.T, security string) *executor.Executor {
	t.Helper()
	python := newResolvers()
	python.table[1] = func(*bus.Thread, []byte, executor.Call) executor.Result {
		return executor.Result{Kind: executor.KindData, Value: []byte(`{"id":1,"secret":{"k":"hidden"}}`)}
	}
	return openWith(t, python, strings.Replace(options, "{", `{"security":`+security+`,`, 1))
}

func TestAFieldsResolverShowsNoObjectWhosePermissionsNobodyCouldCheck(t *testing.T) {
	for _, security := range []string{`{}`, `{"rbac":"null"}`} {
		x := withSecret(t, security)
		s := register(t, x, executor.Registration{Query: "subscription { orderUpdated { id secret } }", Options: projecting})
		publish(t, x, "orders", `{}`)
		got := strings.Join(read(x, s), "")
		if strings.Contains(got, "hidden") || !strings.Contains(got, `"secret":null`) || !strings.Contains(got, "FORBIDDEN") {
			t.Errorf("%s: read %s", security, got)
		}
	}
}

func TestAFieldsResolverIsNulledLikeAnEvent(t *testing.T) {
	const query = "subscription { orderUpdated { id secret { k } } }"
	x := withSecret(t, `{"rbac":"null"}`)
	s := register(t, x, executor.Registration{Query: query, Options: projecting})
	publish(t, x, "orders", `{}`)
	const want = `{"id":"","type":"next","payload":{"data":{"orderUpdated":{"id":1,"secret":null}},"errors":[{"message":"the field secret needs the permission secret:read","path":["orderUpdated","secret"],"extensions":{"code":"FORBIDDEN"}}]}}`
	if got := strings.Join(read(x, s), ""); got != want {
		t.Errorf("read %s", got)
	}
	update(t, x, `{"permissions":["order:read","secret:read"]}`)
	publish(t, x, "orders", `{}`)
	if got := strings.Join(read(x, s), ""); !strings.Contains(got, "hidden") {
		t.Errorf("with the permission it read %s", got)
	}
	if changed := revoke(t, x, `{"permission":"secret:read"}`); changed != 1 {
		t.Errorf("%d changed", changed)
	}
	publish(t, x, "orders", `{}`)
	if got := strings.Join(read(x, s), ""); got != want {
		t.Errorf("after the revocation it read %s", got)
	}
	// What a resolver gives as the whole response cannot be nulled.
	if err := x.SetResolver(&bus.Thread{}, s.ID(), 1, 0); fault.CodeOf(err) != fault.Forbidden {
		t.Errorf("another resolver: %v", err)
	}

	x = withSecret(t, `{}`)
	_, err := x.RegisterSubscription(&bus.Thread{}, executor.Registration{Query: query, Options: projecting})
	if fault.CodeOf(err) != fault.Forbidden || !strings.Contains(err.Error(), "secret:read") {
		t.Errorf("refuse: %v", err)
	}
}

func TestWhatAClientAsksForIsReadBeforeAnybodyAsksWhoItIs(t *testing.T) {
	x := withSecret(t, `{"require_context":true}`)
	told, err := x.Inspect(&bus.Thread{}, executor.Registration{Query: `subscription($n: Int = 3) { orderUpdated(n: $n) { id } }`})
	if err != nil || string(told) != `{"kind":"subscription","field":"orderUpdated","arguments":{"n":3}}` {
		t.Errorf("told %s, %v", told, err)
	}
}

// A resolver's whole response cannot be nulled, so under a context that lacks a permission
// there is either no such resolver or no subscription, whoever comes first.
func TestNoResolverIsSetUnderAContextThatItsSubscriptionMayNotHave(t *testing.T) {
	const (
		query   = "subscription { orderUpdated { id secret { k } } }"
		all     = `{"permissions":["order:read","secret:read"]}`
		partial = `{"permissions":["order:read"]}`
	)
	python := newResolvers()
	python.table[1] = func(*bus.Thread, []byte, executor.Call) executor.Result {
		return executor.Result{Kind: executor.KindData, Value: []byte(`{"orderUpdated":{"id":1,"secret":{"k":"hidden"}}}`)}
	}
	x := openWith(t, python, strings.Replace(options, "{", `{"security":{"rbac":"null"},`, 1))
	var (
		stop           atomic.Bool
		others         sync.WaitGroup
		current        atomic.Pointer[executor.Subscription]
		ended, nulled  int
		set, projected atomic.Int64
	)
	others.Go(func() {
		for !stop.Load() {
			publish(t, x, "orders", `{"id":1,"secret":{"k":"hidden"}}`)
		}
	})
	for range 2 {
		others.Go(func() {
			thread := &bus.Thread{}
			for turn := 0; !stop.Load(); turn++ {
				s := current.Load()
				if s == nil {
					continue
				}
				switch err := x.SetResolver(thread, s.ID(), turn%2, 0); {
				case err == nil && turn%2 == 1:
					set.Add(1)
				case err == nil:
					projected.Add(1)
				case fault.CodeOf(err) != fault.Forbidden && fault.CodeOf(err) != fault.SubscriptionNotFound:
					t.Error(err)
				}
			}
		})
	}
	for range 25 {
		s := register(t, x, executor.Registration{Query: query, Options: `{"context":` + all + `}`})
		current.Store(s)
		for changed := 1; changed == 1; {
			changed, _ = update(t, x, partial)
			publish(t, x, "orders", `{"id":1,"secret":{"k":"hidden"}}`)
			got := strings.Join(read(x, s), "")
			if strings.Contains(got, "hidden") {
				t.Fatalf("read under the partial context: %s", got)
			}
			if changed == 0 {
				ended++
				if !strings.Contains(got, "FORBIDDEN") {
					t.Fatalf("the last of it: %q", got)
				}
				break
			}
			nulled++
			if !strings.Contains(got, `"secret":null`) {
				t.Fatalf("nothing is nulled: %q", got)
			}
			update(t, x, all)
		}
	}
	stop.Store(true)
	others.Wait()
	t.Logf("%d ended and %d went on with nulls; %d resolvers were set and %d taken away", ended, nulled, set.Load(), projected.Load())
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}
