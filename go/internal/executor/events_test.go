package executor_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

const wholeEvents = `"positions":true,"resolver_flags":16`

func TestWholeEventsCarryEverythingAndTheirBytesAreShared(t *testing.T) {
	x := open(t, newResolvers())
	a := register(t, x, executor.Registration{Subscription: "a", Options: `{` + wholeEvents + `}`})
	b := register(t, x, executor.Registration{Subscription: "b", Options: `{` + wholeEvents + `}`})
	projected := register(t, x, executor.Registration{Subscription: "c", Query: "subscription { event { id } }", Options: `{"positions":true}`})
	publish(t, x, "orders", `{"id":1,"other":[2]}`)
	for _, s := range []*executor.Subscription{a, b} {
		got := read(x, s)
		if len(got) != 1 {
			t.Fatal(got)
		}
		var message struct {
			Payload struct {
				Data struct {
					ID, Channel   string
					EventType     string `json:"event_type"`
					CorrelationID string `json:"correlation_id"`
					Timestamp     float64
					Data          json.RawMessage
				}
				Extensions struct{ Position string }
			}
		}
		if err := json.Unmarshal([]byte(got[0]), &message); err != nil {
			t.Fatal(err)
		}
		data := message.Payload.Data
		if data.ID == "" || data.CorrelationID != data.ID || data.Channel != "orders" || data.EventType == "" ||
			data.Timestamp == 0 || string(data.Data) != `{"id":1,"other":[2]}` || message.Payload.Extensions.Position == "" {
			t.Error(got[0])
		}
	}
	if got := read(x, projected); len(got) != 1 || !strings.Contains(got[0], `"data":{"event":{"id":1}}`) {
		t.Error(got)
	}
}

func TestAListenerUnderAClientsQueryIsCheckedForIt(t *testing.T) {
	for _, one := range []struct {
		name, query, variables, options string
		code                            fault.Code
	}{
		{"scope", "subscription ($tenant_id: Int) { orders(t: $tenant_id) { id } }", `{"tenant_id":2}`, `"context":{"tenant_id":1}`, fault.ScopeViolation},
		{"permissions", "subscription { orders { id } }", "", `"context":{"permissions":[]}`, fault.Forbidden},
		{"limits", "subscription { a { b { c { d { e { f { g { h { i { j { k } } } } } } } } } } }", "", `"context":{}`, fault.LimitExceeded},
		{"an empty query", "", "", `"share":true`, fault.InvalidQuery},
	} {
		t.Run(one.name, func(t *testing.T) {
			x := open(t, newResolvers())
			options := `{"channels":[],` + one.options + `,` + wholeEvents + `}`
			if one.query == "" {
				options = `{` + one.options + `}`
			}
			_, err := x.RegisterSubscription(&bus.Thread{}, executor.Registration{
				Connection: "c", Subscription: "s", Query: one.query, Variables: one.variables, Options: options,
			})
			if fault.CodeOf(err) != one.code {
				t.Errorf("%v", err)
			}
			if left := x.Remains(); left != "" {
				t.Error(left)
			}
		})
	}
}

func TestAWatcherWithoutChannelsGetsNothingAndEndsWithItsContext(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Query: "subscription { orders { id } }", Options: `{"channels":[],"context":{"permissions":["order:read"]},` + wholeEvents + `}`})
	publish(t, x, "orders", `{"id":1}`)
	if got := read(x, s); len(got) != 0 {
		t.Error(got)
	}
	if changed := revoke(t, x, `{"permission":"order:read"}`); changed != 1 {
		t.Error(changed)
	}
	if got := read(x, s); len(got) != 1 || !strings.Contains(got[0], `"FORBIDDEN"`) {
		t.Error(got)
	}
	x.CloseConnection(&bus.Thread{}, "c")
	if left := x.Remains(); left != "" {
		t.Error(left)
	}
}

func TestAPartIsNotCountedAgainAndFollowsItsContext(t *testing.T) {
	text := strings.Replace(options, `"limits":{`, `"limits":{"max_subscriptions":1,"max_subscriptions_per_connection":1,"max_subscriptions_per_user":1,"max_connections":1,"max_connections_per_user":1,`, 1)
	parsed, err := executor.ParseOptions(text)
	if err != nil {
		t.Fatal(err)
	}
	x, err := executor.New(1, parsed, newResolvers())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close(&bus.Thread{}, patience)
	whole := register(t, x, executor.Registration{Subscription: "whole", Options: `{"context":{"user_id":1}}`})
	var parts []*executor.Subscription
	for i := range 3 {
		parts = append(parts, register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Options: `{"context":{"user_id":1},"part":true,` + wholeEvents + `}`}))
	}
	if _, err := x.RegisterSubscription(&bus.Thread{}, executor.Registration{Connection: "c", Subscription: "more", Query: "subscription { a }"}); fault.LimitOf(err) == "" {
		t.Errorf("%v", err)
	}
	if changed, _, err := x.UpdateContext(&bus.Thread{}, "c", []byte(`{"user_id":2}`)); changed != 4 || err != nil {
		t.Error(changed, err)
	}
	publish(t, x, "orders", `{"id":1,"user_id":1}`)
	publish(t, x, "orders", `{"id":2,"user_id":2}`)
	for _, s := range parts {
		if got := read(x, s); len(got) != 1 || !strings.Contains(got[0], `"id":2`) {
			t.Error(got)
		}
	}
	x.CompleteSubscription(&bus.Thread{}, whole.ID())
	x.CloseConnection(&bus.Thread{}, "c")
	if left := x.Remains(); left != "" {
		t.Error(left)
	}
}

func TestReplayGivesWholeEventsToo(t *testing.T) {
	x := open(t, newResolvers())
	first := register(t, x, executor.Registration{Subscription: "a", Options: `{` + wholeEvents + `}`})
	publish(t, x, "orders", `{"id":1}`)
	publish(t, x, "orders", `{"id":2}`)
	seen := read(x, first)
	_, position, _ := strings.Cut(seen[0], `"position":"`)
	position, _, _ = strings.Cut(position, `"`)
	again := register(t, x, executor.Registration{Subscription: "a2", Options: `{` + wholeEvents + `}`, Since: position})
	got := read(x, again)
	if len(got) != 1 || strings.Replace(got[0], `"a2"`, `"a"`, 1) != seen[1] {
		t.Errorf("%v, not %v", got, seen[1:])
	}
}

func TestAPartFollowsItsOperationToANewUsersRate(t *testing.T) {
	x, _ := openLimited(t, newResolvers(), `"user_rate":{"per_second":0.001,"burst":2}`)
	const part = `,"part":true,` + wholeEvents + `}`
	main := mustTry(t, x, "c", "1", `{"context":{"user_id":"a"},"channels":["none"]}`)
	listener := mustTry(t, x, "c", "1/part", `{"context":{"user_id":"a"}`+part)
	if changed, _ := update(t, x, `{"user_id":"b"}`); changed != 2 {
		t.Errorf("%d changed", changed)
	}
	for range 5 {
		publish(t, x, "orders", `{"id":1,"user_id":"b"}`)
	}
	if got := len(read(x, listener)); got != 2 {
		t.Errorf("%d events came at a rate of 2", got)
	}
	x.CompleteSubscription(&bus.Thread{}, main.ID())
}

func TestInspectTellsKindsAndHoldsThemToTheLimits(t *testing.T) {
	x := open(t, newResolvers())
	for _, one := range []struct{ query, variables, want string }{
		{"query { a b }", "", `{"kind":"query"}`},
		{"{ a }", "", `{"kind":"query"}`},
		{"mutation { a }", `{"x":1}`, `{"kind":"mutation"}`},
		{"subscription { a(b: 1) }", "", `{"kind":"subscription","field":"a","arguments":{"b":1}}`},
		{"{ a { b { c { d { e { f { g { h { i { j { k } } } } } } } } } } }", "", "LIMIT_EXCEEDED"},
		{"query A { a } query B { b }", "", "operation_name"},
		{"{ ...F }", "", "not defined"},
	} {
		told, err := x.Inspect(&bus.Thread{}, executor.Registration{Query: one.query, Variables: one.variables})
		if got := string(told) + fmt.Sprint(err); !strings.Contains(got, one.want) {
			t.Errorf("%s: %s", one.query, got)
		}
	}
}
