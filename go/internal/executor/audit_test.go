package executor_test

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

func openAudited(t *testing.T, denials float64) (*executor.Executor, *resolvers) {
	t.Helper()
	parsed, err := executor.ParseOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	parsed.Audit.Denials = denials
	python := newResolvers()
	x, err := executor.New(1, parsed, python)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close(&bus.Thread{}, patience) })
	return x, python
}

// records waits for so many records and takes them.
func (r *resolvers) records(t *testing.T, count int) []executor.AuditRecord {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		records := r.audited
		r.mu.Unlock()
		if len(records) >= count {
			return records
		}
		select {
		case <-r.told:
		case <-deadline:
			t.Fatalf("%d records came, not %d", len(records), count)
		}
	}
}

func TestADenialThatIsNotToldAllocatesNothing(t *testing.T) {
	x, python := openAudited(t, 0.0001)
	thread := &bus.Thread{}
	for i := range 3 {
		register(t, x, executor.Registration{
			Subscription: fmt.Sprint(i), Options: fmt.Sprintf(`{"context":{"tenant_id":1,"expires_at":%d}}`, time.Now().Unix()+3600),
		})
	}
	publish(t, x, "orders", `{"tenant_id":2}`)
	if record := python.records(t, 1)[0]; record.Kind != executor.AuditDenied || record.Denied["tenant"] != 3 {
		t.Errorf("told %+v", record)
	}
	ev, err := event.Make(time.Now(), "orderUpdated", "orders", []byte(`{"tenant_id":2}`), "", "")
	if err != nil {
		t.Fatal(err)
	}
	least := math.Inf(1)
	for range 5 { // the race detector makes pools forgetful, now and then
		least = min(least, testing.AllocsPerRun(100, func() { x.Dispatch(thread, ev) }))
	}
	if least > 0 {
		t.Errorf("a denial that is not told allocates %v times", least)
	}
	if got := len(python.records(t, 1)); got != 1 {
		t.Errorf("%d records were told", got)
	}
}

func TestTheCircuitBreakerIsTold(t *testing.T) {
	x, python := openAudited(t, 0)
	register(t, x, executor.Registration{})
	for range 101 {
		x.Violation(&bus.Thread{}, "c", executor.ForeignSubscription)
	}
	record := python.records(t, 1)[0]
	if record.Kind != executor.AuditCircuitBreaker || record.Connection != "c" || record.Count != 1 || record.Time == 0 ||
		!strings.Contains(record.Reason, "more than 100 violations") {
		t.Errorf("told %+v", record)
	}
}

func TestNothingCanBeReadAfterAnExpiryWhileOthersPublish(t *testing.T) {
	x, clock := openWithHands(t)
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
	for round := range 200 {
		expires := 10 * (round + 1)
		s := register(t, x, executor.Registration{Subscription: "s", Options: fmt.Sprintf(`{"context":{"tenant_id":1,"expires_at":%d}}`, expires)})
		publish(t, x, "orders", `{"id":2,"tenant_id":1}`)
		clock.set(float64(expires), true) // the timer's work is done when this returns
		got := read(x, s)
		if len(got) != 1 || !strings.Contains(got[0], `"code":"EXPIRED"`) {
			t.Fatalf("read %v", got)
		}
	}
	stop.Store(true)
	publishers.Wait()
}
