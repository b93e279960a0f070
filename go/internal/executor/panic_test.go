package executor_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// record is one call of Log.
type record struct {
	level   int
	message string
}

// recorder hands on what is logged as it comes.
type recorder struct {
	*resolvers
	records chan record
}

func (r *recorder) Log(_ *bus.Thread, level int, message string) { r.records <- record{level, message} }

func openRecorded(t *testing.T) (*executor.Executor, *recorder) {
	t.Helper()
	python := &recorder{newResolvers(), make(chan record, 10)}
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
	return x, python
}

// wantRecord waits for an error that names what panicked, its cause, and the
// function of this file in which it did.
func wantRecord(t *testing.T, python *recorder, what, cause, function string) {
	t.Helper()
	select {
	case got := <-python.records:
		if got.level != int(slog.LevelError) {
			t.Errorf("logged at level %d", got.level)
		}
		for _, part := range []string{what, cause, "panic_test.go", function} {
			if !strings.Contains(got.message, part) {
				t.Errorf("%q is missing from the record:\n%s", part, got.message)
			}
		}
	case <-time.After(patience):
		t.Fatal("the panic was not logged")
	}
}

func TestPanicInADispatchCostsThatEventOnlyAndIsLoggedWithItsStack(t *testing.T) {
	x, python := openRecorded(t)
	python.table[1] = func(_ *bus.Thread, data []byte, _ executor.Call) executor.Result {
		if string(data) == `{"id":1}` {
			panic("the resolver's bug")
		}
		return executor.Result{Value: data}
	}
	s := register(t, x, executor.Registration{Subscription: "a", Options: `{"resolver":1}`})
	for _, data := range []string{`{"id":0}`, `{"id":1}`, `{"id":2}`} {
		publish(t, x, "orders", data)
	}
	wantRecord(t, python, "dispatching event", "the resolver's bug", "TestPanicInADispatch")
	if got := payloadsOf(read(x, s)); !slices.Equal(got, []string{`{"data":{"id":0}}`, `{"data":{"id":2}}`}) {
		t.Errorf("got %v", got)
	}
}

func TestPanicOnAThreadOfTheEngineEndsThatTaskOnly(t *testing.T) {
	x, python := openRecorded(t)
	for range 2 * 16 { // more often than there are threads
		x.Lend(func(*bus.Thread) { panic("the task's bug") })
		wantRecord(t, python, "panicked", "the task's bug", "TestPanicOnAThread")
	}
	done := make(chan struct{})
	x.Lend(func(*bus.Thread) { close(done) })
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("no thread of the engine is left")
	}
}
