// Package metrics counts what an executor does, for get_metrics() and for
// Prometheus.
//
// Counting never blocks and never allocates: a counter is one atomic on a cache
// line of its own, meant to be raised once per event with everything that event
// did. What is already counted elsewhere (live subscriptions, queued responses,
// the bus) is asked for only when somebody reads. Each Set stands alone; nothing
// is registered globally.
package metrics

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// cacheLine is at least the size of one on every platform we build for (128 on
// arm64 macOS, and x86-64 fetches lines in pairs).
const cacheLine = 128

// counter only grows.
type counter struct {
	n atomic.Uint64
	_ [cacheLine - 8]byte
}

func (c *counter) add(n int) {
	if n > 0 {
		c.n.Add(uint64(n))
	}
}

func (c *counter) value() uint64 { return c.n.Load() }

// Gauges is the state of the executor at the moment of reading.
type Gauges struct {
	Active      int64          // live subscriptions
	Queued      int64          // responses waiting in queues
	QueuedBytes int64          // their payloads
	Bus         map[string]Bus // by the bus's name
}

// Bus is what a bus counted by itself.
type Bus struct {
	Published  uint64 `json:"published"`
	Dispatched uint64 `json:"dispatched"`
	Pending    int    `json:"pending"`
	Retained   int    `json:"retained"`
	// Server is what the bus tells of the server behind it, where there is one.
	Server map[string]any `json:"server,omitempty"`
}

// Set is one executor's metrics. Its methods may be called from any goroutine;
// those that count ignore n ≤ 0.
type Set struct {
	registered     counter
	completed      counter
	errored        counter
	published      counter
	dispatched     counter
	delivered      counter
	filtered       counter
	resolverErrors counter
	dropped        family // by overflow policy
	denied         family // by security module
	ended          family // by reason
	refused        family // by code
	auditLost      counter
	rejected       family // by limit
	violations     family // by kind
	breakerTrips   counter
	latency        histogram

	gauges   func() Gauges
	registry *prometheus.Registry
}

// New makes a Set that asks gauges for the current state whenever it is read,
// on the reader's goroutine. policies are the overflow policies' public names,
// reasons those for which subscriptions end, limits and violations those that there
// are.
func New(gauges func() Gauges, policies, reasons, limits, violations []string) *Set {
	s := &Set{gauges: gauges, registry: prometheus.NewRegistry()}
	// Series that exist from the start can be alerted on before they first grow.
	s.dropped.declare(policies...)
	s.ended.declare(reasons...)
	s.rejected.declare(limits...)
	s.violations.declare(violations...)
	s.denied.declare("tenant", "row", "federation", "scope", "rbac", "expired")
	// It can't fail: the registry is new and the descriptions are constant.
	s.registry.MustRegister(newExposition(s))
	return s
}

// Registered counts a subscription registered.
func (s *Set) Registered() { s.registered.add(1) }

// Completed counts n subscriptions that ended as they should.
func (s *Set) Completed(n int) { s.completed.add(n) }

// Errored counts n subscriptions that ended with an error.
func (s *Set) Errored(n int) { s.errored.add(n) }

// Published counts n events accepted from publishers here.
func (s *Set) Published(n int) { s.published.add(n) }

// Dispatched counts n events dispatched to the subscriptions here.
func (s *Set) Dispatched(n int) { s.dispatched.add(n) }

// DispatchTook records how long the dispatch of one event took.
func (s *Set) DispatchTook(d time.Duration) { s.latency.observe(d) }

// Delivered counts n responses put in queues.
func (s *Set) Delivered(n int) { s.delivered.add(n) }

// Filtered counts n deliveries that subscriptions' own filters kept away.
func (s *Set) Filtered(n int) { s.filtered.add(n) }

// ResolverError counts a resolver that raised, timed out or returned nonsense.
func (s *Set) ResolverError() { s.resolverErrors.add(1) }

// Dropped counts n responses dropped under an overflow policy, given by its
// public name.
func (s *Set) Dropped(policy string, n int) { s.dropped.add(policy, n) }

// Ended counts n subscriptions that ended for a reason.
func (s *Set) Ended(reason string, n int) { s.ended.add(reason, n) }

// Refused counts a registration refused with a fault's code.
func (s *Set) Refused(code string) { s.refused.add(code, 1) }

// AuditLost counts an audit record that there was no room for.
func (s *Set) AuditLost() { s.auditLost.add(1) }

// Rejected counts n calls refused, or events withheld, by a limit.
func (s *Set) Rejected(limit string, n int) { s.rejected.add(limit, n) }

// Violated counts n violations of a kind.
func (s *Set) Violated(kind string, n int) { s.violations.add(kind, n) }

// BreakerTripped counts a connection that was cut off for its violations.
func (s *Set) BreakerTripped() { s.breakerTrips.add(1) }

// Denied counts n deliveries refused by a security module; its String is the
// name it is counted under.
func (s *Set) Denied(module fmt.Stringer, n int) { s.denied.add(module.String(), n) }
