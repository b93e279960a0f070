package executor_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// bounded are the options of a subscription with a small queue.
func bounded(responses int, overflow string, more ...string) string {
	parts := append([]string{fmt.Sprintf(`"max_responses":%d,"max_bytes":1000,"overflow":%q`, responses, overflow)}, more...)
	return `{"queue":{` + strings.Join(parts, ",") + `}}`
}

// ids are those that the queued responses of s carry.
func ids(t *testing.T, x *executor.Executor, s *executor.Subscription) []string {
	t.Helper()
	var found []string
	for _, payload := range payloadsOf(read(x, s)) {
		var response struct {
			Data struct{ OrderUpdated struct{ ID json.RawMessage } }
		}
		if err := json.Unmarshal([]byte(payload), &response); err != nil {
			t.Fatal(err)
		}
		found = append(found, string(response.Data.OrderUpdated.ID))
	}
	return found
}

func TestLatestKeepsTheNewestOfEachKeyInThePlaceOfTheFirst(t *testing.T) {
	x := open(t, newResolvers())
	byKey := register(t, x, executor.Registration{Subscription: "key", Options: bounded(10, "latest", `"key":"item.sku"`)})
	all := register(t, x, executor.Registration{Subscription: "all", Options: bounded(10, "latest")})
	// The key is not among what the client selects.
	for i, sku := range []string{`5`, `"5"`, `5.0`, `null`, `"5"`, `{}`} {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"item":{"sku":%s}}`, i, sku))
	}
	publish(t, x, "orders", `{"id":6}`)
	publish(t, x, "orders", `{"id":7,"item":7}`) // absent, too
	if got := ids(t, x, byKey); !slices.Equal(got, []string{"2", "4", "3", "5", "7"}) {
		t.Errorf("by key: %v", got)
	}
	if got := ids(t, x, all); !slices.Equal(got, []string{"7"}) {
		t.Errorf("without a key: %v", got)
	}
	if dropped := x.Metrics().Dropped["latest"]; dropped != 3+7 {
		t.Errorf("%d dropped", dropped)
	}
}

func TestLatestWithMoreKeysThanRoomDropsTheOldest(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Subscription: "s", Options: bounded(2, "latest", `"key":"id"`)})
	for i := range 5 {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d}`, i))
	}
	if got := ids(t, x, s); !slices.Equal(got, []string{"3", "4"}) {
		t.Errorf("got %v", got)
	}
}

func TestLatestReplacesThePlaceOfAnAnswerStillBeingComputed(t *testing.T) {
	python := newResolvers()
	var tickets []uint64
	python.table[1] = func(_ *bus.Thread, _ []byte, call executor.Call) executor.Result {
		tickets = append(tickets, call.Ticket)
		return executor.Result{Kind: executor.KindPending}
	}
	x := open(t, python)
	options := strings.Replace(bounded(10, "latest", `"key":"id"`), "{", `{"resolver":1,"resolver_flags":4,`, 1)
	s := register(t, x, executor.Registration{Subscription: "s", Options: options})
	publish(t, x, "orders", `{"id":1,"v":1}`)
	publish(t, x, "orders", `{"id":2,"v":2}`)
	publish(t, x, "orders", `{"id":1,"v":3}`)
	for i := range tickets { // in order, so that the replaced one answers first
		x.Settle(&bus.Thread{}, tickets[i], executor.Result{Value: []byte(fmt.Sprint(i + 1))})
	}
	if got := payloadsOf(read(x, s)); !slices.Equal(got, []string{`{"data":3}`, `{"data":2}`}) {
		t.Errorf("got %v", got)
	}
}

func TestAKeyIsForLatestOnly(t *testing.T) {
	x := open(t, newResolvers())
	for _, options := range []string{bounded(1, "block", `"key":"id"`), bounded(1, "latest", `"key":"a..b"`), bounded(1, "newest")} {
		_, err := x.RegisterSubscription(&bus.Thread{}, executor.Registration{
			Connection: "c", Subscription: "s", Query: "subscription { orderUpdated { id } }", Options: options,
		})
		if fault.CodeOf(err) != fault.InvalidValue {
			t.Errorf("%s: %v", options, err)
		}
	}
}

const slow = `{"id":"s","type":"error","payload":[{"message":"the subscription was ended because its responses were not read fast enough","extensions":{"code":"SLOW_CONSUMER"}}]}`

func TestDisconnectEndsWithWhatWasQueuedAndAnError(t *testing.T) {
	python := newResolvers()
	python.table[1] = func(_ *bus.Thread, data []byte, _ executor.Call) executor.Result {
		return executor.Result{Value: data}
	}
	x := open(t, python)
	options := strings.Replace(bounded(2, "disconnect"), "{", `{"resolver":1,`, 1)
	s := register(t, x, executor.Registration{Subscription: "s", Options: options})
	for i := range 4 {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d}`, i))
	}
	if python.released[1] != 1 {
		t.Errorf("its resolver was given back %d times", python.released[1])
	}
	if found, err := x.SubscriptionsByChannel("orders"); err != nil || len(found) > 0 {
		t.Errorf("the channel still leads to %v (%v)", found, err)
	}
	again := register(t, x, executor.Registration{Subscription: "s"}) // at once, under the same id
	m := x.Metrics()
	if m.Active != 1 || m.Ended["slow_consumer"] != 1 || m.Errored != 1 || m.Dropped["disconnect"] != 1 {
		t.Errorf("metrics %+v", m)
	}
	want := []string{
		`{"id":"s","type":"next","payload":{"data":{"id":0}}}`, `{"id":"s","type":"next","payload":{"data":{"id":1}}}`, slow,
	}
	if got := read(x, s); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if _, err := x.NextResponses(&bus.Thread{}, s, 1); err == nil {
		t.Error("it can be read beyond its end")
	}
	if _, err := x.Find(&bus.Thread{}, s.ID()); fault.CodeOf(err) != fault.SubscriptionNotFound {
		t.Errorf("it can be found beyond its end: %v", err)
	}
	x.CompleteSubscription(&bus.Thread{}, again.ID())
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestDisconnectUnderConcurrentPublishersEndsExactlyOnce(t *testing.T) {
	x := open(t, newResolvers())
	const subscribers, publishers, events = 50, 8, 20
	var all []*executor.Subscription
	for i := range subscribers {
		all = append(all, register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Options: bounded(5+i%7, "disconnect")}))
	}
	var running sync.WaitGroup
	for p := range publishers {
		running.Go(func() {
			for i := range events {
				publish(t, x, fmt.Sprintf("orders.%d", p%3), fmt.Sprintf(`{"id":%d}`, i))
			}
		})
	}
	running.Wait()
	for i, s := range all {
		messages := read(x, s)
		finals := 0
		for _, message := range messages {
			finals += strings.Count(message, "SLOW_CONSUMER")
		}
		if finals != 1 || len(messages) != 5+i%7+1 || !strings.Contains(messages[len(messages)-1], "SLOW_CONSUMER") {
			t.Fatalf("subscription %d got %d messages, %d of them final", i, len(messages), finals)
		}
	}
	if m := x.Metrics(); m.Ended["slow_consumer"] != subscribers || m.Errored != subscribers || m.Active != 0 {
		t.Errorf("ended %v, errored %d, active %d", m.Ended, m.Errored, m.Active)
	}
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

func TestDisconnectWaitsForAnswersThatAreStillComputed(t *testing.T) {
	python := newResolvers()
	var tickets []uint64
	python.table[1] = func(_ *bus.Thread, _ []byte, call executor.Call) executor.Result {
		tickets = append(tickets, call.Ticket)
		return executor.Result{Kind: executor.KindPending}
	}
	x := open(t, python)
	options := strings.Replace(bounded(1, "disconnect"), "{", `{"resolver":1,"resolver_flags":4,`, 1)
	s := register(t, x, executor.Registration{Subscription: "s", Options: options})
	publish(t, x, "orders", `{"id":1}`)
	publish(t, x, "orders", `{"id":2}`)
	if got := read(x, s); len(got) != 0 {
		t.Errorf("got %v before the answer", got)
	}
	for _, ticket := range tickets {
		x.Settle(&bus.Thread{}, ticket, executor.Result{Value: []byte(`1`)})
	}
	if got := read(x, s); !slices.Equal(got, []string{`{"id":"s","type":"next","payload":{"data":1}}`, slow}) {
		t.Errorf("got %v", got)
	}
	if left := x.Remains(); left != "" {
		t.Errorf("tables of sizes %s are left", left)
	}
}

// since is the position of now, and publishes events after it.
func since(t *testing.T, x *executor.Executor, events int) string {
	t.Helper()
	at := publish(t, x, "orders", `{"id":0}`).Position.String()
	for i := range events {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d,"key":%d}`, i+1, i%3))
	}
	return at
}

func TestReplayIntoASmallQueueKeepsWhatThePolicyKeeps(t *testing.T) {
	for _, by := range []struct {
		options   string
		want      []string
		recovered bool
	}{
		{bounded(2, "drop_oldest"), []string{"4", "5"}, false},
		{bounded(2, "drop_newest"), []string{"1", "2"}, false},
		{bounded(2, "block", `"block_timeout":30`), []string{"1", "2"}, false},
		{bounded(2, "latest", `"key":"key"`), []string{"5", "3"}, false}, // 4 replaced 1, which had to go
		{bounded(3, "latest", `"key":"key"`), []string{"4", "5", "3"}, true},
	} {
		x := open(t, newResolvers())
		s := register(t, x, executor.Registration{Subscription: "s", Options: by.options, Since: since(t, x, 5)})
		if got := ids(t, x, s); !slices.Equal(got, by.want) || s.Recovered() != by.recovered {
			t.Errorf("%s: got %v, recovered %v", by.options, got, s.Recovered())
		}
	}
}

func TestDisconnectResumesPieceByPiece(t *testing.T) {
	x := open(t, newResolvers())
	at := since(t, x, 5)
	var got []string
	for piece := range 3 {
		options := strings.Replace(bounded(2, "disconnect"), "{", `{"positions":true,`, 1)
		s := register(t, x, executor.Registration{Subscription: "s", Options: options, Since: at})
		if !s.Recovered() {
			t.Error("what it got is exact, and it says otherwise")
		}
		messages := read(x, s)
		if len(messages) > 0 && messages[len(messages)-1] == slow {
			messages = messages[:len(messages)-1]
		} else if piece < 2 {
			t.Errorf("piece %d ends without an error: %v", piece, messages)
		}
		for _, message := range messages {
			_, rest, _ := strings.Cut(message, `"position":"`)
			at, _, _ = strings.Cut(rest, `"`)
			_, rest, _ = strings.Cut(message, `"id":`)
			_, rest, _ = strings.Cut(rest, `"id":`)
			got = append(got, rest[:1])
		}
	}
	if !slices.Equal(got, []string{"1", "2", "3", "4", "5"}) {
		t.Errorf("got %v", got)
	}
}

func TestTheLogTellsOfManySlowSubscriptionsInTwoLines(t *testing.T) {
	python := newResolvers()
	x := open(t, python)
	executor.SetSlowLogInterval(x, time.Hour)
	const slow = 200
	for i := range slow {
		register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Options: bounded(1, []string{"drop_oldest", "drop_newest", "block", "disconnect"}[i%4])})
	}
	register(t, x, executor.Registration{Subscription: "latest", Options: bounded(1, "latest")})
	for i := range 3 {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d}`, i))
	}
	if !x.Close(&bus.Thread{}, patience) {
		t.Fatal("the executor did not close in time")
	}
	python.mu.Lock()
	defer python.mu.Unlock()
	if len(python.logged) != 2 || !strings.Contains(python.logged[0], "subscription=sub-1-") ||
		!strings.Contains(python.logged[1], fmt.Sprintf("subscriptions=%d", slow-1)) {
		t.Errorf("logged %v", python.logged)
	}
}

// publishing is a publish that waits where it has to, on a goroutine.
func publishing(t *testing.T, x *executor.Executor, channel, data string) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ev, err := event.Make(time.Now(), "orderUpdated", channel, []byte(data), "", "")
		if err != nil {
			t.Error(err)
			return
		}
		thread := &bus.Thread{}
		receipts, err := x.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched)
		if err != nil {
			t.Error(err)
			return
		}
		ticket := receipts[0].Ticket
		if ticket != 0 && (!x.Await(thread, ticket, patience) || !x.AwaitRoom(thread, ticket, patience)) {
			t.Error("the publisher waited for too long")
		}
	}()
	return done
}
