// Package executor is the engine: it registers GraphQL subscriptions, decides for
// every event who may see it, has it answered once for all that get the same
// bytes, and queues those bytes for each subscriber.
//
// Guarantees: an event whose publishing began after RegisterSubscription returned
// is considered for that subscription; a subscription sees the events of a
// channel in bus order; a check that fails, fails closed; whatever goes wrong in
// a resolver is that subscription's error response and nobody else's loss.
//
// All exported methods are safe for concurrent use. A *bus.Thread says how the
// calling thread waits: nothing here waits, and no Go lock is waited for, with
// Python's GIL held.
package executor

import (
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/limit"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/metrics"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// Executor is one engine; two share nothing.
type Executor struct {
	number  int
	options Options
	python  Python
	schema  *query.Schema
	policy  *security.Policy // the first of policies
	queue   *queuePolicy
	bus     bus.Bus
	remote  bool // the bus is a server's: acceptance takes time, and may fail
	metrics *metrics.Set
	log     *slog.Logger
	workers *workers
	// policies are written under mu.
	policies atomic.Pointer[policies]
	// stopping refuses new work, closed every call.
	stopping, closed atomic.Bool

	// index and each cohort's members are read by dispatch without a lock.
	index      channel.Index[cohort, field]
	seed       maphash.Seed // of the index's values
	deliveries sync.Pool    // of *delivery
	scratch    sync.Pool    // of *scratch
	batches    sync.Pool    // of *Batch

	// mu guards the tables of registration. It is never held across a call into
	// Python, a wait, or the parsing of a user's text.
	mu            sync.Mutex
	lastNumber    uint64
	subscriptions map[uint64]*Subscription
	clients       map[clientKey]*Subscription
	connections   map[string]*Subscription // first of each connection's list
	connected     map[string]*connected    // by connection, those of transports
	specs         map[string]*spec
	operations    map[operationKey]*query.Operation
	operationUses map[*query.Operation]int
	answers       map[answerKey]*answer
	cohorts       map[cohortKey]*cohort
	fields        fields
	plain         *consumer // nil until the plain side is first used

	// replacing lets one resolver be replaced at a time: a subscription's memberships
	// begin and end in the order in which they follow each other. Taken before mu.
	replacing sync.Mutex

	// consumersMu guards the consumers.
	consumersMu  sync.Mutex
	consumers    map[int]*consumer
	lastConsumer int

	pending pendingAnswers
	waiting waiting
	endings endings
	slow    slowLog
	limits  limiter

	audit    auditLog
	clock    clock
	expiries expiries // under mu
}

type clientKey struct{ connection, subscription string }

type operationKey struct{ query, operation string }

// New makes an executor. number is unique in the process and part of every
// subscription's id.
func New(number int, options Options, python Python) (*Executor, error) {
	x := &Executor{
		number:        number,
		options:       options,
		python:        python,
		subscriptions: make(map[uint64]*Subscription),
		clients:       make(map[clientKey]*Subscription),
		connections:   make(map[string]*Subscription),
		connected:     make(map[string]*connected),
		specs:         make(map[string]*spec),
		operations:    make(map[operationKey]*query.Operation),
		operationUses: make(map[*query.Operation]int),
		answers:       make(map[answerKey]*answer),
		cohorts:       make(map[cohortKey]*cohort),
		fields:        fields{known: make(map[fieldKey]*field)},
		consumers:     make(map[int]*consumer),
		seed:          maphash.MakeSeed(),
	}
	x.deliveries.New = func() any { return new(delivery) }
	x.scratch.New = func() any { return new(scratch) }
	x.batches.New = func() any { return new(Batch) }
	x.pending.answers = make(map[uint64]*pendingAnswer)
	x.waiting.bySubscription = make(map[*Subscription][]*waitingResponse)
	x.waiting.publications = make(map[uint64]*publication)
	x.waiting.byBus = make(map[uint64]*publication)
	x.slow.interval = slowLogInterval
	x.clock = systemClock
	x.sampleDenials()
	var err error
	if options.Schema != "" {
		if x.schema, err = query.LoadSchema(options.Schema); err != nil {
			return nil, err
		}
	}
	if x.policy, err = security.ParsePolicy(options.Security); err != nil {
		return nil, err
	}
	if err = x.checkPermissions(x.policy); err != nil {
		return nil, err
	}
	x.policies.Store(&policies{all: []*security.Policy{x.policy}})
	if x.queue, err = options.Queue.policy(); err != nil {
		return nil, err
	}
	if err = x.limits.open(options.Limits); err != nil {
		return nil, err
	}
	x.limits.breaker = limit.NewBreaker(x.policy.MaxViolations, x.policy.ViolationWindow)
	x.workers = newWorkers(python, func(cause any) { x.LogPanic("a thread of the engine panicked", cause) })
	x.log = slog.New(&logHandler{executor: x})
	x.metrics = metrics.New(x.gauges, append(slices.Sorted(maps.Keys(overflows)), droppedRevoked, droppedRate), reasons, limitNames, violations)
	if err = x.openBus(options.Bus); err != nil {
		return nil, err
	}
	return x, nil
}

// Lend implements bus.Dispatcher.
func (x *Executor) Lend(task func(t *bus.Thread)) { x.workers.submit(task) }

// Health is the state of the executor and its bus.
func (x *Executor) Health() map[string]any {
	state := "open"
	if x.closed.Load() {
		state = "closed"
	}
	bus := map[string]any{"name": x.bus.Name(), "state": state, "stats": x.bus.Stats()}
	if server := x.bus.State(); server != nil {
		bus["server"] = server
	}
	return map[string]any{"status": state, "bus": bus}
}

// Stop refuses new subscriptions and events, and waits at most timeout until those
// accepted have been dispatched and every async answer has come: true. Responses
// can still be read. It never waits where Close does not.
func (x *Executor) Stop(t *bus.Thread, timeout time.Duration) (settled bool) {
	x.stopping.Store(true)
	x.bus.Close()
	deadline := time.Now().Add(timeout)
	for {
		dispatched := make(chan struct{})
		answered := x.pending.answered(t)
		if answered == nil && x.bus.Settled(t, func() { close(dispatched) }) {
			return true
		}
		left := time.Until(deadline)
		if left <= 0 || t.Nested() || t.Engine {
			return false
		}
		t.Unlocked(func() {
			timer := time.NewTimer(left)
			defer timer.Stop()
			select {
			case <-dispatched:
			case <-answered:
			case <-timer.C:
			}
		})
	}
}

// Close refuses new work, ends every subscription and waits at most timeout for
// what is still inside a resolver; done reports whether everything has ended.
// Call it again to go on waiting. Inside a resolver, and on a thread of the engine,
// it never waits: it would wait for itself.
func (x *Executor) Close(t *bus.Thread, timeout time.Duration) (done bool) {
	x.stopping.Store(true)
	if !x.closed.Swap(true) {
		x.completeAll(t)
		x.expirePending(t)
		x.slow.flush(x)
		x.stopExpiring(t)
		x.stopAudit()
	}
	deadline := time.Now().Add(timeout)
	idle := x.bus.Close()
	waits := !t.Nested() && !t.Engine
	for !idle && waits && time.Now().Before(deadline) {
		settled := make(chan struct{})
		if idle = x.bus.Settled(t, func() { close(settled) }); idle {
			break
		}
		t.Unlocked(func() {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			select {
			case <-settled:
			case <-timer.C:
			}
		})
		idle = x.bus.Close()
	}
	if !idle {
		return false
	}
	x.workers.stop()
	if done = x.workers.wait(0); !done && waits {
		t.Unlocked(func() { done = x.workers.wait(time.Until(deadline)) })
	}
	x.closeConsumers(t)
	return done
}

// checkOpen refuses what begins new work.
func (x *Executor) checkOpen() error {
	if x.stopping.Load() {
		return errClosed
	}
	return nil
}

// checkUsable refuses what needs an executor that has not been closed.
func (x *Executor) checkUsable() error {
	if x.closed.Load() {
		return errClosed
	}
	return nil
}

var errClosed = fault.New(fault.EngineClosed, "the executor is closed; make a new SubscriptionExecutor")
