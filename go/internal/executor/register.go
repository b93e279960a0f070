package executor

import (
	"errors"
	"math"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// Registration is what an application asks for. Variables and Options are JSON
// objects or empty; Since is a position or empty.
type Registration struct {
	Connection, Subscription    string
	Query, Operation, Variables string
	Options                     string
	Since                       string
	// Streamed: Attach follows. Until then no consumer hands anything of it out.
	Streamed bool
}

// longText is the size in bytes from which parsing gives up the GIL.
const longText = 4096

// RegisterSubscription makes a subscription live. Nothing remains of one that is
// refused. Its errors are InvalidQuery, DuplicateSubscription, LimitExceeded,
// TooManyViolations, ScopeViolation, Forbidden, Expired, InvalidValue, EngineClosed, and
// those of the bus.
func (x *Executor) RegisterSubscription(t *bus.Thread, r Registration) (*Subscription, error) {
	s, err := x.register(t, r)
	if err != nil {
		x.auditRefusal(r, err)
		x.refused(err)
		x.countViolation(r.Connection, err)
		x.freeEnded(t)
	}
	return s, err
}

func (x *Executor) register(t *bus.Thread, r Registration) (*Subscription, error) {
	since, err := parseSince(r.Since)
	if err != nil {
		return nil, err
	}
	s, err := x.enroll(t, r, since != nil)
	for errors.Is(err, errReconnected) {
		s, err = x.enroll(t, r, since != nil)
	}
	if err != nil {
		return nil, err
	}
	x.metrics.Registered()
	if since != nil {
		if err := x.replay(t, s, *since); err != nil {
			x.abort(t, s, busUnavailable)
			return nil, err
		}
	}
	return s, nil
}

// enroll makes a subscription live; with resumes, for events only that come after
// what a replay brings. The bus follows its channels. errReconnected: try again.
func (x *Executor) enroll(t *bus.Thread, r Registration, resumes bool) (*Subscription, error) {
	client, err := x.clientOf(t, &r)
	if err != nil {
		return nil, err
	}
	compiled, err := x.compile(t, r, nil)
	if err != nil {
		return nil, err
	}
	if err := x.bus.Follow(t, compiled.spec.patterns); err != nil {
		return nil, err
	}
	var after uint64
	if resumes {
		after = math.MaxUint64 // nothing live before the replay has its places
	} else if x.remote {
		// What was read before, as Follow has waited for, may not be dispatched yet.
		x.bus.Cut(t, func(last uint64) { after = last })
	}
	s, err := x.list(t, r, compiled, client, after)
	if err != nil {
		x.bus.Unfollow(compiled.spec.patterns)
	}
	return s, err
}

// list enters a subscription into the tables, and the index. It gets what comes after an
// offset of the bus.
func (x *Executor) list(t *bus.Thread, r Registration, compiled compiled, client *connected, after uint64) (*Subscription, error) {
	s := &Subscription{executor: x, connection: r.Connection, clientID: r.Subscription}
	s.inbox.Store(&s.own)
	x.freeEnded(t)
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	if x.connected[r.Connection] != client {
		return nil, errReconnected
	}
	if compiled.spec.isExpired(x.clock.now()) {
		return nil, fault.New(fault.Expired, "the context expired at %s; register with one that is still good", compiled.spec.context.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if err := x.admit(s, compiled.spec); err != nil {
		return nil, err
	}
	c := x.join(s, r, compiled)
	s.current = &s.first
	s.first.after.Store(after)
	s.first.inbox = &s.own
	x.enter(&s.first, s, c)
	if s.awaited = r.Streamed; !s.awaited {
		s.attach(x.plain)
	}
	if s.policy().Overflow == queue.Block {
		x.waiting.subscriptions.Add(1)
	}
	return s, nil
}

func parseSince(text string) (*event.Position, error) {
	if text == "" {
		return nil, nil
	}
	since, err := event.ParsePosition(text)
	if err != nil {
		return nil, err
	}
	return &since, nil
}

// compiled is what a registration's texts mean: parts the executor already had,
// or new ones that join puts into its tables.
type compiled struct {
	spec      *spec
	operation *query.Operation
	plan      *query.Plan
	clearance security.Clearance
}

// compile parses what the executor has not seen before, without holding its lock.
// Whatever refuses a subscription for its context belongs here, and what a context
// changes in the answer into its key: replacing a context asks again, and keeps what
// is queued only for an equal key.
// by is whose resolver answers; nil: the registration's own does.
func (x *Executor) compile(t *bus.Thread, r Registration, by *answer) (compiled, error) {
	t.Lock(&x.mu)
	found := compiled{spec: x.specs[r.Options], operation: x.operations[operationKey{r.Query, r.Operation}]}
	if found.spec != nil {
		if a := x.answers[found.spec.answerKey(r, 0, found.spec.resolver, found.spec.flags, "")]; a != nil {
			found.plan = a.plan
		}
	}
	x.mu.Unlock()
	var err error
	r.read(t, func() {
		if err = x.compileMissing(&found, r); err != nil {
			return
		}
		resolver, flags := found.spec.resolver, found.spec.flags
		if by != nil {
			resolver, flags = by.resolver, by.flags
		}
		err = x.clear(&found, r, isProjected(resolver, flags))
	})
	return found, err
}

// read runs the work of reading a registration's texts, without the GIL if they are long.
func (r *Registration) read(t *bus.Thread, work func()) {
	if len(r.Query)+len(r.Variables)+len(r.Options) > longText {
		t.Unlocked(work)
	} else {
		work()
	}
}

func (x *Executor) compileMissing(found *compiled, r Registration) (err error) {
	if found.spec == nil {
		if found.spec, err = x.parseSpec(r.Options); err != nil {
			return err
		}
	}
	if r.Query == "" && found.spec.takesEvents() {
		found.operation = events
	}
	if found.operation == nil {
		if found.operation, err = query.Parse(x.schema, r.Query, r.Operation, x.options.Limits.query()); err != nil {
			return err
		}
	}
	if found.plan != nil {
		return nil
	}
	var variables []byte
	if r.Variables != "" {
		variables = []byte(r.Variables)
	}
	found.plan, err = found.operation.Plan(variables)
	return err
}

// admit reserves what s takes of the limits, and enters it into the tables by which
// it is found. x.mu is held.
func (x *Executor) admit(s *Subscription, asked *spec) error {
	if err := x.checkOpen(); err != nil {
		return err
	}
	key := clientKey{s.connection, s.clientID}
	if x.clients[key] != nil {
		return fault.New(fault.DuplicateSubscription, "connection %q already has a live subscription %q; complete it first or choose another id", s.connection, s.clientID)
	}
	var err error
	if s.account, err = x.openAccount(s.connection, asked); err != nil {
		return err
	}
	x.lastNumber++
	s.number = x.lastNumber
	x.subscriptions[s.number] = s
	x.clients[key] = s
	if head := x.connections[s.connection]; head != nil {
		s.connection = head.connection // one copy of the text a connection
		s.next = head
		head.previous = s
	}
	x.connections[s.connection] = s
	return nil
}

// answerKey is the key of what answers subscription number of a registration by a
// resolver, with what is nulled in it.
func (s *spec) answerKey(r Registration, number uint64, resolver int, flags ResolverFlags, nulled string) answerKey {
	key := answerKey{
		query: r.Query, operation: r.Operation, variables: r.Variables,
		resolver: resolver, flags: flags, positions: s.positions, nulled: nulled,
	}
	if !s.shared || flags&TakesInfo != 0 {
		key.own = number
	}
	if flags&TakesInfo != 0 {
		key.context = string(s.contextJSON)
	}
	return key
}

// answerKey is the spec's, with what the plan nulls.
func (c *compiled) answerKey(r Registration, number uint64, resolver int, flags ResolverFlags) answerKey {
	return c.spec.answerKey(r, number, resolver, flags, nulledBy(c.plan, c.spec.policyNumber, c.clearance.Missing()))
}

// join finds or makes the cohort of a registration. x.mu is held.
func (x *Executor) join(s *Subscription, r Registration, parts compiled) *cohort {
	x.intern(r, &parts)
	return x.cohortFor(parts.answerKey(r, s.number, parts.spec.resolver, parts.spec.flags), parts, s)
}

// intern takes the parts that the executor already has, and keeps the new ones.
// x.mu is held.
func (x *Executor) intern(r Registration, parts *compiled) {
	if known := x.specs[r.Options]; known != nil {
		parts.spec = known
	} else {
		x.specs[r.Options] = parts.spec
	}
	operation := operationKey{r.Query, r.Operation}
	if known := x.operations[operation]; known != nil {
		parts.operation = known
	} else if parts.operation != events {
		x.operations[operation] = parts.operation
	}
}

// cohortFor finds or makes the cohort with this answer and spec. x.mu is held.
func (x *Executor) cohortFor(key answerKey, parts compiled, s *Subscription) *cohort {
	a := x.answers[key]
	if a == nil {
		a = &answer{key: key, plan: parts.plan, operation: parts.operation, resolver: key.resolver, flags: key.flags}
		if key.own != 0 {
			a.owner = s
		}
		x.answers[key] = a
		x.operationUses[parts.operation]++
	}
	c := x.cohorts[cohortKey{a, parts.spec}]
	if c == nil {
		c = &cohort{spec: parts.spec, answer: a, clearance: parts.clearance.Under(parts.spec.context)}
		x.cohorts[cohortKey{a, parts.spec}] = c
		a.cohorts++
		parts.spec.cohorts++
		x.enlist(c)
	}
	return c
}

// enter makes m the membership of s in c. x.mu is held.
func (x *Executor) enter(m *member, s *Subscription, c *cohort) {
	m.subscription, m.cohort, m.user = s, c, s.account.User
	c.members.add(m)
	c.place.Weigh(1)
}

// leave ends a membership, and with the last one its cohort and whatever only
// that used. x.mu is held.
func (x *Executor) leave(m *member) {
	c := m.cohort
	c.members.remove(m)
	c.place.Weigh(-1)
	if c.members.live.Load() > 0 {
		return
	}
	x.delist(c)
	delete(x.cohorts, cohortKey{c.answer, c.spec})
	if c.spec.cohorts--; c.spec.cohorts == 0 && x.specs[c.spec.options] == c.spec {
		delete(x.specs, c.spec.options)
	}
	a := c.answer
	if a.cohorts--; a.cohorts > 0 {
		return
	}
	delete(x.answers, a.key)
	if x.operationUses[a.operation]--; x.operationUses[a.operation] == 0 {
		delete(x.operationUses, a.operation)
		delete(x.operations, operationKey{a.key.query, a.key.operation})
	}
}

// SetResolver gives a live subscription another resolver, or none (0), from the
// next accepted event on. Events accepted before are still answered by the old
// one, which is then given back.
func (x *Executor) SetResolver(t *bus.Thread, id string, resolver int, flags ResolverFlags) error {
	s, old, err := x.replaceMembership(t, id, resolver, flags)
	if err != nil {
		return err
	}
	x.retireSoon(t, s, old)
	return nil
}

// retireSoon retires a past membership once the events before its end have been
// dispatched.
func (x *Executor) retireSoon(t *bus.Thread, s *Subscription, old *member) {
	if x.bus.Settled(t, func() {
		x.Lend(func(t *bus.Thread) { x.retire(t, s, old) })
	}) {
		x.retire(t, s, old)
	}
}

// replaceMembership gives a subscription another membership from the next accepted
// event on, and returns the one that it had.
func (x *Executor) replaceMembership(t *bus.Thread, id string, resolver int, flags ResolverFlags) (*Subscription, *member, error) {
	t.Lock(&x.replacing)
	defer x.replacing.Unlock()
	t.Lock(&x.mu)
	s, err := x.find(id)
	if err == nil && s.current == nil {
		err = notFound(id)
	}
	if err != nil {
		x.mu.Unlock()
		return nil, nil, err
	}
	old := s.current
	x.mu.Unlock()
	from := old.cohort
	if from.spec.takesEvents() {
		return nil, nil, fault.New(fault.InvalidValue, "subscription %q takes whole events, which no resolver answers", id)
	}
	parts := compiled{spec: from.spec, operation: from.answer.operation, plan: from.answer.plan}
	if err := x.clear(&parts, from.registration(), isProjected(resolver, flags)); err != nil {
		return nil, nil, err
	}
	t.Lock(&x.mu)
	if s.current == nil { // ended meanwhile; nothing else replaces it
		x.mu.Unlock()
		return nil, nil, notFound(id)
	}
	key := parts.answerKey(from.registration(), s.number, resolver, flags)
	m := &member{inbox: old.inbox, before: old}
	m.after.Store(math.MaxUint64)
	x.enter(m, s, x.cohortFor(key, parts, s))
	s.current = m
	x.mu.Unlock()

	x.handOver(t, old, m)
	return s, old, nil
}

// handOver lets a membership begin where the one before it ends: events accepted
// from here on find both in the index, and the offset decides.
func (x *Executor) handOver(t *bus.Thread, old, m *member) {
	x.bus.Cut(t, func(last uint64) {
		m.after.Store(last)
		old.until.Store(max(last, 1))
		if last == 0 {
			old.after.Store(math.MaxUint64)
		}
	})
}

// retire ends a past membership of s unless completion already has.
func (x *Executor) retire(t *bus.Thread, s *Subscription, m *member) {
	t.Lock(&x.mu)
	found := false
	for next := s.current; next != nil && !found; next = next.before {
		if next.before == m {
			next.before, found = m.before, true
			x.leave(m)
		}
	}
	x.mu.Unlock()
	if resolver := m.cohort.answer.resolver; found && resolver != 0 && !m.moved {
		x.python.Release(t, []int{resolver}, []int{1})
	}
}
