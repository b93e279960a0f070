package executor_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

const revoked = executor.EndReason("revoked")

func TestTheServerEndsASubscriptionOnce(t *testing.T) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	s := register(t, x, executor.Registration{Subscription: "s"})
	publish(t, x, "orders", `{"id":1}`)
	if !x.End(thread, s, executor.Final{Message: "no \"more\"", Code: "REVOKED"}, revoked) {
		t.Error("it was not ended")
	}
	if x.End(thread, s, executor.Final{}, revoked) {
		t.Error("it was ended twice")
	}
	publish(t, x, "orders", `{"id":2}`)
	want := []string{
		`{"id":"s","type":"next","payload":{"data":{"orderUpdated":{"id":1}}}}`,
		`{"id":"s","type":"error","payload":[{"message":"no \"more\"","extensions":{"code":"REVOKED"}}]}`,
	}
	if got := read(x, s); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if x.CompleteSubscription(thread, s.ID()) {
		t.Error("the application completed what had been read to its end")
	}
	if m := x.Metrics(); m.Ended["revoked"] != 1 || m.Ended["completed"] != 0 || m.Active != 0 {
		t.Errorf("ended %v, active %d", m.Ended, m.Active)
	}
}

func TestAnEndWithoutAnErrorIsAComplete(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Subscription: "s"})
	x.End(&bus.Thread{}, s, executor.Final{}, revoked)
	if got := read(x, s); !slices.Equal(got, []string{`{"id":"s","type":"complete"}`}) {
		t.Errorf("got %v", got)
	}
}

func TestWhatTheServerEndedIsDiscardedByWhoeverEndsItAgain(t *testing.T) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	for name, end := range map[string]func(s *executor.Subscription) bool{
		"completing":             func(s *executor.Subscription) bool { return x.CompleteSubscription(thread, s.ID()) },
		"closing the connection": func(*executor.Subscription) bool { return len(x.CloseConnection(thread, "c")) == 1 },
	} {
		s := register(t, x, executor.Registration{Subscription: "s"})
		publish(t, x, "orders", `{"id":1}`)
		x.End(thread, s, executor.Final{}, revoked)
		if !end(s) {
			t.Errorf("%s did not find it", name)
		}
		if end(s) {
			t.Errorf("%s found it twice", name)
		}
		if got := read(x, s); len(got) != 0 {
			t.Errorf("after %s: %v", name, got)
		}
		if left := x.Remains(); left != "" {
			t.Errorf("after %s tables of sizes %s are left", name, left)
		}
	}
	if m := x.Metrics(); m.Ended["revoked"] != 2 || m.Ended["completed"] != 0 || m.Ended["connection_closed"] != 0 {
		t.Errorf("ended %v", m.Ended)
	}
}

func TestOfTheApplicationAndTheServerOneEndsIt(t *testing.T) {
	x := open(t, newResolvers())
	const rounds = 300
	for range rounds {
		s := register(t, x, executor.Registration{Subscription: "s"})
		var running sync.WaitGroup
		running.Go(func() { x.End(&bus.Thread{}, s, executor.Final{}, revoked) })
		running.Go(func() { x.CompleteSubscription(&bus.Thread{}, s.ID()) })
		running.Wait()
		x.CompleteSubscription(&bus.Thread{}, s.ID())
	}
	m := x.Metrics()
	if total := m.Ended["revoked"] + m.Ended["completed"]; total != rounds || m.Active != 0 {
		t.Errorf("%d subscriptions ended %d times (%v), %d are active", rounds, total, m.Ended, m.Active)
	}
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestDrainHandsOutTheFinalMessageAndForgets(t *testing.T) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	if _, err := x.Drain(thread, 0, 1); err != nil { // makes the plain side
		t.Fatal(err)
	}
	s := register(t, x, executor.Registration{Subscription: "s"})
	publish(t, x, "orders", `{"id":1}`)
	x.End(thread, s, executor.Final{}, revoked)
	var got []string
	for range 2 { // one at a time
		batch, err := x.Drain(thread, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch.Entries {
			got = append(got, string(batch.Message(nil, i)))
		}
		batch.Recycle()
	}
	if !slices.Equal(got, []string{`{"id":"s","type":"next","payload":{"data":{"orderUpdated":{"id":1}}}}`, `{"id":"s","type":"complete"}`}) {
		t.Errorf("drained %v", got)
	}
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestALoopsSubscriptionIsKeptUntilItsStreamHasAskedForMore(t *testing.T) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	number, err := x.OpenConsumer(thread)
	if err != nil {
		t.Fatal(err)
	}
	s := register(t, x, executor.Registration{Subscription: "s"})
	if err := x.Attach(thread, s.ID(), number, false, false); err != nil {
		t.Fatal(err)
	}
	x.End(thread, s, executor.Final{}, revoked)
	batch, err := x.Drain(thread, number, 10)
	if err != nil || len(batch.Entries) != 1 {
		t.Fatalf("drained %d messages and %v", len(batch.Entries), err)
	}
	if _, err := x.Find(thread, s.ID()); err != nil {
		t.Errorf("its connection leads to it no more: %v", err)
	}
	if _, err := x.NextResponses(thread, s, 1); err == nil {
		t.Error("it can be read beyond its end")
	}
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestAnEndedSubscriptionTakesNoOtherResolver(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Subscription: "s"})
	x.End(&bus.Thread{}, s, executor.Final{}, revoked)
	if err := x.SetResolver(&bus.Thread{}, s.ID(), 1, 0); err == nil {
		t.Error("it took one")
	}
}

func TestWhoReadsAnEndBeforeItIsListedGivesTheResolverBack(t *testing.T) {
	python := newResolvers()
	x := open(t, python)
	s := register(t, x, executor.Registration{Subscription: "s", Options: `{"resolver":1}`})
	x.FinishOnly(s)
	if got := read(x, s); len(got) != 1 {
		t.Errorf("read %v", got)
	}
	if python.released[1] != 1 {
		t.Errorf("the resolver was given back %d times", python.released[1])
	}
}
