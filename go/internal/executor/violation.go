package executor

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// Violation is what a subscriber does that it should not, as metrics name it. What
// others publish, and who may not see it, is none.
type Violation string

// The kinds.
const (
	ScopeMismatch       Violation = "scope"                // asked for what is not its context's
	ForbiddenField      Violation = "field"                // selected a field without its permission
	ForeignSubscription Violation = "foreign_subscription" // named a subscription of another connection
	RateExceeded        Violation = "rate"                 // an event was withheld by a rate
)

var violations = []string{string(ScopeMismatch), string(ForbiddenField), string(ForeignSubscription), string(RateExceeded)}

// codeViolations is the code of the final message, and of a registration that is
// refused while its connection is cut off.
const codeViolations = fault.TooManyViolations

// trips are connections that dispatch, which holds no lock and perhaps the GIL, has
// found to be cut off: unlistEnded ends what they have.
type trips struct {
	any         atomic.Bool
	mu          sync.Mutex // held for an instant
	connections []string
}

// Violation counts a violation of a connection, for whoever notices one: a transport
// whose client names a subscription that is not its own. More than the policy's
// max_violations within its violation_window end the connection's subscriptions, and
// none can be registered on it until enough of them are older than that. True: it is
// cut off, and a transport should close it.
func (x *Executor) Violation(t *bus.Thread, connection string, kind Violation) (cutOff bool) {
	x.violate(connection, kind)
	x.unlistEnded(t)
	t.Settle()
	return x.limits.breaker.IsOpen(connection, x.limits.elapsed())
}

// countViolation counts a registration that was refused for what it asks, whether the
// connection has a live subscription or not. unlistEnded is to be called soon. A context
// that the application replaces, or takes a permission from, is no doing of the subscriber's.
func (x *Executor) countViolation(connection string, err error) {
	var refusal *security.Refusal
	if !errors.As(err, &refusal) {
		return
	}
	switch refusal.Module {
	case security.ScopeModule:
		x.violate(connection, ScopeMismatch)
	case security.RBACModule:
		x.violate(connection, ForbiddenField)
	}
}

// violate is Violation for code that has no thread at hand; unlistEnded does the rest,
// and is to be called soon.
func (x *Executor) violate(connection string, kind Violation) {
	x.metrics.Violated(string(kind), 1)
	l := &x.limits
	if !l.breaker.Record(connection, l.elapsed()) {
		return
	}
	x.metrics.BreakerTripped()
	l.trips.mu.Lock()
	l.trips.connections = append(l.trips.connections, connection)
	l.trips.any.Store(true)
	l.trips.mu.Unlock()
}

// endTripped ends the subscriptions of connections that were cut off. Who registers
// later is refused under x.mu, so none is left.
func (x *Executor) endTripped(t *bus.Thread) {
	trips := &x.limits.trips
	if !trips.any.Load() {
		return
	}
	t.Lock(&trips.mu)
	connections := trips.connections
	trips.connections = nil
	trips.any.Store(false)
	trips.mu.Unlock()
	for _, connection := range connections {
		ended := 0
		for _, s := range x.ofConnection(t, connection) {
			if x.finish(s, newEnding(Final{
				Message: "the subscription was ended because its connection broke the rules too often",
				Code:    string(codeViolations),
			}, EndViolations)) {
				ended++
			}
		}
		x.Audit(AuditRecord{
			Kind: AuditCircuitBreaker, Reason: sentence(x.tooManyViolations(connection)),
			Code: string(codeViolations), Connection: connection, Count: ended,
		})
	}
}

// tooManyViolations refuses a registration on a connection that is cut off.
func (x *Executor) tooManyViolations(connection string) error {
	most := float64(x.limits.breaker.Most())
	return fault.Exceeded(codeViolations, maxViolations, most, most+1,
		"the connection %q is cut off: it had more than %v violations within %v; it may register again when they are older",
		connection, most, x.limits.breaker.Window())
}
