package executor_test

import (
	"encoding/json"
	"fmt"
	"runtime"
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

// openLimited opens an executor with limits (JSON members), and a clock to be set.
func openLimited(t *testing.T, python *resolvers, limits string) (*executor.Executor, *atomic.Int64) {
	t.Helper()
	x := openWith(t, python, strings.Replace(options, `"limits":{`, `"limits":{`+limits+`,`, 1))
	now := new(atomic.Int64)
	executor.SetElapsed(x, now.Load)
	return x, now
}

func openWith(t testing.TB, python *resolvers, options string) *executor.Executor {
	t.Helper()
	parsed, err := executor.ParseOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	x, err := executor.New(1, parsed, python)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !x.Close(&bus.Thread{}, patience) {
			t.Error("the executor did not close in time")
		}
	})
	return x
}

func try(x *executor.Executor, connection, id, options string) (*executor.Subscription, error) {
	return x.RegisterSubscription(&bus.Thread{}, executor.Registration{
		Connection: connection, Subscription: id, Query: "subscription { orderUpdated { id } }", Options: options,
	})
}

func mustTry(t *testing.T, x *executor.Executor, connection, id, options string) *executor.Subscription {
	t.Helper()
	s, err := try(x, connection, id, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func expectLimit(t *testing.T, err error, name string) {
	t.Helper()
	if got := fault.LimitOf(err); got != name {
		t.Errorf("%v: limit %q, want %q", err, got, name)
	}
}

func TestARaceOfRegistrationsNeverExceedsALimit(t *testing.T) {
	x, _ := openLimited(t, newResolvers(), `"max_subscriptions":40,"max_subscriptions_per_connection":7,"max_subscriptions_per_user":11,"max_connections":9,"max_connections_per_user":3`)
	var group sync.WaitGroup
	var mu sync.Mutex
	live := map[string]int{}
	var refused atomic.Int64
	count := func(key string, by, most int) {
		if live[key] += by; live[key] > most {
			t.Errorf("%s: %d, the most is %d", key, live[key], most)
		}
	}
	for worker := range 50 {
		group.Go(func() {
			for round := range 40 {
				connection, user := fmt.Sprintf("c%d", (worker+round)%12), fmt.Sprintf("%d", (worker*round)%6)
				s, err := try(x, connection, fmt.Sprint(worker, round), `{"context":{"user_id":`+user+`}}`)
				if err != nil {
					refused.Add(1)
					if fault.CodeOf(err) != fault.LimitExceeded {
						t.Error(err)
					}
					continue
				}
				// On these books after the engine's, and off before: they never have more.
				for _, by := range []int{1, -1} {
					mu.Lock()
					count("all", by, 40)
					count("connection "+connection, by, 7)
					count("user "+user, by, 11)
					mu.Unlock()
					runtime.Gosched()
				}
				if round%3 == 0 {
					x.End(&bus.Thread{}, s, executor.Final{}, executor.EndInvalidated)
				}
				x.CompleteSubscription(&bus.Thread{}, s.ID())
			}
		})
	}
	group.Wait()
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestAFullHouseIsFullToTheLastOneWhoeverRaces(t *testing.T) {
	x, _ := openLimited(t, newResolvers(), `"max_subscriptions_per_connection":25`)
	var group sync.WaitGroup
	var admitted atomic.Int64
	for worker := range 50 {
		group.Go(func() {
			for round := range 4 {
				if _, err := try(x, "c", fmt.Sprint(worker, round), ""); err == nil {
					admitted.Add(1)
				} else {
					expectLimit(t, err, "max_subscriptions_per_connection")
				}
			}
		})
	}
	group.Wait()
	if admitted.Load() != 25 || x.Metrics().Rejected["max_subscriptions_per_connection"] != 175 {
		t.Errorf("%d admitted, %v", admitted.Load(), x.Metrics().Rejected)
	}
}

func TestEveryEndOfASubscriptionFreesItsPlaceOnce(t *testing.T) {
	ends := map[string]func(x *executor.Executor, s *executor.Subscription){
		"complete":   func(x *executor.Executor, s *executor.Subscription) { x.CompleteSubscription(&bus.Thread{}, s.ID()) },
		"connection": func(x *executor.Executor, _ *executor.Subscription) { x.CloseConnection(&bus.Thread{}, "c") },
		"end": func(x *executor.Executor, s *executor.Subscription) {
			x.End(&bus.Thread{}, s, executor.Final{Code: "X"}, executor.EndInvalidated)
		},
		"end and read": func(x *executor.Executor, s *executor.Subscription) {
			x.End(&bus.Thread{}, s, executor.Final{Code: "X"}, executor.EndInvalidated)
			read(x, s)
		},
		"end and complete": func(x *executor.Executor, s *executor.Subscription) {
			x.End(&bus.Thread{}, s, executor.Final{Code: "X"}, executor.EndInvalidated)
			x.CompleteSubscription(&bus.Thread{}, s.ID())
		},
		"end and close": func(x *executor.Executor, s *executor.Subscription) {
			x.End(&bus.Thread{}, s, executor.Final{Code: "X"}, executor.EndInvalidated)
			x.CloseConnection(&bus.Thread{}, "c")
		},
		"half an end": func(x *executor.Executor, s *executor.Subscription) {
			x.FinishOnly(s)
			x.CompleteSubscription(&bus.Thread{}, s.ID())
		},
		"ended by a dispatch": func(x *executor.Executor, s *executor.Subscription) { x.FinishSoon(s) },
		"revoked": func(x *executor.Executor, _ *executor.Subscription) {
			if _, _, err := x.Revoke(&bus.Thread{}, json.RawMessage(`{"user_id":5}`)); err != nil {
				panic(err)
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			x, _ := openLimited(t, newResolvers(), `"max_subscriptions":1,"max_connections":1,"max_subscriptions_per_user":1,"max_connections_per_user":1`)
			for range 5 {
				s := mustTry(t, x, "c", "1", `{"context":{"user_id":5}}`)
				_, err := try(x, "c", "2", `{"context":{"user_id":5}}`)
				expectLimit(t, err, "max_subscriptions")
				end(x, s)
			}
		})
	}
}

func TestUsersAreToldApartByTypeAndValue(t *testing.T) {
	x, _ := openLimited(t, newResolvers(), `"max_subscriptions_per_user":1`)
	for i, user := range []string{`5`, `"5"`, `5.0`, `true`, `"true"`, `-5`} {
		mustTry(t, x, fmt.Sprint("c", i), "1", `{"context":{"user_id":`+user+`}}`)
		_, err := try(x, fmt.Sprint("d", i), "1", `{"context":{"user_id":`+user+`,"tenant_id":7}}`)
		expectLimit(t, err, "max_subscriptions_per_user")
	}
	for i := range 3 { // nobody's
		mustTry(t, x, "e", fmt.Sprint(i), ``)
		mustTry(t, x, "f", fmt.Sprint(i), `{"context":{}}`)
	}
}

func TestANewContextCountsForItsUser(t *testing.T) {
	x, _ := openLimited(t, newResolvers(), `"max_subscriptions_per_user":1`)
	mustTry(t, x, "other", "1", `{"context":{"user_id":"b"}}`)
	s := mustTry(t, x, "c", "1", `{"context":{"user_id":"a"}}`)
	if changed, _ := update(t, x, `{"user_id":"d"}`); changed != 1 {
		t.Fatalf("changed %d", changed)
	}
	mustTry(t, x, "again", "1", `{"context":{"user_id":"a"}}`)
	_, err := try(x, "more", "1", `{"context":{"user_id":"d"}}`)
	expectLimit(t, err, "max_subscriptions_per_user")
	if changed, _ := update(t, x, `{"user_id":"b"}`); changed != 0 {
		t.Errorf("changed %d", changed)
	}
	if got := read(x, s); len(got) != 1 || !strings.Contains(got[0], `"code":"LIMIT_EXCEEDED"`) {
		t.Errorf("got %s", got)
	}
	mustTry(t, x, "more", "1", `{"context":{"user_id":"d"}}`)
}

func TestARateWithholdsEventsFromItsSubscriptionAlone(t *testing.T) {
	x, now := openLimited(t, newResolvers(), `"subscription_rate":{"per_second":2,"burst":3}`)
	early := mustTry(t, x, "c", "1", "")
	for id := range 5 {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d}`, id))
	}
	late := mustTry(t, x, "d", "1", "") // of the same cohort
	publish(t, x, "orders", `{"id":5}`)
	if a, b := fmt.Sprint(orderIDs(t, read(x, early))), fmt.Sprint(orderIDs(t, read(x, late))); a != "[0 1 2]" || b != "[5]" {
		t.Errorf("got %s and %s", a, b)
	}
	now.Store(int64(time.Second))
	for id := 6; id < 10; id++ {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d}`, id))
	}
	if a := fmt.Sprint(orderIDs(t, read(x, early))); a != "[6 7]" {
		t.Errorf("a second later: %s", a)
	}
	m := x.Metrics()
	if m.Dropped["rate"] != 6 || m.Rejected["subscription_rate"] != 6 || m.Violations["rate"] != 6 {
		t.Errorf("%v, %v, %v", m.Dropped, m.Rejected, m.Violations)
	}
}

func TestAUsersRateIsThatOfAllTheUserHas(t *testing.T) {
	x, now := openLimited(t, newResolvers(), `"subscription_rate":{"per_second":1,"burst":4},"user_rate":{"per_second":1,"burst":5}`)
	first := mustTry(t, x, "c", "1", `{"context":{"user_id":"a"}}`)
	second := mustTry(t, x, "d", "1", `{"context":{"user_id":"a"}}`)
	foreign := mustTry(t, x, "e", "1", `{"context":{"user_id":"b"}}`)
	for range 4 {
		publish(t, x, "orders", `{"id":1,"user_id":"a"}`)
		publish(t, x, "orders", `{"id":2,"user_id":"b"}`)
	}
	if a, b, c := len(read(x, first)), len(read(x, second)), len(read(x, foreign)); a+b != 5 || c != 4 {
		t.Errorf("%d and %d, somebody else %d", a, b, c)
	}
	// Coming back gains nothing.
	x.CloseConnection(&bus.Thread{}, "c")
	x.CloseConnection(&bus.Thread{}, "d")
	back := mustTry(t, x, "f", "1", `{"context":{"user_id":"a"}}`)
	publish(t, x, "orders", `{"id":3,"user_id":"a"}`)
	if got := read(x, back); len(got) != 0 {
		t.Errorf("got %s", got)
	}
	now.Store(int64(time.Second))
	publish(t, x, "orders", `{"id":4,"user_id":"a"}`)
	if got := fmt.Sprint(orderIDs(t, read(x, back))); got != "[4]" {
		t.Errorf("got %s", got)
	}
}

func TestWhatAUsersRateWithholdsTakesNothingFromTheSubscriptions(t *testing.T) {
	x, now := openLimited(t, newResolvers(), `"subscription_rate":{"per_second":0.001,"burst":2},"user_rate":{"per_second":1,"burst":1}`)
	s := mustTry(t, x, "c", "1", `{"context":{"user_id":"a"}}`)
	for id := range 4 {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"user_id":"a"}`, id))
	}
	now.Store(int64(time.Second))
	publish(t, x, "orders", `{"id":4,"user_id":"a"}`)
	if got := fmt.Sprint(orderIDs(t, read(x, s))); got != "[0 4]" {
		t.Errorf("got %s", got)
	}
}

func TestARateHoldsForAsyncAnswersToo(t *testing.T) {
	python := newResolvers()
	python.table[1] = func(*bus.Thread, []byte, executor.Call) executor.Result {
		return executor.Result{Kind: executor.KindPending}
	}
	x, _ := openLimited(t, python, `"subscription_rate":{"per_second":1,"burst":2}`)
	mustTry(t, x, "c", "1", fmt.Sprintf(`{"resolver":1,"resolver_flags":%d}`, executor.Async))
	for range 5 {
		publish(t, x, "orders", `{"id":1}`)
	}
	if m := x.Metrics(); m.Delivered != 2 || m.Dropped["rate"] != 3 {
		t.Errorf("%d delivered, %v", m.Delivered, m.Dropped)
	}
}

func TestAChannelsRateRefusesThePublishAndNothingOfIt(t *testing.T) {
	x, now := openLimited(t, newResolvers(), `"channel_rate":{"per_second":10,"burst":4}`)
	s := mustTry(t, x, "c", "1", "")
	batch := func(channels ...string) error {
		events := make([]*event.Event, len(channels))
		for i, channel := range channels {
			var err error
			if events[i], err = event.Make(time.Now(), "t", channel, []byte(`{"id":1}`), "", ""); err != nil {
				t.Fatal(err)
			}
		}
		_, err := x.PublishWithExecutor(&bus.Thread{}, events, bus.WaitDispatched)
		return err
	}
	if err := batch("a", "b", "a", "a"); err != nil {
		t.Fatal(err)
	}
	err := batch("b", "a", "a")
	if fault.CodeOf(err) != fault.RateLimited || !strings.HasPrefix(err.Error(), "RATE_LIMITED[channel_rate 10 2]: ") {
		t.Errorf("%v", err)
	}
	if err := batch("a", "b", "b", "b"); err != nil {
		t.Errorf("the refused batch took tokens: %v", err)
	}
	if err := batch("a"); err == nil {
		t.Error("the fifth passed")
	}
	if err := batch("c", "c", "c", "c", "c"); err == nil {
		t.Error("more than a burst passed")
	}
	now.Store(int64(100 * time.Millisecond))
	if err := batch("a"); err != nil {
		t.Error(err)
	}
	if got := len(read(x, s)); got != 9 {
		t.Errorf("%d events arrived", got)
	}
	for i := range 5000 {
		now.Add(int64(10 * time.Millisecond))
		if err := batch(fmt.Sprint("channel", i)); err != nil {
			t.Fatal(err)
		}
	}
	if channels, _ := x.Kept(); channels > 500 {
		t.Errorf("%d channels are kept", channels)
	}
}

func TestTooManyViolationsEndWhatTheConnectionHas(t *testing.T) {
	x, now := openLimited(t, newResolvers(), `"subscription_rate":{"per_second":1,"burst":5}`)
	executor.SetBreaker(x, 3, time.Minute)
	bad, quiet := mustTry(t, x, "bad", "1", `{"event_types":["x"],"context":{"user_id":"a"}}`), mustTry(t, x, "bad", "2", `{"event_types":["y"]}`)
	other := mustTry(t, x, "other", "1", `{"event_types":["z"]}`)
	ticker := func(eventType, data string) {
		t.Helper()
		ev, err := event.Make(time.Now(), eventType, "orders", []byte(data), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.PublishWithExecutor(&bus.Thread{}, []*event.Event{ev}, bus.WaitDispatched); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 { // somebody else's: denied, no violation
		now.Add(int64(time.Second))
		ticker("x", `{"id":0,"user_id":"b"}`)
		read(x, other)
	}
	if got := x.Metrics().Violations["rate"]; got != 0 {
		t.Fatalf("somebody else's events are %d violations", got)
	}
	for id := range 9 {
		now.Add(int64(time.Second) / 1000)
		ticker("x", fmt.Sprintf(`{"id":%d,"user_id":"a"}`, id))
		read(x, other)
	}
	for _, s := range []*executor.Subscription{bad, quiet} {
		got := read(x, s)
		if len(got) == 0 || !strings.Contains(got[len(got)-1], `"type":"error"`) || !strings.Contains(got[len(got)-1], `"code":"TOO_MANY_VIOLATIONS"`) {
			t.Errorf("got %s", got)
		}
		if s == bad && len(got) != 6 {
			t.Errorf("%d messages: what was queued is to be read first", len(got))
		}
	}
	m := x.Metrics()
	if m.BreakerTrips != 1 || m.Ended["violations"] != 2 || m.Active != 1 {
		t.Errorf("%d trips, %v, %d active", m.BreakerTrips, m.Ended, m.Active)
	}
	_, err := try(x, "bad", "1", "")
	expectLimit(t, err, "max_violations")
	if fault.CodeOf(err) != fault.TooManyViolations {
		t.Error(err)
	}
	now.Add(int64(2 * time.Minute))
	mustTry(t, x, "bad", "1", "")
}

func TestATransportCountsWhatItNotices(t *testing.T) {
	x, now := openLimited(t, newResolvers(), `"max_subscriptions":1`)
	executor.SetBreaker(x, 2, time.Minute)
	for i := range 2 {
		if x.Violation(&bus.Thread{}, "c", executor.ForeignSubscription) {
			t.Fatalf("cut off after %d", i+1)
		}
	}
	if !x.Violation(&bus.Thread{}, "c", executor.ForeignSubscription) {
		t.Error("not cut off after three")
	}
	if got := x.Metrics(); got.Violations["foreign_subscription"] != 3 || got.BreakerTrips != 1 {
		t.Errorf("%v, %d trips", got.Violations, got.BreakerTrips)
	}
	now.Store(int64(time.Hour))
	for i := range 10 {
		x.Violation(&bus.Thread{}, fmt.Sprint(i), executor.ForeignSubscription)
		now.Add(int64(time.Hour))
	}
	if _, connections := x.Kept(); connections > 2 {
		t.Errorf("%d connections are kept", connections)
	}
}

func TestWhatTheApplicationTakesAwayIsNoViolation(t *testing.T) {
	x := openSecured(t, `{"max_violations":0}`)
	other := mustTry(t, x, "c", "other", `{"context":{"permissions":["order:read"]}}`)
	for i := range 3 {
		mustTry(t, x, "c", fmt.Sprint(i), `{"context":{"user_id":1,"permissions":["order:read"]}}`)
	}
	if changed := revoke(t, x, `{"permission":"order:read","user_id":1}`); changed != 3 {
		t.Errorf("%d changed", changed)
	}
	m := x.Metrics()
	if m.Violations["field"] != 0 || m.BreakerTrips != 0 || m.Ended["forbidden"] != 3 || m.Active != 1 {
		t.Errorf("violations %v, %d trips, ended %v, %d active", m.Violations, m.BreakerTrips, m.Ended, m.Active)
	}
	if _, err := try(x, "c", "x", `{"context":{"permissions":[]}}`); fault.CodeOf(err) != fault.Forbidden {
		t.Error(err)
	}
	if got := read(x, other); len(got) != 1 || !strings.Contains(got[0], "TOO_MANY_VIOLATIONS") {
		t.Errorf("what the client asks for is a violation: %v", got)
	}
}

func TestNobodySlipsInWhileAConnectionIsCutOff(t *testing.T) {
	for range 50 {
		x, _ := openLimited(t, newResolvers(), `"max_subscriptions":0`)
		executor.SetBreaker(x, 10, time.Hour)
		var group sync.WaitGroup
		for worker := range 4 {
			group.Go(func() {
				for i := range 20 {
					if worker%2 == 0 {
						x.Violation(&bus.Thread{}, "c", executor.ForeignSubscription)
						continue
					}
					_, err := try(x, "c", fmt.Sprint(worker, i), "")
					if err != nil && fault.CodeOf(err) != fault.TooManyViolations {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if active := x.Metrics().Active; active != 0 {
			t.Fatalf("%d live on", active)
		}
	}
}

func TestRatesAllocateNothingADelivery(t *testing.T) {
	x := openWith(t, newResolvers(), strings.Replace(options, `"limits":{`, `"limits":{"subscription_rate":{"per_second":1000000,"burst":100000},"user_rate":{"per_second":1000000,"burst":100000},`, 1))
	subscriptions := registerAll(t, x, func(int) executor.Registration {
		return executor.Registration{Query: "subscription { orderUpdated { id status total } }", Options: `{"context":{"user_id":0}}`}
	})
	thread := &bus.Thread{}
	if _, err := x.Descriptor(thread, 0); err != nil {
		t.Fatal(err)
	}
	round := func() {
		publishBenchmark(t, x, []byte(`{"id":1,"status":"shipped","total":2,"user_id":0}`))
		batch, err := x.Drain(thread, 0, len(subscriptions))
		if err != nil || len(batch.Entries) != len(subscriptions) {
			t.Fatalf("drained %d responses and %v", len(batch.Entries), err)
		}
		batch.Recycle()
	}
	for range 4 {
		round()
	}
	if n := testing.AllocsPerRun(32, round); n > 1+1000/16+60 {
		t.Errorf("%v allocations for 1000 deliveries", n)
	}
}
