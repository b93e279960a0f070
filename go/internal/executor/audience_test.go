package executor_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// scalars are written so that many are equal to another one, or nearly.
var scalars = []string{
	`5`, `5.0`, `50e-1`, `"5"`, `0`, `-0`, `0.0`, `-5`, `true`, `false`, `null`, `1`, `10`, `1e1`, `0.5`, `5e-1`, `-0.5`,
	`9007199254740993`, `9007199254740992`, `9007199254740993.0`, `1e400`, `1e401`,
	`"a"`, `"\u0061"`, `"é"`, `"\u00e9"`, `"true"`, `""`, `{}`, `{"a":1}`, `[]`, `[1]`,
}

var identifiers = []string{`5`, `"5"`, `5.0`, `true`, `null`, `0`, `-0`, `"a"`, `"\u0061"`, `"b"`, `1e1`, `10.0`}

type choice struct{ *rand.Rand }

func (r choice) of(texts ...string) string { return texts[r.IntN(len(texts))] }

func (r choice) list(most int, texts []string) string {
	chosen := make([]string, r.IntN(most))
	for i := range chosen {
		chosen[i] = r.of(texts...)
	}
	return "[" + strings.Join(chosen, ",") + "]"
}

func (r choice) filter(depth int) string {
	var members []string
	for i := range 1 + r.IntN(3) {
		path := []string{"a", "b", "a.c", "d.0", "tenant_id", "e"}[(i*2+r.IntN(2))%6]
		var condition string
		switch r.IntN(8) {
		case 0:
			condition = `{"in":` + r.list(4, scalars) + `}`
		case 1:
			condition = fmt.Sprintf(`{"gte":%d}`, r.IntN(6))
		case 2:
			condition = `{"not_equals":` + r.of(scalars...) + `}`
		case 3:
			condition = `{"in":[5,"a",null,true],"equals":` + r.of(scalars...) + `}`
		case 4:
			condition = `{"` + r.of("not_in", "contains", "in") + `":[` + r.of(scalars...) + `]}`
		default:
			condition = `{"equals":` + r.of(scalars...) + `}`
		}
		members = append(members, fmt.Sprintf("%q:%s", path, condition))
	}
	if depth > 0 {
		switch r.IntN(4) {
		case 0:
			members = append(members, `"any":[`+r.filter(depth-1)+`,`+r.filter(depth-1)+`]`)
		case 1:
			members = append(members, `"all":[`+r.filter(depth-1)+`]`)
		case 2:
			members = append(members, `"not":`+r.filter(depth-1))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (r choice) options(types bool) string {
	patterns := []string{`"orders"`, `"orders.*"`, `"orders.>"`, `"*"`, `"orders.eu"`, `"orders:*"`, `"other"`}
	options := []string{`"channels":[` + r.of(patterns...) + `,` + r.of(patterns...) + `]`}
	if r.IntN(3) > 0 {
		options = append(options, `"filter":`+r.filter(2))
	}
	if r.IntN(2) > 0 {
		options = append(options, `"context":{"user_id":`+r.of(identifiers...)+`,"tenant_id":`+r.of(identifiers...)+`}`)
	}
	if types && r.IntN(3) == 0 {
		options = append(options, `"event_types":`+r.list(3, []string{`"x"`, `"y"`, `"z"`}))
	}
	return "{" + strings.Join(options, ",") + "}"
}

func (r choice) event(t testing.TB) *event.Event {
	var members []string
	for _, name := range []string{"a", "b", "e", "tenant_id", "user_id", "d", "a"} {
		switch r.IntN(4) {
		case 0:
		case 1:
			members = append(members, fmt.Sprintf(`"%s":{"c":%s}`, name, r.of(scalars...)))
		case 2:
			members = append(members, fmt.Sprintf(`"%s":%s`, name, r.of(identifiers...)))
		default:
			members = append(members, fmt.Sprintf(`"%s":[%s]`, name, r.of(scalars...)))
		}
	}
	channel := r.of("orders", "orders.eu", "orders.eu.paris", "orders:tenant-5", "orders:tenant-a", "other")
	return newEvent(t, r.of("x", "y", "z"), channel, "{"+strings.Join(members, ",")+"}")
}

func newEvent(t testing.TB, eventType, channel, data string) *event.Event {
	t.Helper()
	ev, err := event.Make(time.Now(), eventType, channel, []byte(data), "", "")
	if err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return ev
}

func openSecured(t testing.TB, security string) *executor.Executor {
	t.Helper()
	parsed, err := executor.ParseOptions(strings.Replace(options, `"limits"`, `"security":`+security+`,"limits"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	x, err := executor.New(1, parsed, newResolvers())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close(&bus.Thread{}, patience) })
	return x
}

func TestTheIndexFindsWhomLookingAtEverybodyFinds(t *testing.T) {
	policies := []string{
		`{}`, `{"identifiers":"loose"}`, `{"tenant":"off"}`, `{"row":"if_present"}`, `{"tenant":"if_present","row":"off"}`,
		`{"tenant_field":"a.c","user_field":"b"}`,
	}
	reached := 0
	for seed := range uint64(48) {
		r := choice{rand.New(rand.NewPCG(seed, 21))}
		policy := policies[int(seed)%len(policies)]
		types := seed%2 == 0
		x := openSecured(t, policy)
		var live []*executor.Subscription
		for step := range 300 {
			switch {
			case len(live) == 0 || r.IntN(300) > step:
				live = append(live, register(t, x, executor.Registration{
					Subscription: fmt.Sprint(step), Options: r.options(types),
					Query: fmt.Sprintf("subscription { orderUpdated { f%d } }", r.IntN(3)),
				}))
			case r.IntN(8) == 0:
				s := live[r.IntN(len(live))]
				if err := x.SetResolver(&bus.Thread{}, s.ID(), 1+r.IntN(3), 0); err != nil {
					t.Fatal(err)
				}
			default:
				i := r.IntN(len(live))
				x.CompleteSubscription(&bus.Thread{}, live[i].ID())
				live = slices.Delete(live, i, i+1)
			}
			ev := r.event(t)
			found, _, kept := x.Audience(ev)
			want, _, wantKept := x.Everybody(ev)
			if !maps.Equal(found, want) {
				t.Fatalf("seed %d step %d, policy %s: %s %s %s reaches %d subscriptions, want %d", seed, step, policy, ev.Type, ev.Channel, ev.Data, len(found), len(want))
			}
			if !types && kept != wantKept {
				t.Fatalf("seed %d step %d, policy %s: counted %d as kept away, want %d", seed, step, policy, kept, wantKept)
			}
			reached += len(found)
		}
		for _, s := range live {
			x.CompleteSubscription(&bus.Thread{}, s.ID())
		}
		if left := x.Remains(); left != "" {
			t.Errorf("left behind: %s", left)
		}
	}
	if reached < 10_000 {
		t.Errorf("only %d deliveries were compared: the events are too odd", reached)
	}
}

func TestAnEventLooksAtFewWhoDoNotWantIt(t *testing.T) {
	for name, options := range map[string]func(i int) string{
		"filter": func(i int) string {
			return fmt.Sprintf(`{"filter":{"status":"open","id":%d,"total":{"gte":%d}}}`, i/10, -i)
		},
		"filter with in": func(i int) string {
			return fmt.Sprintf(`{"filter":{"id":{"in":[%d,%d]}},"positions":%v}`, i/10, -i-1, i%2 == 0)
		},
		"user":   func(i int) string { return fmt.Sprintf(`{"context":{"user_id":%d,"tenant_id":"t"}}`, i/10) },
		"tenant": func(i int) string { return fmt.Sprintf(`{"context":{"user_id":"u","tenant_id":%d}}`, i/10) },
		"type":   func(i int) string { return fmt.Sprintf(`{"event_types":["%d"]}`, i/10) },
		"channel and all": func(i int) string {
			return fmt.Sprintf(`{"channels":["orders.*","a.b"],"event_types":["700"],"filter":{"id":%d},"context":{"user_id":700,"tenant_id":"t"}}`, i/10)
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := open(t, newResolvers())
			for i := range 10_000 {
				register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Options: options(i)})
			}
			data := `{"id":700,"status":"open","total":1,"user_id":700,"tenant_id":"t"}`
			if name == "tenant" {
				data = `{"tenant_id":700,"user_id":"u"}`
			}
			found, visited, kept := x.Audience(newEvent(t, "700", "orders.eu", data))
			if len(found) != 10 || visited > 60 {
				t.Errorf("looked at %d cohorts to find %d subscriptions, of 10 that want the event", visited, len(found))
			}
			if want := 10_000 - 10; name != "type" && kept != want {
				t.Errorf("counted %d as kept away, want %d", kept, want)
			}
		})
	}
}

// Else the time that a denial takes would tell how many tenants there are.
func TestADenialLooksAtNobodyOfOtherTenants(t *testing.T) {
	for what, one := range map[string]struct {
		channel, data string
		visited       int // of the tenant "t" there are three, and only those can be looked at
	}{
		"nobody's tenant":         {"orders", `{"tenant_id":"nobody","user_id":1}`, 0},
		"no tenant":               {"orders", `{"user_id":1}`, 0},
		"a channel's tenant":      {"orders:tenant-nobody", `{"user_id":1}`, 0},
		"two tenants":             {"orders:tenant-t", `{"tenant_id":"u","user_id":1}`, 0},
		"what is no identifier":   {"orders", `{"tenant_id":["t"],"user_id":1}`, 0},
		"another user":            {"orders", `{"tenant_id":"t","user_id":9}`, 3},
		"another type of tenant":  {"orders", `{"tenant_id":3,"user_id":1}`, 0},
		"another federation":      {"orders", `{"tenant_id":"t","federation_id":"f"}`, 3},
		"another case of its own": {"orders", `{"tenant_id":"T"}`, 0},
	} {
		for _, tenants := range []int{10, 1_000, 10_000} {
			// Under the other modules' modes the tenant is what finds a subscription.
			x := openSecured(t, `{"row":"if_present"}`)
			for i := range tenants {
				register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Options: fmt.Sprintf(`{"context":{"tenant_id":"%d"}}`, i)})
			}
			for i := range 3 {
				register(t, x, executor.Registration{Subscription: fmt.Sprint("t", i), Options: fmt.Sprintf(`{"context":{"tenant_id":"t","user_id":%d}}`, i)})
			}
			found, visited, kept := x.Audience(newEvent(t, "changed", one.channel, one.data))
			// A section takes four members before it sorts them by value.
			if len(found) != 0 || visited > one.visited+4 {
				t.Errorf("%s: of %d tenants, %d subscriptions found and %d looked at", what, tenants, len(found), visited)
			}
			if kept != tenants+3 {
				t.Errorf("%s: of %d tenants, %d subscriptions kept away", what, tenants, kept)
			}
		}
	}
}

// Whoever registered before the publish gets the event, and whoever completed does
// not, while others with the same values, fields and patterns come and go.
func TestSubscriptionsWithFiltersComeAndGoBesideEvents(t *testing.T) {
	x := open(t, newResolvers())
	const workers, rounds = 4, 150
	thread := &bus.Thread{}
	var staying []*executor.Subscription
	for i := range 20 {
		staying = append(staying, register(t, x, executor.Registration{
			Connection: "stays", Subscription: fmt.Sprint(i), Options: fmt.Sprintf(`{"filter":{"p%d":1,"always":true,"own":{"not_equals":"%d"}}}`, i%3, i),
		}))
	}
	var events atomic.Int64
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			mine := &bus.Thread{}
			for i := range rounds {
				s, err := x.RegisterSubscription(mine, executor.Registration{
					Connection: fmt.Sprint(w), Subscription: fmt.Sprint(i), Query: "subscription { orderUpdated { id } }",
					Options: []string{
						fmt.Sprintf(`{"channels":["orders.%d","orders.*"],"filter":{"p%d":{"in":[1,%d]},"own":"%d-%d"}}`, w, i%5, i, w, i%7),
						fmt.Sprintf(`{"filter":{"p%d":1,"own":{"not_equals":"%d and %d"}}}`, i%3, w, i),
					}[i%2],
				})
				if err != nil {
					t.Error(err)
					return
				}
				if i%3 == 0 {
					if err := x.SetResolver(mine, s.ID(), 0, 0); err != nil {
						t.Error(err)
						return
					}
				}
				publish(t, x, "orders."+fmt.Sprint(i%5), fmt.Sprintf(`{"p0":1,"p1":1,"p2":1,"p3":1,"p4":1,"always":true,"own":"%d-%d"}`, w, i%7))
				events.Add(1)
				if got := len(read(x, s)); got == 0 {
					t.Error("the event published after the registration did not arrive")
					return
				}
				x.CompleteSubscription(mine, s.ID())
			}
		})
	}
	running.Wait()
	for _, s := range staying {
		if got := len(read(x, s)); got != int(events.Load()) {
			t.Fatalf("a subscription that stays got %d of %d events", got, events.Load())
		}
	}
	for _, s := range staying {
		x.CompleteSubscription(thread, s.ID())
	}
	if left := x.Remains(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// Two threads that replace a resolver at once agree on who came after whom: no
// event finds two memberships of a subscription, nor none.
func TestResolversReplacedAtOnceNeitherRepeatNorLoseAnEvent(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Subscription: "a", Options: `{"queue":{"max_responses":3001,"max_bytes":1000000,"overflow":"drop_oldest"}}`})
	var replacing sync.WaitGroup
	var done atomic.Bool
	for w := range 4 {
		replacing.Go(func() {
			mine := &bus.Thread{}
			for i := 0; !done.Load(); i++ {
				if err := x.SetResolver(mine, s.ID(), 0, executor.ResolverFlags((i+w)%2)*executor.TakesInfo); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	const events = 3000
	for i := range events {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d}`, i))
	}
	done.Store(true)
	replacing.Wait()
	got := payloadsOf(read(x, s))
	if len(got) != events {
		t.Errorf("%d of %d events arrived", len(got), events)
	}
	for i, payload := range got {
		if want := fmt.Sprintf(`{"data":{"orderUpdated":{"id":%d}}}`, i); payload != want {
			t.Fatalf("response %d is %s", i, payload)
		}
	}
}
