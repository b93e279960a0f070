package executor_test

import (
	"encoding/json"
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

func update(t *testing.T, x *executor.Executor, context string) (changed int, emptied []*executor.Subscription) {
	t.Helper()
	changed, emptied, err := x.UpdateContext(&bus.Thread{}, "c", json.RawMessage(context))
	if err != nil {
		t.Fatal(err)
	}
	return changed, emptied
}

// orderIDs are the ids of the orders in messages.
func orderIDs(t *testing.T, messages []string) (found []int) {
	t.Helper()
	for _, message := range messages {
		var m struct {
			Payload struct {
				Data struct{ OrderUpdated struct{ ID int } }
			}
		}
		if err := json.Unmarshal([]byte(message), &m); err != nil {
			t.Fatalf("%s: %v", message, err)
		}
		found = append(found, m.Payload.Data.OrderUpdated.ID)
	}
	return found
}

func TestAContextTakesEffectWithTheNextEvent(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Options: `{"context":{"tenant_id":1}}`})
	publish(t, x, "orders", `{"id":1,"tenant_id":1}`)
	if got := orderIDs(t, read(x, s)); !slices.Equal(got, []int{1}) {
		t.Fatalf("got %v", got)
	}
	if changed, _ := update(t, x, `{"tenant_id":2}`); changed != 1 {
		t.Errorf("changed %d", changed)
	}
	publish(t, x, "orders", `{"id":2,"tenant_id":1}`)
	publish(t, x, "orders", `{"id":3,"tenant_id":2}`)
	if got := orderIDs(t, read(x, s)); !slices.Equal(got, []int{3}) {
		t.Errorf("got %v", got)
	}
}

func TestWhatANewContextMayNotSeeIsDroppedBeforeItCanBeRead(t *testing.T) {
	for _, one := range []struct {
		before, after string
		kept          bool
	}{
		{`{"context":{"tenant_id":1}}`, `{"tenant_id":2}`, false},
		{`{"context":{"tenant_id":1}}`, `{"tenant_id":"1"}`, false},
		{`{"context":{"tenant_id":1}}`, `{}`, false},
		{`{"context":{"tenant_id":1,"user_id":"a"}}`, `{"tenant_id":1}`, false},
		{``, `{"tenant_id":1}`, false}, // trusted before
		{`{"context":{"tenant_id":1}}`, `{"tenant_id":1}`, true},
		{`{"context":{"tenant_id":1}}`, `{ "tenant_id" : 1 }`, true},
		{`{"context":{"tenant_id":1,"user_id":2.0}}`, `{"user_id":2.0,"tenant_id":1}`, true},
	} {
		x := open(t, newResolvers())
		s := register(t, x, executor.Registration{Options: one.before})
		for id := range 5 {
			publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"tenant_id":1,"user_id":"a"}`, id))
			publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"tenant_id":1,"user_id":2.0}`, id))
			publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"tenant_id":1}`, id))
		}
		queued := x.Metrics().Queued
		_, emptied := update(t, x, one.after)
		if got := len(read(x, s)); one.kept != (got > 0) || queued == 0 {
			t.Errorf("%s → %s: %d of %d could be read", one.before, one.after, got, queued)
		}
		if one.kept == slices.Contains(emptied, s) {
			t.Errorf("%s → %s: emptied %v", one.before, one.after, emptied)
		}
		if m := x.Metrics(); !one.kept && m.Dropped["revoked"] != uint64(queued) {
			t.Errorf("%s → %s: %d dropped of %d", one.before, one.after, m.Dropped["revoked"], queued)
		}
		x.CompleteSubscription(&bus.Thread{}, s.ID())
		if left := x.Remains(); left != "" {
			t.Errorf("tables of sizes %s are left", left)
		}
	}
}

func TestNothingForeignCanBeReadAfterAnUpdateWhileOthersPublish(t *testing.T) {
	x := open(t, newResolvers())
	var (
		stop       atomic.Bool
		publishers sync.WaitGroup
		thread     = &bus.Thread{}
	)
	for p := range 4 {
		publishers.Go(func() {
			for !stop.Load() {
				publish(t, x, fmt.Sprint("orders.", p), `{"id":1,"tenant_id":1}`)
				publish(t, x, fmt.Sprint("orders.", p), `{"id":2,"tenant_id":2}`)
			}
		})
	}
	seen := 0
	for round := range 400 {
		tenant := 1 + round%2
		s := register(t, x, executor.Registration{Subscription: "s", Options: fmt.Sprintf(`{"context":{"tenant_id":%d},"queue":{"max_responses":1000000,"max_bytes":1000000000,"overflow":"drop_oldest"}}`, tenant)})
		for range 5 {
			tenant = 3 - tenant
			update(t, x, fmt.Sprintf(`{"tenant_id":%d}`, tenant))
			publish(t, x, "orders.own", fmt.Sprintf(`{"id":%d,"tenant_id":%d}`, tenant+10, tenant))
			own := false
			for _, id := range orderIDs(t, read(x, s)) {
				own = own || id == tenant+10
				if id%10 != tenant {
					t.Fatalf("an event of tenant %d was read by tenant %d", id, tenant)
				}
				seen++
			}
			if !own {
				t.Fatal("the event after the update was lost")
			}
		}
		x.CompleteSubscription(thread, s.ID())
	}
	stop.Store(true)
	publishers.Wait()
	if seen == 0 {
		t.Error("nothing was read at all")
	}
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestRenewingAContextLosesAndRepeatsNothing(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Options: `{"context":{"tenant_id":1},"queue":{"max_responses":10000,"max_bytes":1000000000,"overflow":"drop_oldest"}}`})
	const events = 2000
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for id := range events {
			publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"tenant_id":1}`, id))
		}
	})
	var got []int
	deadline := time.Now().Add(patience)
	for round := 0; len(got) < events; round++ {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d events came", len(got), events)
		}
		update(t, x, fmt.Sprintf(`{"tenant_id":1%s}`, strings.Repeat(" ", round%3)))
		got = append(got, orderIDs(t, read(x, s))...)
	}
	publisher.Wait()
	for i, id := range got {
		if i != id {
			t.Fatalf("event %d came in place %d", id, i)
		}
	}
	x.CompleteSubscription(&bus.Thread{}, s.ID())
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestGainingPermissionsLosesAndRepeatsNothing(t *testing.T) {
	x := openSecured(t, `{"rbac":"null","permissions":{"*.a":"a","*.b":"b","*.c":"c"}}`)
	s := register(t, x, executor.Registration{
		Query:   "subscription { orderUpdated { id a b c } }",
		Options: `{"context":{"permissions":["order:read"]},"queue":{"max_responses":10000,"max_bytes":1000000000,"overflow":"drop_oldest"}}`,
	})
	const events = 2000
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for id := range events {
			publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"a":1,"b":1,"c":1}`, id))
		}
	})
	held := `"order:read"`
	for _, one := range []string{`"a"`, `"b"`, `"c"`} {
		held += "," + one
		if changed, emptied := update(t, x, `{"permissions":[`+held+`]}`); changed != 1 || len(emptied) > 0 {
			t.Errorf("%d changed, %d emptied", changed, len(emptied))
		}
	}
	publisher.Wait()
	got := orderIDs(t, read(x, s))
	for i, id := range got {
		if i != id {
			t.Fatalf("event %d came in place %d", id, i)
		}
	}
	if len(got) != events {
		t.Errorf("%d of %d events came", len(got), events)
	}
}

func TestAnAnswerThatIsComputedDuringTheUpdateIsNotForTheNewContext(t *testing.T) {
	python := newResolvers()
	x := open(t, python)
	inside, leave := make(chan struct{}), make(chan struct{})
	python.table[1] = func(*bus.Thread, []byte, executor.Call) executor.Result {
		close(inside)
		<-leave
		return executor.Result{Kind: executor.KindData, Value: []byte(`{"orderUpdated":{"id":1}}`)}
	}
	s := register(t, x, executor.Registration{Options: `{"context":{"tenant_id":1},"resolver":1}`})
	var publisher sync.WaitGroup
	publisher.Go(func() { publish(t, x, "orders", `{"id":1,"tenant_id":1}`) })
	<-inside
	update(t, x, `{"tenant_id":2}`) // does not wait for the resolver
	close(leave)
	publisher.Wait()
	if got := read(x, s); len(got) > 0 {
		t.Errorf("read %v", got)
	}
	x.CompleteSubscription(&bus.Thread{}, s.ID())
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
	if python.released[1] != 1 {
		t.Errorf("its resolver was given back %d times", python.released[1])
	}
}

func TestAnAsyncAnswerThatComesAfterTheUpdateIsNotForTheNewContext(t *testing.T) {
	python := newResolvers()
	x := open(t, python)
	thread := &bus.Thread{}
	var ticket uint64
	python.table[1] = func(_ *bus.Thread, _ []byte, call executor.Call) executor.Result {
		ticket = call.Ticket
		return executor.Result{Kind: executor.KindPending}
	}
	s := register(t, x, executor.Registration{Options: `{"context":{"tenant_id":1},"resolver":1,"resolver_flags":4}`})
	for range 3 {
		publish(t, x, "orders", `{"id":1,"tenant_id":1}`)
	}
	update(t, x, `{"tenant_id":2}`)
	if x.Settle(thread, ticket, executor.Result{Kind: executor.KindData, Value: []byte(`{}`)}) {
		t.Error("somebody took the answer")
	}
	if len(python.cancelled) != 3 || x.Metrics().Dropped["revoked"] != 3 {
		t.Errorf("cancelled %v, dropped %v", python.cancelled, x.Metrics().Dropped)
	}
	publish(t, x, "orders", `{"id":2,"tenant_id":2}`)
	if !x.Settle(thread, ticket, executor.Result{Kind: executor.KindData, Value: []byte(`{"orderUpdated":{"id":2}}`)}) {
		t.Error("nobody took the answer for the new context")
	}
	if got := orderIDs(t, read(x, s)); !slices.Equal(got, []int{2}) {
		t.Errorf("read %v", got)
	}
}

func TestAPublisherThatWaitsForRoomIsLetGoByAnUpdate(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Options: `{"context":{"tenant_id":1},"queue":{"max_responses":1,"max_bytes":1000,"overflow":"block","block_timeout":1000}}`})
	publish(t, x, "orders", `{"id":1,"tenant_id":1}`)
	var publisher sync.WaitGroup
	receipt := publish(t, x, "orders", `{"id":2,"tenant_id":1}`)
	publisher.Go(func() {
		if !x.AwaitRoom(&bus.Thread{}, receipt.Ticket, patience) {
			t.Error("the publisher still waits")
		}
	})
	if x.Waiting() != 1 {
		t.Fatalf("%d wait", x.Waiting())
	}
	update(t, x, `{"tenant_id":2}`)
	publisher.Wait()
	if got := read(x, s); len(got) > 0 || x.Waiting() != 0 {
		t.Errorf("read %v, %d wait", got, x.Waiting())
	}
}

func TestAResolversInfoTellsTheNewContext(t *testing.T) {
	python := newResolvers()
	x := open(t, python)
	var told []string
	python.table[1] = func(_ *bus.Thread, _ []byte, call executor.Call) executor.Result {
		var info struct{ Context json.RawMessage }
		if err := json.Unmarshal(call.Info, &info); err != nil {
			t.Error(err)
		}
		told = append(told, string(info.Context))
		return executor.Result{Kind: executor.KindData, Value: []byte(`{"orderUpdated":{"id":1}}`)}
	}
	s := register(t, x, executor.Registration{Options: `{"context":{"tenant_id":1},"resolver":1,"resolver_flags":2}`})
	publish(t, x, "orders", `{"tenant_id":1}`)
	update(t, x, `{"tenant_id":2}`)
	publish(t, x, "orders", `{"tenant_id":2}`)
	if want := []string{`{"tenant_id":1}`, `{"tenant_id":2}`}; !slices.Equal(told, want) {
		t.Errorf("told %v", told)
	}
	if got := read(x, s); len(got) != 1 {
		t.Errorf("read %v", got)
	}
}

func TestAContextThatCannotBeReadChangesNothing(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Options: `{"context":{"tenant_id":1}}`})
	publish(t, x, "orders", `{"id":1,"tenant_id":1}`)
	for _, wrong := range []string{`{"tenant":1}`, `[]`, `{"tenant_id":{}}`, ``} {
		if _, _, err := x.UpdateContext(&bus.Thread{}, "c", json.RawMessage(wrong)); fault.CodeOf(err) != fault.InvalidValue {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	publish(t, x, "orders", `{"id":2,"tenant_id":1}`)
	if got := orderIDs(t, read(x, s)); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("read %v", got)
	}
}

func TestAnUpdateTouchesOneConnection(t *testing.T) {
	x := open(t, newResolvers())
	other := register(t, x, executor.Registration{Connection: "other", Options: `{"context":{"tenant_id":1}}`})
	mine := []*executor.Subscription{
		register(t, x, executor.Registration{Subscription: "1", Options: `{"context":{"tenant_id":1}}`}),
		register(t, x, executor.Registration{Subscription: "2", Options: `{"context":{"tenant_id":3}}`}),
	}
	publish(t, x, "orders", `{"id":1,"tenant_id":1}`)
	if changed, _ := update(t, x, `{"tenant_id":2}`); changed != 2 {
		t.Errorf("changed %d", changed)
	}
	publish(t, x, "orders", `{"id":2,"tenant_id":2}`)
	if got := orderIDs(t, read(x, other)); !slices.Equal(got, []int{1}) {
		t.Errorf("the other connection read %v", got)
	}
	for _, s := range mine {
		if got := orderIDs(t, read(x, s)); !slices.Equal(got, []int{2}) {
			t.Errorf("read %v", got)
		}
	}
}

func TestWhatTheServerHasEndedKeepsOnlyItsFinalMessageAfterAnUpdate(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Options: `{"context":{"tenant_id":1}}`})
	publish(t, x, "orders", `{"id":1,"tenant_id":1}`)
	x.End(&bus.Thread{}, s, executor.Final{}, revoked)
	if changed, emptied := update(t, x, `{"tenant_id":2}`); changed != 0 || len(emptied) != 1 {
		t.Errorf("changed %d, emptied %d", changed, len(emptied))
	}
	if got := read(x, s); !slices.Equal(got, []string{`{"id":"","type":"complete"}`}) {
		t.Errorf("read %v", got)
	}
}

func TestAResolverThatFollowsAnUpdateIsGivenBackOnce(t *testing.T) {
	python := newResolvers()
	x := open(t, python)
	thread := &bus.Thread{}
	for i := range 3 {
		python.table[i+1] = func(*bus.Thread, []byte, executor.Call) executor.Result {
			return executor.Result{Kind: executor.KindData, Value: []byte(`{"orderUpdated":{"id":1}}`)}
		}
	}
	s := register(t, x, executor.Registration{Options: `{"context":{"tenant_id":1},"resolver":1}`})
	update(t, x, `{"tenant_id":2}`)
	if err := x.SetResolver(thread, s.ID(), 2, 0); err != nil {
		t.Fatal(err)
	}
	update(t, x, `{"tenant_id":2 }`)
	if err := x.SetResolver(thread, s.ID(), 3, executor.TakesInfo); err != nil {
		t.Fatal(err)
	}
	publish(t, x, "orders", `{"id":1,"tenant_id":2}`)
	if got := read(x, s); len(got) != 1 {
		t.Errorf("read %v", got)
	}
	x.CompleteSubscription(thread, s.ID())
	for resolver := range 3 {
		if got := python.released[resolver+1]; got != 1 {
			t.Errorf("resolver %d was given back %d times", resolver+1, got)
		}
	}
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestAResumeThatIsUnderWayReplaysNothingForANewContext(t *testing.T) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	since := publish(t, x, "orders", `{"id":0}`).Position.String()
	for range 400 {
		publish(t, x, "orders", `{"id":1,"tenant_id":1}`)
		publish(t, x, "orders", `{"id":2,"tenant_id":2}`)
	}
	for range 100 {
		var registering sync.WaitGroup
		var s *executor.Subscription
		registering.Go(func() {
			s = register(t, x, executor.Registration{Subscription: "s", Options: `{"context":{"tenant_id":1}}`, Since: since})
		})
		for changed := 0; changed == 0; {
			changed, _ = update(t, x, `{"tenant_id":2}`)
		}
		registering.Wait()
		publish(t, x, "own", `{"id":2,"tenant_id":2}`)
		got := orderIDs(t, read(x, s))
		if !slices.Equal(got, []int{2}) {
			t.Fatalf("read %v", got)
		}
		x.CompleteSubscription(thread, s.ID())
	}
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestAResumeThatIsUnderWayRepeatsNothingForARenewedContext(t *testing.T) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	exact := 0
	const before, meanwhile = 300, 100
	for range 60 {
		since := publish(t, x, "orders", `{"id":-1}`).Position.String()
		for id := range before {
			publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"tenant_id":1}`, id))
		}
		var others sync.WaitGroup
		var s *executor.Subscription
		others.Go(func() {
			s = register(t, x, executor.Registration{Subscription: "s", Options: `{"context":{"tenant_id":1}}`, Since: since})
		})
		others.Go(func() {
			for id := range meanwhile {
				publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"tenant_id":1}`, before+id))
			}
		})
		for changed := 0; changed == 0; {
			changed, _ = update(t, x, `{"tenant_id":1 }`)
		}
		others.Wait()
		got := orderIDs(t, read(x, s))
		for i := 1; i < len(got); i++ {
			if got[i] != got[i-1]+1 {
				t.Fatalf("event %d came after %d", got[i], got[i-1])
			}
		}
		if s.Recovered() {
			exact++
			if len(got) != before+meanwhile {
				t.Fatalf("the resume is said to be exact, and %d events came", len(got))
			}
		}
		x.CompleteSubscription(thread, s.ID())
	}
	t.Logf("%d of 60 resumes were exact", exact)
}
