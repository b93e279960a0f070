package executor_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func revoke(t *testing.T, x *executor.Executor, who string) int {
	t.Helper()
	changed, _, err := x.Revoke(&bus.Thread{}, []byte(who))
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func TestARevocationEndsThoseItFitsAndLeavesThemNothingElseToRead(t *testing.T) {
	who := []string{
		`{"context":{"tenant_id":1,"user_id":"a"}}`, `{"context":{"tenant_id":1,"user_id":"b"}}`,
		`{"context":{"tenant_id":2,"user_id":"a"}}`, `{"context":{"tenant_id":"1"}}`, `{"context":{}}`, ``,
	}
	for _, one := range []struct {
		who, code string
		ends      []int
	}{
		{`{"tenant_id":1}`, "FORBIDDEN", []int{0, 1}},
		{`{"user_id":"a"}`, "UNAUTHENTICATED", []int{0, 2}},
		{`{"user_id":"a","tenant_id":1}`, "FORBIDDEN", []int{0}},
		{`{"user_id":1}`, "", nil},
		{`{"tenant_id":"1"}`, "FORBIDDEN", []int{3}},
	} {
		x := open(t, newResolvers())
		var all []*executor.Subscription
		for i, options := range who {
			all = append(all, register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Options: options}))
		}
		for _, data := range []string{`"tenant_id":1,"user_id":"a"`, `"tenant_id":1,"user_id":"b"`, `"tenant_id":2,"user_id":"a"`, `"tenant_id":"1"`} {
			publish(t, x, "orders", `{"id":1,`+data+`}`)
		}
		if changed := revoke(t, x, one.who); changed != len(one.ends) {
			t.Errorf("%s: %d ended", one.who, changed)
		}
		for i, s := range all {
			got := read(x, s)
			if !slices.Contains(one.ends, i) {
				if i != 4 && len(got) == 0 || strings.Contains(fmt.Sprint(got), "error") {
					t.Errorf("%s: %s read %v", one.who, who[i], got)
				}
			} else if len(got) != 1 || !strings.Contains(got[0], `"type":"error"`) || !strings.Contains(got[0], `"code":"`+one.code+`"`) {
				t.Errorf("%s: %s read %v", one.who, who[i], got)
			}
		}
		if m := x.Metrics(); m.Ended["revoked"] != uint64(len(one.ends)) || m.Dropped["revoked"] != uint64(len(one.ends)) {
			t.Errorf("%s: ended %v, dropped %v", one.who, m.Ended, m.Dropped)
		}
	}
}

func TestARevocationReachesWhatHasEndedAndIsNotReadYet(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Options: `{"context":{"tenant_id":1}}`})
	publish(t, x, "orders", `{"id":1,"tenant_id":1}`)
	x.End(&bus.Thread{}, s, executor.Final{}, revoked)
	if changed := revoke(t, x, `{"tenant_id":1}`); changed != 0 {
		t.Errorf("%d changed", changed)
	}
	if got := read(x, s); !slices.Equal(got, []string{`{"id":"","type":"complete"}`}) {
		t.Errorf("read %v", got)
	}
}

func TestARevokedPermissionIsTakenFromTheContext(t *testing.T) {
	x := open(t, newResolvers())
	with := register(t, x, executor.Registration{Subscription: "1", Options: `{"context":{"permissions":["order:read","x"],"tenant_id":1}}`})
	without := register(t, x, executor.Registration{Subscription: "2", Options: `{"context":{"permissions":["order:read"],"tenant_id":1}}`})
	publish(t, x, "orders", `{"id":1,"tenant_id":1}`)
	if changed := revoke(t, x, `{"permission":"x","tenant_id":1}`); changed != 1 {
		t.Errorf("%d changed", changed)
	}
	if changed := revoke(t, x, `{"permission":"x"}`); changed != 0 {
		t.Errorf("%d changed the second time", changed)
	}
	for _, s := range []*executor.Subscription{with, without} {
		if got := orderIDs(t, read(x, s)); !slices.Equal(got, []int{1}) { // neither needs it
			t.Errorf("read %v", got)
		}
	}
}

func TestNothingCanBeReadAfterARevocationWhileOthersPublish(t *testing.T) {
	x := open(t, newResolvers())
	var (
		stop       atomic.Bool
		publishers sync.WaitGroup
	)
	for p := range 3 {
		publishers.Go(func() {
			for !stop.Load() {
				publish(t, x, fmt.Sprint("orders.", p), `{"id":1,"tenant_id":1}`)
			}
		})
	}
	for range 300 {
		s := register(t, x, executor.Registration{Subscription: "s", Options: `{"context":{"tenant_id":1}}`})
		publish(t, x, "orders", `{"id":2,"tenant_id":1}`)
		revoke(t, x, `{"tenant_id":1}`)
		if got := read(x, s); len(got) != 1 || !strings.Contains(got[0], "FORBIDDEN") {
			t.Fatalf("read %v", got)
		}
	}
	stop.Store(true)
	publishers.Wait()
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestWhatCannotBeRevokedIsNamed(t *testing.T) {
	x := open(t, newResolvers())
	for _, wrong := range []string{`{}`, `{"user_id":null}`, `{"role":"x"}`, `{"permission":""}`, `{"permission":5}`, `[]`, `{"user_id":[]}`} {
		if _, _, err := x.Revoke(&bus.Thread{}, []byte(wrong)); fault.CodeOf(err) != fault.InvalidValue {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// hands is a clock that stands still until it is set.
type hands struct {
	mu     sync.Mutex
	now    int64
	timers map[int]func()
	due    map[int]int64
	last   int
}

func openWithHands(t *testing.T) (*executor.Executor, *hands) {
	x := open(t, newResolvers())
	h := &hands{now: 1e9, timers: map[int]func(){}, due: map[int]int64{}}
	executor.SetClock(x, h.read, h.after)
	return x, h
}

func (h *hands) read() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hands) after(d time.Duration, f func()) func() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	number := h.last
	h.timers[number], h.due[number] = f, h.now+int64(d)
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		_, waits := h.timers[number]
		delete(h.timers, number)
		return waits
	}
}

// set moves the hands, and fires the timers if it is asked to.
func (h *hands) set(seconds float64, fire bool) (fired int) {
	h.mu.Lock()
	h.now = int64(seconds * 1e9)
	var due []func()
	for number, f := range h.timers {
		if fire && h.due[number] <= h.now {
			due = append(due, f)
			delete(h.timers, number)
		}
	}
	h.mu.Unlock()
	for _, f := range due {
		f()
	}
	return len(due)
}

func TestAnExpiredContextSeesNoEventEvenBeforeTheTimerFires(t *testing.T) {
	x, clock := openWithHands(t)
	s := register(t, x, executor.Registration{Options: `{"context":{"expires_at":5.5}}`})
	other := register(t, x, executor.Registration{Connection: "other", Options: `{"context":{}}`})
	clock.set(5.499, false)
	publish(t, x, "orders", `{"id":1}`)
	if got := orderIDs(t, read(x, s)); !slices.Equal(got, []int{1}) {
		t.Errorf("read %v", got)
	}
	clock.set(5.5, false)
	publish(t, x, "orders", `{"id":2}`)
	if got := orderIDs(t, read(x, other)); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("the other read %v", got)
	}
	if m := x.Metrics(); m.Denied["expired"] != 1 {
		t.Errorf("denied %v", m.Denied)
	}
}

func TestWhatIsQueuedCannotBeReadOnceItsContextHasExpiredEvenBeforeTheTimerFires(t *testing.T) {
	thread := &bus.Thread{}
	for name, read := range map[string]func(*executor.Executor, *executor.Subscription) []string{
		"by its id": read,
		"by drain": func(x *executor.Executor, _ *executor.Subscription) (texts []string) {
			batch := taken(x.Drain(thread, 0, 100))
			defer batch.Recycle()
			for i := range batch.Entries {
				texts = append(texts, string(batch.Message(nil, i)))
			}
			return texts
		},
	} {
		x, clock := openWithHands(t)
		taken(x.Drain(thread, 0, 100)).Recycle() // the plain side exists
		s := register(t, x, executor.Registration{Options: `{"context":{"expires_at":5.5}}`})
		publish(t, x, "orders", `{"id":1}`)
		clock.set(5.499, false)
		if got := orderIDs(t, read(x, s)); !slices.Equal(got, []int{1}) {
			t.Errorf("%s: %v", name, got)
		}
		publish(t, x, "orders", `{"id":2}`)
		clock.set(5.5, false)
		if got := read(x, s); len(got) != 1 || !strings.Contains(got[0], `"code":"EXPIRED"`) {
			t.Errorf("%s: %v", name, got)
		}
		if m := x.Metrics(); m.Ended["expired"] != 1 || m.Dropped["revoked"] != 1 {
			t.Errorf("%s: ended %v, dropped %v", name, m.Ended, m.Dropped)
		}
		clock.set(6, true)
		if left := x.Remains(); left != "" || len(clock.timers) > 0 {
			t.Errorf("%s: tables of sizes %s and %d timers are left", name, left, len(clock.timers))
		}
	}
}

func TestNoReaderGetsWhatHasExpiredWhileTheTimerIsAtIt(t *testing.T) {
	const all = 200
	for range 50 {
		x, clock := openWithHands(t)
		forwards := make([]*executor.Subscription, all)
		for i := range forwards {
			forwards[i] = register(t, x, executor.Registration{
				Connection: fmt.Sprint(i), Options: fmt.Sprintf(`{"context":{"expires_at":%g}}`, 2+float64(i)/100),
			})
		}
		backwards := slices.Clone(forwards) // first those that the timer comes to last
		slices.Reverse(backwards)
		publish(t, x, "orders", `{"id":1}`)
		clock.set(10, false)
		var others sync.WaitGroup
		others.Go(func() { clock.set(10, true) })
		others.Go(func() { // whose contexts are good do not hide those that are not
			for range 20 {
				other := register(t, x, executor.Registration{Connection: "other", Options: `{"context":{"expires_at":100}}`})
				x.CompleteSubscription(&bus.Thread{}, other.ID())
			}
		})
		for _, subscriptions := range [][]*executor.Subscription{forwards, backwards} {
			others.Go(func() {
				for _, s := range subscriptions {
					for _, message := range read(x, s) {
						if !strings.Contains(message, "EXPIRED") {
							t.Errorf("read %s", message)
						}
					}
				}
			})
		}
		others.Wait()
		if m := x.Metrics(); m.Ended["expired"] != all || m.Dropped["revoked"] != all {
			t.Fatalf("ended %v, dropped %v", m.Ended, m.Dropped)
		}
	}
}

func TestTheTimerEndsThoseWhoseContextHasExpired(t *testing.T) {
	x, clock := openWithHands(t)
	var all []*executor.Subscription
	for i, when := range []int{30, 10, 20, 10} {
		all = append(all, register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Options: fmt.Sprintf(`{"context":{"expires_at":%d}}`, when)}))
	}
	publish(t, x, "orders", `{"id":1}`)
	if fired := clock.set(9.9, true); fired != 0 {
		t.Error("the timer fired too early")
	}
	clock.set(10, true)
	for i, ended := range []bool{false, true, false, true} {
		if got := read(x, all[i]); len(got) != 1 || ended != strings.Contains(got[0], `"code":"EXPIRED"`) {
			t.Errorf("%d read %v", i, got)
		}
	}
	clock.set(100, true) // one timer for both
	for _, i := range []int{0, 2} {
		if got := read(x, all[i]); len(got) != 1 || !strings.Contains(got[0], "EXPIRED") {
			t.Errorf("%d read %v", i, got)
		}
	}
	if m := x.Metrics(); m.Ended["expired"] != 4 || m.Dropped["revoked"] != 2 {
		t.Errorf("ended %v, dropped %v", m.Ended, m.Dropped)
	}
	if len(clock.timers) > 0 {
		t.Errorf("%d timers are left", len(clock.timers))
	}
}

func TestARenewedContextLivesOn(t *testing.T) {
	x, clock := openWithHands(t)
	s := register(t, x, executor.Registration{Options: `{"context":{"expires_at":10,"tenant_id":1}}`})
	publish(t, x, "orders", `{"id":1,"tenant_id":1}`)
	clock.set(9, true)
	update(t, x, `{"expires_at":20,"tenant_id":1}`)
	clock.set(15, true)
	publish(t, x, "orders", `{"id":2,"tenant_id":1}`)
	if got := orderIDs(t, read(x, s)); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("read %v", got)
	}
	clock.set(20, true)
	if got := read(x, s); len(got) != 1 || !strings.Contains(got[0], "EXPIRED") {
		t.Errorf("read %v", got)
	}
}

// raceAnUpdate has 64 subscriptions of a connection get another context while they are
// ended, and wants each of them either ended or alive.
func raceAnUpdate(t *testing.T, before, after string, end func(*executor.Executor, *hands)) {
	t.Helper()
	const all = 64
	for range 50 {
		x, clock := openWithHands(t)
		subscriptions := make([]*executor.Subscription, all)
		for i := range subscriptions {
			subscriptions[i] = register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Options: `{"context":` + before + `}`})
		}
		clock.set(10, false)
		var ending sync.WaitGroup
		ending.Go(func() { end(x, clock) })
		changed, _ := update(t, x, after)
		ending.Wait()
		ended := 0
		for _, s := range subscriptions {
			ended += len(read(x, s))
		}
		if changed+ended != all {
			t.Fatalf("of %d subscriptions %d live on and %d have ended", all, changed, ended)
		}
	}
}

func TestAContextThatWasRenewedInTimeDoesNotExpire(t *testing.T) {
	raceAnUpdate(t, `{"expires_at":10}`, `{"expires_at":20}`, func(_ *executor.Executor, clock *hands) { clock.set(10, true) })
}

func TestAnInvalidationEndsNobodyWhoNoLongerPasses(t *testing.T) {
	raceAnUpdate(t, `{"tenant_id":1}`, `{"tenant_id":2}`, func(x *executor.Executor, _ *hands) {
		if _, err := x.Invalidate(&bus.Thread{}, []byte(`{"tenant_id":1}`)); err != nil {
			t.Error(err)
		}
	})
}

func TestAContextThatHasExpiredIsRefused(t *testing.T) {
	x, clock := openWithHands(t)
	s := register(t, x, executor.Registration{Options: `{"context":{"expires_at":100}}`})
	clock.set(50, true)
	_, err := x.RegisterSubscription(&bus.Thread{}, executor.Registration{Connection: "c", Subscription: "2", Query: "subscription { a { id } }", Options: `{"context":{"expires_at":50}}`})
	if fault.CodeOf(err) != fault.Expired || !strings.Contains(err.Error(), "expired at 1970-01-01T00:00:50Z") {
		t.Errorf("%v", err)
	}
	if changed, _ := update(t, x, `{"expires_at":49}`); changed != 0 {
		t.Errorf("%d live on", changed)
	}
	if got := read(x, s); len(got) != 1 || !strings.Contains(got[0], "EXPIRED") {
		t.Errorf("read %v", got)
	}
}

func TestSubscriptionsComeAndGoWithoutLeavingTimers(t *testing.T) {
	x, clock := openWithHands(t)
	for i := range 200 {
		s := register(t, x, executor.Registration{Options: fmt.Sprintf(`{"context":{"expires_at":%d}}`, 1000-i)})
		if i%2 == 0 {
			update(t, x, fmt.Sprintf(`{"expires_at":%d}`, 2000-i))
		}
		x.CompleteSubscription(&bus.Thread{}, s.ID())
	}
	if left := x.Remains(); left != "" || len(clock.timers) > 0 {
		t.Errorf("tables of sizes %s and %d timers are left", left, len(clock.timers))
	}
}

func TestInvalidateCompletesThoseThatPass(t *testing.T) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	subscribe := func() []*executor.Subscription {
		return []*executor.Subscription{
			register(t, x, executor.Registration{
				Subscription: "a", Query: "subscription($n: Int) { orderUpdated(n: $n) { id } }",
				Variables: `{"n":5}`, Options: `{"context":{"tenant_id":1,"claims":{"level":{"n":3}}}}`,
			}),
			register(t, x, executor.Registration{Connection: "d", Subscription: "b\"", Query: "subscription { alias: other { id } }", Options: `{"context":{"user_id":"u"}}`}),
			register(t, x, executor.Registration{Connection: "d", Subscription: "c", Variables: `{"region":"eu"}`}), // its query does not define it
		}
	}
	for text, want := range map[string][]int{
		`{}`: {0, 1, 2}, `{"connection_id":"d"}`: {1, 2}, `{"subscription_id":"b\""}`: {1},
		`{"field":"other"}`: {1}, `{"field":"alias"}`: nil, `{"field":{"starts_with":"order"}}`: {0, 2},
		`{"variables.n":{"gt":4}}`: {0}, `{"variables.region":"eu"}`: {2}, `{"variables.n":6}`: nil, `{"tenant_id":1}`: {0}, `{"tenant_id":"1"}`: nil, `{"user_id":"u"}`: {1},
		`{"user_id":{"not_exists":true}}`: {0, 2}, `{"claims.level.n":3}`: {0}, `{"not":{"claims.level":{"exists":true}}}`: {1, 2},
	} {
		all := subscribe()
		ended, err := x.Invalidate(thread, []byte(text))
		if err != nil || ended != len(want) {
			t.Errorf("%s ended %d and %v", text, ended, err)
		}
		for i, s := range all {
			if got := len(read(x, s)); got > 0 != slices.Contains(want, i) {
				t.Errorf("%s: %d read %d messages", text, i, got)
			}
			x.CompleteSubscription(thread, s.ID())
		}
	}
	for text, named := range map[string]string{
		`{"conection_id":1}`: `"conection_id"`, `{"claims":{"exists":true}}`: `"claims"`, `{"not":{"any":[{"field.x":1}]}}`: `"field.x"`,
		`{"field":{"matches":"a"}}`: `"matches"`, `[]`: "filter",
	} {
		if _, err := x.Invalidate(thread, []byte(text)); err == nil || !strings.Contains(err.Error(), named) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestWhatIsQueuedIsReadBeforeAnInvalidationsEnd(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{})
	publish(t, x, "orders", `{"id":1}`)
	if ended, err := x.Invalidate(&bus.Thread{}, []byte(`{}`)); ended != 1 || err != nil {
		t.Fatal(ended, err)
	}
	if ended, err := x.Invalidate(&bus.Thread{}, []byte(`{}`)); ended != 0 || err != nil {
		t.Error("ended again", ended, err)
	}
	if got := read(x, s); len(got) != 2 || got[1] != `{"id":"","type":"complete"}` {
		t.Errorf("read %v", got)
	}
}
