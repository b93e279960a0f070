package executor_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// named are a registration's options under policy number.
func named(options string, number int) string {
	return strings.Replace(options, "{", fmt.Sprintf(`{"policy":%d,`, number), 1)
}

func addPolicy(t *testing.T, x *executor.Executor, text string) int {
	t.Helper()
	number, err := x.AddPolicy(&bus.Thread{}, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// Beside subscriptions under other policies each is decided as in an executor whose
// only policy is its own: by the index, by looking at everybody, and by explain.
func TestEachSubscriptionIsDecidedByItsOwnPolicyAlone(t *testing.T) {
	texts := []string{
		`{}`, `{"identifiers":"loose"}`, `{"tenant":"off"}`, `{"row":"if_present"}`, `{"tenant":"if_present","row":"off"}`,
		`{"tenant_field":"a.c","user_field":"b"}`, `{"row":"off","federation":"off","scope":"off"}`, `{"tenant_field":"user_id","user_field":"tenant_id"}`,
	}
	reached := 0
	for seed := range uint64(24) {
		r := choice{rand.New(rand.NewPCG(seed, 5))}
		mixed := openSecured(t, texts[int(seed)%len(texts)])
		var alone []*executor.Executor
		for i, text := range texts {
			if number := addPolicy(t, mixed, text); number != i+1 {
				t.Fatalf("policy %d has the number %d", i+1, number)
			}
			alone = append(alone, openSecured(t, text))
		}
		if number := addPolicy(t, mixed, texts[3]); number != 4 {
			t.Errorf("an equal policy has the number %d, not 4", number)
		}
		alone = append([]*executor.Executor{openSecured(t, texts[int(seed)%len(texts)])}, alone...)
		names, byName := map[*executor.Subscription]string{}, map[string]string{}
		for i := range 300 {
			options, number := r.options(true), r.IntN(len(alone))
			client := fmt.Sprint(i)
			names[register(t, mixed, executor.Registration{Subscription: client, Options: named(options, number)})] = client
			s := register(t, alone[number], executor.Registration{Subscription: client, Options: options})
			names[s], byName[s.ID()] = client, client
		}
		clients := func(found map[*executor.Subscription]int) map[string]int {
			all := map[string]int{}
			for s, times := range found {
				all[names[s]] += times
			}
			return all
		}
		for range 100 {
			ev := r.event(t)
			want := map[string]int{}
			for _, x := range alone {
				found, _, _ := x.Everybody(ev)
				maps.Copy(want, clients(found))
			}
			found, _, _ := mixed.Audience(ev)
			everybody, _, _ := mixed.Everybody(ev)
			if got := clients(found); !maps.Equal(got, want) || !maps.Equal(clients(everybody), want) {
				t.Fatalf("seed %d: %s %s reaches %v, want %v", seed, ev.Channel, ev.Data, got, want)
			}
			explained, err := mixed.Explain(&bus.Thread{}, ev, false)
			if err != nil {
				continue // what cannot be published
			}
			delivered := 0
			for _, one := range explained {
				if one.Verdict == "delivered" {
					delivered++
				}
			}
			if delivered != len(want) {
				t.Fatalf("seed %d: explain says %d, want %d", seed, delivered, len(want))
			}
			reached += len(want)
		}
		for s := range names {
			mixed.CompleteSubscription(&bus.Thread{}, s.ID())
		}
		if left := mixed.Remains(); left != "" {
			t.Errorf("left behind: %s", left)
		}
	}
	if reached < 5_000 {
		t.Errorf("only %d deliveries were compared", reached)
	}
}

// The same permissions are missing, at other places: neither may get the other's bytes.
func TestWhatOnePolicyNullsAnotherDoesNotShow(t *testing.T) {
	const query = "subscription { orderUpdated { id a b } }"
	x := openSecured(t, `{"rbac":"null","permissions":{"orderUpdated.a":"p"}}`)
	number := addPolicy(t, x, `{"rbac":"null","permissions":{"orderUpdated.b":"p"}}`)
	open := addPolicy(t, x, `{"rbac":"null"}`)
	const context = `{"context":{"permissions":["order:read"]}}`
	for round := range 2 {
		var all []*executor.Subscription
		for i := range 3 {
			// Each is the first to be compiled once.
			n := []int{0, number, open}[(i+round)%3]
			all = append(all, register(t, x, executor.Registration{Subscription: fmt.Sprint(n), Query: query, Options: named(context, n)}))
		}
		publish(t, x, "orders", `{"id":1,"a":"A","b":"B"}`)
		for i, s := range all {
			got := strings.Join(read(x, s), "")
			n := []int{0, number, open}[(i+round)%3]
			shows := map[int][2]bool{0: {false, true}, number: {true, false}, open: {true, true}}[n]
			if strings.Contains(got, `"A"`) != shows[0] || strings.Contains(got, `"B"`) != shows[1] {
				t.Errorf("policy %d: %s", n, got)
			}
			x.CompleteSubscription(&bus.Thread{}, s.ID())
		}
	}
}

func TestContextsAreReplacedAndRevokedByTheSubscriptionsPolicy(t *testing.T) {
	x := openSecured(t, `{}`)
	wide := addPolicy(t, x, `{"row":"off","identifiers":"loose","permissions":{"orderUpdated":"wide:read"}}`)
	const query = "subscription ($tenant_id: String) { orderUpdated { id } }"
	own := register(t, x, executor.Registration{Subscription: "own", Query: query, Options: `{"context":{"tenant_id":5,"user_id":1}}`})
	s := register(t, x, executor.Registration{
		Subscription: "wide", Query: query, Variables: `{"tenant_id":"5"}`,
		Options: named(`{"context":{"tenant_id":5,"user_id":1,"permissions":["wide:read"]}}`, wide),
	})
	publish(t, x, "orders", `{"id":1,"tenant_id":5,"user_id":2}`)
	publish(t, x, "orders", `{"id":2,"tenant_id":"5","user_id":1}`)
	publish(t, x, "orders", `{"id":3,"tenant_id":5,"user_id":1}`)
	publish(t, x, "orders", `{"id":4,"tenant_id":6,"user_id":1}`)
	if got := orderIDs(t, read(x, own)); fmt.Sprint(got) != "[3]" {
		t.Errorf("under the executor's policy it read %v", got)
	}
	if got := orderIDs(t, read(x, s)); fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("under its own policy it read %v", got)
	}
	// Another user of the tenant sees the same here; the one without the permission does not go on.
	if changed, _ := update(t, x, `{"tenant_id":5,"user_id":9,"permissions":["wide:read","order:read"]}`); changed != 2 {
		t.Errorf("%d changed", changed)
	}
	publish(t, x, "orders", `{"id":5,"tenant_id":5,"user_id":2}`)
	if got := orderIDs(t, read(x, s)); fmt.Sprint(got) != "[5]" {
		t.Errorf("read %v", got)
	}
	if changed := revoke(t, x, `{"permission":"wide:read"}`); changed != 2 {
		t.Errorf("%d changed", changed) // the other loses the permission without needing it
	}
	if got := read(x, s); len(got) != 1 || !strings.Contains(got[0], "FORBIDDEN") {
		t.Errorf("read %v", got)
	}
	// Loose identifiers are that policy's alone.
	again := register(t, x, executor.Registration{Subscription: "again", Query: query, Options: named(`{"context":{"tenant_id":5}}`, wide)})
	if changed := revoke(t, x, `{"tenant_id":"5"}`); changed != 1 {
		t.Errorf("%d ended", changed)
	}
	if got := read(x, again); len(got) != 1 {
		t.Errorf("read %v", got)
	}
}

func TestReplayIsDecidedByTheSubscriptionsPolicy(t *testing.T) {
	x := openSecured(t, `{"row":"off"}`)
	strict := addPolicy(t, x, `{}`)
	first := register(t, x, executor.Registration{Subscription: "first", Options: `{"positions":true}`})
	for id := range 4 {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"user_id":%d}`, id, id%2))
	}
	_, position, _ := strings.Cut(read(x, first)[0], `"position":"`)
	position, _, _ = strings.Cut(position, `"`)
	for number, want := range map[int]string{0: "[1 2 3]", strict: "[1 3]"} {
		s := register(t, x, executor.Registration{Subscription: fmt.Sprint("r", number), Options: named(`{"context":{"user_id":1}}`, number), Since: position})
		if got := orderIDs(t, read(x, s)); fmt.Sprint(got) != want {
			t.Errorf("policy %d: read %v, want %s", number, got, want)
		}
	}
}

func TestAPolicyMustBeKnownAndReadable(t *testing.T) {
	x := open(t, newResolvers())
	_, err := x.RegisterSubscription(&bus.Thread{}, executor.Registration{Connection: "c", Subscription: "s", Query: "subscription { a }", Options: `{"policy":1}`})
	if fault.CodeOf(err) != fault.InvalidValue {
		t.Error(err)
	}
	for _, text := range []string{`{"tenant":"sometimes"}`, `[]`, `{"nothing":1}`} {
		if _, err := x.AddPolicy(&bus.Thread{}, []byte(text)); fault.CodeOf(err) != fault.InvalidValue {
			t.Errorf("%s: %v", text, err)
		}
	}
	required := addPolicy(t, x, `{"require_context":true}`)
	_, err = x.RegisterSubscription(&bus.Thread{}, executor.Registration{Connection: "c", Subscription: "s", Query: "subscription { a }", Options: named(`{"share":true}`, required)})
	if fault.CodeOf(err) != fault.Forbidden {
		t.Error(err)
	}
}

func TestAPolicyCostsADispatchNoAllocationOfItsOwn(t *testing.T) {
	const policies = 64
	x := openSecured(t, `{}`)
	data := []string{`"last":0`}
	for i := range policies {
		number := addPolicy(t, x, fmt.Sprintf(`{"tenant_field":"t%d"}`, i))
		register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Options: named(fmt.Sprintf(`{"context":{"tenant_id":%d}}`, i), number)})
		data = append(data, fmt.Sprintf(`"t%d":%d`, i, i/2*2))
	}
	ev, err := event.Make(time.Now(), "e", "orders", []byte("{"+strings.Join(data, ",")+"}"), "", "")
	if err != nil {
		t.Fatal(err)
	}
	if found, _, _ := x.Audience(ev); len(found) != policies/2 {
		t.Errorf("%d of %d may see it", len(found), policies)
	}
	thread := &bus.Thread{}
	// The race detector makes pools forgetful.
	if n := testing.AllocsPerRun(200, func() { x.Recycle(x.DispatchEventToSubscriptions(thread, ev)) }); n > policies/2 {
		t.Errorf("%v allocations an event", n)
	}
}
