package executor_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

func TestTextsSayWhatTheyBecome(t *testing.T) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	number, err := x.OpenConsumer(thread)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i, client := range []string{"1", "1", "zwölf", "1"} {
		s := register(t, x, executor.Registration{Connection: fmt.Sprint(i), Subscription: client})
		if err := x.Attach(thread, s.ID(), number, true, i < 3); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID())
	}
	drained := func() (forms []executor.Form) {
		b, err := x.Drain(thread, number, 100)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Recycle()
		for i := range b.Entries {
			forms = append(forms, b.Entries[i].Form)
		}
		if want := slices.Contains(forms, executor.UTF8); b.Decode != want {
			t.Errorf("Decode is %v for %v", b.Decode, forms)
		}
		return forms
	}
	for _, step := range []struct {
		data string
		want []executor.Form
	}{
		{`{"id":"plain, and longer than a word"}`, []executor.Form{executor.ASCII, executor.Again, executor.UTF8, executor.Bytes}},
		{`{"id":"ein schöner Tag"}`, []executor.Form{executor.UTF8, executor.Again, executor.UTF8, executor.Bytes}},
		{`{"id":"0123456789abcdefghijé"}`, []executor.Form{executor.UTF8, executor.Again, executor.UTF8, executor.Bytes}},
		{`{"id":1}`, []executor.Form{executor.ASCII, executor.Again, executor.UTF8, executor.Bytes}},
	} {
		publish(t, x, "orders", step.data)
		if got := drained(); !slices.Equal(got, step.want) {
			t.Errorf("%s was handed out as %v, want %v", step.data, got, step.want)
		}
	}
	// With its final message behind it, one is read as bytes.
	publish(t, x, "orders", `{"id":2}`)
	s, err := x.Find(thread, ids[1])
	if err != nil {
		t.Fatal(err)
	}
	x.End(thread, s, executor.Final{}, revoked)
	if got, want := drained(), []executor.Form{executor.ASCII, executor.Bytes, executor.Bytes, executor.UTF8, executor.Bytes}; !slices.Equal(got, want) {
		t.Errorf("after the end, %v, want %v", got, want)
	}
}
