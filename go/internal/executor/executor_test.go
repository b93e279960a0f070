package executor_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// resolvers is a table of callbacks written in Go: executor.Python for tests.
type resolvers struct {
	mu        sync.Mutex
	table     map[int]func(t *bus.Thread, data []byte, call executor.Call) executor.Result
	cancelled []uint64
	released  map[int]int
	logged    []string
	audited   []executor.AuditRecord
	lost      int
	told      chan struct{} // has something when records were audited
	attach    chan struct{} // the engine's threads begin when it is closed; nil: at once
}

func newResolvers() *resolvers {
	return &resolvers{
		table:    make(map[int]func(*bus.Thread, []byte, executor.Call) executor.Result),
		released: make(map[int]int),
		told:     make(chan struct{}, 1),
	}
}

func (r *resolvers) Resolve(t *bus.Thread, data []byte, calls []executor.Call, _ bool, give func(int, executor.Result)) {
	results := make([]executor.Result, len(calls))
	for i, call := range calls {
		r.mu.Lock()
		resolve := r.table[call.Resolver]
		r.mu.Unlock()
		results[i] = resolve(t, data, call)
	}
	for i, result := range results {
		give(i, result)
	}
}

func (r *resolvers) Cancel(_ *bus.Thread, tickets []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancelled = append(r.cancelled, tickets...)
}

func (r *resolvers) Release(_ *bus.Thread, resolvers, uses []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, resolver := range resolvers {
		r.released[resolver] += uses[i]
	}
}

func (r *resolvers) Log(_ *bus.Thread, _ int, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logged = append(r.logged, message)
}

func (r *resolvers) Audit(_ *bus.Thread, lost int, records []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var some []executor.AuditRecord
	if err := json.Unmarshal(records, &some); err != nil {
		panic(err)
	}
	r.audited, r.lost = append(r.audited, some...), r.lost+lost
	select {
	case r.told <- struct{}{}:
	default:
	}
}

func (r *resolvers) Emptied(*bus.Thread, []string) {}

func (r *resolvers) Attach() (*bus.Thread, func(), bool) {
	if r.attach != nil {
		<-r.attach
	}
	return &bus.Thread{Engine: true}, func() {}, true
}

const options = `{"bus":{"kind":"memory","history":1024},"queue":{"max_responses":1024,"max_bytes":16777216,"overflow":"drop_oldest"},"resolver_timeout":30,"limits":{"max_query_bytes":100000,"max_query_fields":500,"max_query_depth":10,"max_event_bytes":1000000,"max_filter_depth":10}}`

func open(t *testing.T, python *resolvers) *executor.Executor {
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

func register(t *testing.T, x *executor.Executor, r executor.Registration) *executor.Subscription {
	t.Helper()
	if r.Connection == "" {
		r.Connection = "c"
	}
	if r.Query == "" {
		r.Query = "subscription { orderUpdated { id } }"
	}
	s, err := x.RegisterSubscription(&bus.Thread{}, r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publish(t *testing.T, x *executor.Executor, channel, data string) bus.Receipt {
	t.Helper()
	ev, err := event.Make(time.Now(), "orderUpdated", channel, []byte(data), "", "")
	if err != nil {
		t.Fatal(err)
	}
	thread := &bus.Thread{}
	receipts, err := x.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	if ticket := receipts[0].Ticket; ticket != 0 && !x.Await(thread, ticket, patience) {
		t.Fatal("the event was not dispatched in time")
	}
	return receipts[0]
}

// read takes all the messages that a subscription has queued.
func read(x *executor.Executor, s *executor.Subscription) []string {
	var texts []string
	for {
		batch, err := x.NextResponses(&bus.Thread{}, s, 2)
		if err != nil || len(batch.Entries) == 0 {
			return texts
		}
		for i := range batch.Entries {
			texts = append(texts, string(batch.Message(nil, i)))
		}
		batch.Recycle()
	}
}

func TestResponseFormatIsALegalNextMessage(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Subscription: "s\"1"})
	publish(t, x, "orders", `{"id":7,"secret":1}`)
	got := read(x, s)
	want := []string{`{"id":"s\"1","type":"next","payload":{"data":{"orderUpdated":{"id":7}}}}`}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOneHundredSubscriptionsInParallelEachGetEveryEventInOrder(t *testing.T) {
	x := open(t, newResolvers())
	const subscribers, publishers, events = 100, 8, 50
	subscriptions := make([]*executor.Subscription, subscribers)
	for i := range subscriptions {
		subscriptions[i] = register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Query: "subscription { orderUpdated { publisher n } }"})
	}
	var running sync.WaitGroup
	for p := range publishers {
		running.Go(func() {
			for n := range events {
				publish(t, x, "orders", fmt.Sprintf(`{"publisher":%d,"n":%d}`, p, n))
			}
		})
	}
	running.Wait()
	var first []string
	for i, s := range subscriptions {
		payloads := payloadsOf(read(x, s))
		if i == 0 {
			first = payloads
		}
		if len(payloads) != publishers*events || !slices.Equal(payloads, first) {
			t.Fatalf("subscription %d got %d responses, or another order than subscription 0", i, len(payloads))
		}
	}
	last := make(map[int]int)
	for _, payload := range first {
		var response struct {
			Data struct{ OrderUpdated struct{ Publisher, N int } }
		}
		if err := json.Unmarshal([]byte(payload), &response); err != nil {
			t.Fatal(err)
		}
		one := response.Data.OrderUpdated
		if one.N != last[one.Publisher] {
			t.Fatalf("publisher %d's event %d came where %d was due", one.Publisher, one.N, last[one.Publisher])
		}
		last[one.Publisher]++
	}
}

func payloadsOf(messages []string) []string {
	payloads := make([]string, len(messages))
	for i, message := range messages {
		_, rest, _ := strings.Cut(message, `"payload":`)
		payloads[i] = rest[:len(rest)-1]
	}
	return payloads
}

func TestUnauthorizedEventsAreBlocked(t *testing.T) {
	x := open(t, newResolvers())
	mine := register(t, x, executor.Registration{Subscription: "mine", Options: `{"context":{"tenant_id":5,"user_id":"u"}}`})
	other := register(t, x, executor.Registration{Subscription: "other", Options: `{"context":{"tenant_id":6,"user_id":"u"}}`})
	anonymous := register(t, x, executor.Registration{Subscription: "anonymous", Options: `{"context":{}}`})
	trusted := register(t, x, executor.Registration{Subscription: "trusted"})
	publish(t, x, "orders", `{"id":1,"tenant_id":5,"user_id":"u"}`)
	for _, one := range []struct {
		name string
		s    *executor.Subscription
		want int
	}{{"same tenant and user", mine, 1}, {"another tenant", other, 0}, {"anonymous", anonymous, 0}, {"trusted", trusted, 1}} {
		if got := len(read(x, one.s)); got != one.want {
			t.Errorf("%s got %d responses, want %d", one.name, got, one.want)
		}
	}
}

func TestResolverIsCalledOnceForAllThatShareItsAnswer(t *testing.T) {
	python := newResolvers()
	calls := 0
	python.table[1] = func(_ *bus.Thread, data []byte, call executor.Call) executor.Result {
		calls++
		if string(data) != `{"id":1}` || string(call.Variables) != `{"a":2}` || call.Info != nil {
			t.Errorf("called with data %s, variables %s, info %s", data, call.Variables, call.Info)
		}
		return executor.Result{Value: []byte(`{"x":1}`)}
	}
	x := open(t, python)
	var subscriptions []*executor.Subscription
	for i := range 10 {
		subscriptions = append(subscriptions, register(t, x, executor.Registration{
			Subscription: fmt.Sprint(i), Query: "subscription($a: Int) { orderUpdated(a: $a) { id } }",
			Variables: `{"a":2}`, Options: `{"resolver":1,"resolver_flags":1}`,
		}))
	}
	publish(t, x, "orders", `{"id":1}`)
	if calls != 1 {
		t.Errorf("the resolver was called %d times", calls)
	}
	for _, s := range subscriptions {
		if got := payloadsOf(read(x, s)); !slices.Equal(got, []string{`{"data":{"x":1}}`}) {
			t.Errorf("got %v", got)
		}
	}
}

func TestFailedResolverIsThatSubscriptionsErrorOnly(t *testing.T) {
	python := newResolvers()
	python.table[1] = func(*bus.Thread, []byte, executor.Call) executor.Result {
		return executor.Result{Kind: executor.KindError, Value: []byte("no \"such\" order")}
	}
	x := open(t, python)
	failing := register(t, x, executor.Registration{Subscription: "a", Options: `{"resolver":1}`})
	plain := register(t, x, executor.Registration{Subscription: "b"})
	publish(t, x, "orders", `{"id":1}`)
	want := `{"data":null,"errors":[{"message":"no \"such\" order","path":["orderUpdated"],"extensions":{"code":"RESOLVER_ERROR"}}]}`
	if got := payloadsOf(read(x, failing)); !slices.Equal(got, []string{want}) {
		t.Errorf("got %v", got)
	}
	if got := read(x, plain); len(got) != 1 {
		t.Errorf("the other subscription got %v", got)
	}
}

func TestAsyncAnswerTakesThePlaceOfItsEvent(t *testing.T) {
	python := newResolvers()
	var tickets []uint64
	python.table[1] = func(_ *bus.Thread, _ []byte, call executor.Call) executor.Result {
		tickets = append(tickets, call.Ticket)
		return executor.Result{Kind: executor.KindPending}
	}
	x := open(t, python)
	a := register(t, x, executor.Registration{Subscription: "a", Options: `{"resolver":1,"resolver_flags":4}`})
	b := register(t, x, executor.Registration{Subscription: "b", Options: `{"resolver":1,"resolver_flags":4}`})
	publish(t, x, "orders", `{"id":1}`)
	publish(t, x, "orders", `{"id":2}`)
	if got := read(x, a); len(got) != 0 {
		t.Fatalf("read %v before any answer", got)
	}
	x.Settle(&bus.Thread{}, tickets[1], executor.Result{Value: []byte(`2`)})
	if got := read(x, a); len(got) != 0 {
		t.Fatalf("the second answer overtook the first: %v", got)
	}
	x.Settle(&bus.Thread{}, tickets[0], executor.Result{Value: []byte(`1`)})
	for _, s := range []*executor.Subscription{a, b} {
		if got := payloadsOf(read(x, s)); !slices.Equal(got, []string{`{"data":1}`, `{"data":2}`}) {
			t.Errorf("got %v", got)
		}
	}
	if x.Settle(&bus.Thread{}, tickets[0], executor.Result{Value: []byte(`1`)}) {
		t.Error("an answer was taken twice")
	}
}

func TestAsyncAnswerThatNeverComesBecomesAnErrorInItsPlace(t *testing.T) {
	python := newResolvers()
	python.table[1] = func(*bus.Thread, []byte, executor.Call) executor.Result {
		return executor.Result{Kind: executor.KindPending}
	}
	parsed, err := executor.ParseOptions(strings.Replace(options, `"resolver_timeout":30`, `"resolver_timeout":0.001`, 1))
	if err != nil {
		t.Fatal(err)
	}
	x, err := executor.New(1, parsed, python)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close(&bus.Thread{}, patience)
	s := register(t, x, executor.Registration{Subscription: "a", Options: `{"resolver":1,"resolver_flags":4}`})
	publish(t, x, "orders", `{"id":1}`)
	eventually(t, "an error response", func() bool {
		got := payloadsOf(read(x, s))
		return len(got) == 1 && strings.Contains(got[0], "RESOLVER_TIMEOUT")
	})
	eventually(t, "the task to be cancelled", func() bool {
		python.mu.Lock()
		defer python.mu.Unlock()
		return len(python.cancelled) == 1
	})
}

// eventually asks again and again until true, at most for patience.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

func TestCompletionLeavesNothing(t *testing.T) {
	python := newResolvers()
	python.table[1] = func(*bus.Thread, []byte, executor.Call) executor.Result {
		return executor.Result{Kind: executor.KindPending}
	}
	x := open(t, python)
	s := register(t, x, executor.Registration{Subscription: "a", Options: `{"resolver":1,"resolver_flags":4}`})
	publish(t, x, "orders", `{"id":1}`)
	thread := &bus.Thread{}
	if !x.CompleteSubscription(thread, s.ID()) || x.CompleteSubscription(thread, s.ID()) {
		t.Error("a subscription must complete exactly once")
	}
	if len(python.cancelled) != 1 || python.released[1] != 1 {
		t.Errorf("cancelled %v, released %v", python.cancelled, python.released)
	}
	if _, err := x.Find(thread, s.ID()); fault.CodeOf(err) != fault.SubscriptionNotFound {
		t.Errorf("got %v", err)
	}
	if left := x.Remains(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestDrainIsFairAndTheDescriptorStaysReadableUntilAllIsRead(t *testing.T) {
	x := open(t, newResolvers())
	thread := &bus.Thread{}
	if _, err := x.Descriptor(thread, 0); err != nil {
		t.Fatal(err)
	}
	busy := register(t, x, executor.Registration{Subscription: "busy"})
	for i := range 200 {
		publish(t, x, "orders", fmt.Sprintf(`{"id":%d}`, i))
	}
	quiet := register(t, x, executor.Registration{Subscription: "quiet"})
	publish(t, x, "orders", `{"id":200}`)
	names := make(map[string]int)
	var total int
	for range 10 {
		batch, err := x.Drain(thread, 0, 80)
		if err != nil {
			t.Fatal(err)
		}
		name := ""
		for _, entry := range batch.Entries {
			if entry.NameLength > 0 {
				name = string(batch.Texts[entry.NameAt : entry.NameAt+entry.NameLength])
			}
			names[name]++
		}
		if total += len(batch.Entries); total <= 80 && names[quiet.ID()] != 1 {
			t.Error("the quiet subscription had to wait for the busy one")
		}
		batch.Recycle()
	}
	if names[busy.ID()] != 201 || names[quiet.ID()] != 1 {
		t.Errorf("drained %v", names)
	}
}

func TestAnAnswerStillBeingComputedDoesNotSilenceItsStream(t *testing.T) {
	python := newResolvers()
	var ticket uint64
	python.table[1] = func(_ *bus.Thread, _ []byte, call executor.Call) executor.Result {
		ticket = call.Ticket
		return executor.Result{Kind: executor.KindPending}
	}
	x := open(t, python)
	thread := &bus.Thread{}
	consumer, err := x.OpenConsumer(thread)
	if err != nil {
		t.Fatal(err)
	}
	s := register(t, x, executor.Registration{Subscription: "a", Options: `{"resolver":1,"resolver_flags":4}`})
	if err := x.Attach(thread, s.ID(), consumer, false, false); err != nil {
		t.Fatal(err)
	}
	publish(t, x, "orders", `{"id":1}`)
	for i, want := range []int{0, 1} { // looks while pending, then again once settled
		batch, err := x.Drain(thread, consumer, 100)
		if err != nil || len(batch.Entries) != want {
			t.Fatalf("drain %d gave %d messages and %v", i, len(batch.Entries), err)
		}
		batch.Recycle()
		x.Settle(thread, ticket, executor.Result{Value: []byte(`1`)})
	}
}

func TestResumeReplaysExactlyWhatWasMissed(t *testing.T) {
	x := open(t, newResolvers())
	publish(t, x, "orders", `{"id":1}`)
	at := publish(t, x, "orders", `{"id":2}`).Position
	publish(t, x, "orders", `{"id":3}`)
	publish(t, x, "other", `{"id":4}`)
	s := register(t, x, executor.Registration{Subscription: "a", Options: `{"channels":["orders"],"positions":true}`, Since: at.String()})
	publish(t, x, "orders", `{"id":5}`)
	got := payloadsOf(read(x, s))
	if len(got) != 2 || !strings.Contains(got[0], `{"id":3}`) || !strings.Contains(got[1], `{"id":5}`) ||
		!strings.Contains(got[0], `"extensions":{"position":"`+at.Epoch+`:3"`) {
		t.Errorf("got %v", got)
	}
	if !s.Recovered() {
		t.Error("the resume was exact and said it was not")
	}
	foreign := register(t, x, executor.Registration{Subscription: "b", Since: "elsewhere:1"})
	publish(t, x, "orders", `{"id":6}`)
	if got := payloadsOf(read(x, foreign)); foreign.Recovered() || len(got) != 1 || !strings.Contains(got[0], `"extensions":{"recovered":false}`) {
		t.Errorf("a position of another epoch gave %v", got)
	}
}

func TestReplacedResolverAnswersFromTheNextEventOn(t *testing.T) {
	python := newResolvers()
	for i := 1; i <= 2; i++ {
		python.table[i] = func(*bus.Thread, []byte, executor.Call) executor.Result {
			return executor.Result{Value: fmt.Append(nil, i)}
		}
	}
	x := open(t, python)
	s := register(t, x, executor.Registration{Subscription: "a", Options: `{"resolver":1}`})
	publish(t, x, "orders", `{"id":1}`)
	if err := x.SetResolver(&bus.Thread{}, s.ID(), 2, 0); err != nil {
		t.Fatal(err)
	}
	publish(t, x, "orders", `{"id":2}`)
	if err := x.SetResolver(&bus.Thread{}, s.ID(), 0, 0); err != nil {
		t.Fatal(err)
	}
	publish(t, x, "orders", `{"id":3}`)
	want := []string{`{"data":1}`, `{"data":2}`, `{"data":{"orderUpdated":{"id":3}}}`}
	if got := payloadsOf(read(x, s)); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if python.released[1] != 1 || python.released[2] != 1 {
		t.Errorf("released %v", python.released)
	}
}
