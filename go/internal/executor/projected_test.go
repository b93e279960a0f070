package executor_test

import (
	"strings"
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
	told, err := x.Inspect(&bus.Thread{}, `subscription($n: Int = 3) { orderUpdated(n: $n) { id } }`, "", "")
	if err != nil || string(told) != `{"field":"orderUpdated","arguments":{"n":3}}` {
		t.Errorf("told %s, %v", told, err)
	}
}
