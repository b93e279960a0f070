package executor

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// UpdateContext gives all subscriptions of a connection another context (JSON): an
// event whose publishing began after it returned is decided by that. Where it does
// not cover the context before, nothing that was accepted before can be read any
// more. A subscription that the context may not have ends with FORBIDDEN. It returns
// how many live on with the context; emptied are those whose unread responses were
// dropped. The error is that of a context that cannot be read: nothing has changed.
func (x *Executor) UpdateContext(t *bus.Thread, connection string, context json.RawMessage) (changed int, emptied []*Subscription, err error) {
	if err := x.checkOpen(); err != nil {
		return 0, nil, err
	}
	parsed, err := security.ParseContext(context)
	if err != nil {
		return 0, nil, err
	}
	r := new(replacements)
	t.Lock(&x.replacing)
	x.reconnect(t, connection, context, parsed)
	for _, s := range slices.Backward(x.ofConnection(t, connection)) { // what an operation is before its parts
		x.replaceContext(t, s, context, r)
	}
	x.replacing.Unlock()
	x.concludeReplacing(t, r)
	return r.changed, r.emptied, nil
}

// ofConnection is every subscription of a connection, read to its end or not.
func (x *Executor) ofConnection(t *bus.Thread, connection string) (all []*Subscription) {
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	for s := x.connections[connection]; s != nil; s = s.next {
		all = append(all, s)
	}
	return all
}

// replacements is what replacing contexts leaves to be done without a lock.
type replacements struct {
	changed   int // live on with another context
	ended     int
	emptied   []*Subscription
	cancelled []uint64
	past      []*member
}

func (x *Executor) concludeReplacing(t *bus.Thread, r *replacements) {
	x.unlistEnded(t)
	if len(r.cancelled) > 0 {
		x.python.Cancel(t, r.cancelled)
	}
	for _, m := range r.past {
		x.retireSoon(t, m.subscription, m)
	}
	t.Settle()
}

// replaceContext gives one subscription another context. x.replacing is held.
func (x *Executor) replaceContext(t *bus.Thread, s *Subscription, context json.RawMessage, r *replacements) {
	t.Lock(&x.mu)
	old := s.current
	x.mu.Unlock()
	if old == nil || s.ending.Load() != nil {
		x.empty(t, s, r) // the server has ended it; nobody knows what is left to read
		return
	}
	from := old.cohort
	if from.spec.context != nil && bytes.Equal(from.spec.contextJSON, context) {
		r.changed++
		return
	}
	registration := from.registration()
	registration.Options = withContext(from.spec.options, context)
	parts, err := x.compile(t, registration, from.answer)
	if err != nil {
		reason := "the subscription's new context may not have it: " + sentence(err)
		x.endFor(t, s, newEnding(Final{Message: reason, Code: string(fault.Forbidden)}, EndForbidden), r)
		x.auditForbidden(s, context, reason, fault.Forbidden)
		return
	}
	x.changeContext(t, s, registration, parts, r)
}

// sentence is an error's text without its code.
func sentence(err error) string {
	var coded *fault.Error
	if errors.As(err, &coded) {
		return coded.Text
	}
	return err.Error()
}

// changeContext gives a live subscription a membership by the new spec. x.replacing
// is held.
func (x *Executor) changeContext(t *bus.Thread, s *Subscription, registration Registration, parts compiled, r *replacements) {
	t.Lock(&x.mu)
	old := s.current
	if old == nil { // ended meanwhile
		x.mu.Unlock()
		x.empty(t, s, r)
		return
	}
	if parts.spec.isExpired(x.clock.now()) {
		x.mu.Unlock()
		x.endFor(t, s, expired(), r)
		return
	}
	from := old.cohort
	account, err := x.limits.book.Move(s.account, parts.spec.user, x.limits.elapsed())
	if err != nil {
		x.mu.Unlock()
		x.refused(err)
		x.endFor(t, s, newEnding(Final{Message: sentence(err), Code: string(fault.CodeOf(err))}, EndLimit), r)
		x.auditForbidden(s, parts.spec.contextJSON, sentence(err), fault.CodeOf(err))
		return
	}
	s.account = account
	key := parts.answerKey(registration, s.number, from.answer.resolver, from.answer.flags)
	m := &member{inbox: old.inbox, before: old}
	m.after.Store(math.MaxUint64)
	replaying := old.isReplaying() // asked once: it may end at any moment
	keeps := covers(&parts, key, from) && !replaying
	if !keeps && !x.renewInbox(s, m) {
		x.mu.Unlock()
		x.empty(t, s, r)
		return
	}
	if replaying {
		s.lose()
	}
	old.moved = true
	x.intern(registration, &parts)
	x.enter(m, s, x.cohortFor(key, parts, s))
	s.current = m
	x.mu.Unlock()
	if !keeps {
		x.abandon(t, s, old.inbox.Close(), r)
	}
	x.handOver(t, old, m)
	r.past = append(r.past, old)
	r.changed++
}

// renewInbox gives s an empty inbox that m alone fills. False: it is ending.
func (x *Executor) renewInbox(s *Subscription, m *member) bool {
	x.endings.mu.Lock()
	defer x.endings.mu.Unlock()
	if s.ending.Load() != nil {
		return false
	}
	m.inbox = new(queue.Queue)
	s.inbox.Store(m.inbox)
	return true
}

// isReplaying says that nothing live reaches m before its replay has its places.
func (m *member) isReplaying() bool {
	return m == &m.subscription.first && m.after.Load() == math.MaxUint64 && m.until.Load() == 0
}

// covers says that whoever saw something as a member of old may see it by these parts,
// whose answer's key is now. Fields that are nulled no longer are no reason against it,
// and what a resolver made of the context is nobody's guess.
func covers(parts *compiled, now answerKey, old *cohort) bool {
	s := parts.spec
	if s.context == nil || old.spec.context == nil || !s.context.Covers(old.spec.context) {
		return false
	}
	before := old.answer.key
	now.context, before.context = "", ""
	now.nulled, before.nulled = "", ""
	if now != before || !showsAll(parts, old) {
		return false
	}
	return now.flags&TakesInfo == 0 || sameButExpiry(s.contextJSON, old.spec.contextJSON)
}

// showsAll says that the parts null nothing that old shows.
func showsAll(parts *compiled, old *cohort) bool {
	switch {
	case parts.plan.Whole() == parts.plan:
		return true
	case old.answer.plan.Whole() == old.answer.plan:
		return false
	}
	before := old.clearance.Missing()
	return !slices.ContainsFunc(parts.clearance.Missing(), func(one string) bool { return !slices.Contains(before, one) })
}

// sameButExpiry compares two contexts' texts.
func sameButExpiry(a, b []byte) bool {
	without := func(text []byte) []byte {
		canonical, err := setMember(text, "expires_at", nil)
		var d document.Document
		if err != nil || d.Parse(canonical) != nil {
			return nil
		}
		return document.AppendCanonical(nil, d.Root())
	}
	first, second := without(a), without(b)
	return first != nil && bytes.Equal(first, second)
}

// empty drops what is left of a subscription that has ended, but for its final
// message.
func (x *Executor) empty(t *bus.Thread, s *Subscription, r *replacements) {
	x.endings.mu.Lock()
	inbox := s.inbox.Load()
	if e := s.ending.Load(); e != nil && e.final != nil {
		inbox.Finish(e.final) // where another thread is about to
	}
	x.endings.mu.Unlock()
	x.abandon(t, s, inbox.Clear(), r)
}

// endFor ends a subscription for its rights: nothing is left but the final message.
func (x *Executor) endFor(t *bus.Thread, s *Subscription, e *ending, r *replacements) {
	if x.finish(s, e) {
		r.ended++
	}
	x.empty(t, s, r)
}

// abandon forgets what s waits for, and counts what was dropped of its inbox.
func (x *Executor) abandon(t *bus.Thread, s *Subscription, dropped int, r *replacements) {
	x.metrics.Dropped(droppedRevoked, dropped)
	r.cancelled = x.pending.drop(t, s, r.cancelled)
	if s.waits.Load() > 0 {
		x.makeRoom(s)
	}
	s.withdrawn.Store(0)
	r.emptied = append(r.emptied, s)
	s.notify()
}

// droppedRevoked is the name under which responses are counted that a new context
// may not see, beside the overflow policies.
const droppedRevoked = "revoked"

// withContext is a registration's options with another context, in the form in
// which they come from Python: equal options are equal texts.
func withContext(options string, context []byte) string {
	if options == "" {
		options = "{}"
	}
	text, err := setMember([]byte(options), "context", context)
	if err != nil {
		return options // cannot be: it was read before
	}
	return string(text)
}

// setMember is an object with one member set, or left out where value is nil. Keys
// keep their order; a new one stands where the alphabet wants it.
func setMember(object []byte, name string, value []byte) ([]byte, error) {
	var d document.Document
	if err := d.Parse(object); err != nil {
		return nil, err
	}
	set := make([]byte, 0, len(object)+len(name)+len(value)+8)
	set = append(set, '{')
	add := func(key, value []byte) {
		if len(set) > 1 {
			set = append(set, ',')
		}
		set = append(append(append(set, key...), ':'), value...)
	}
	quoted := appendQuoted(nil, name)
	pending := value != nil
	for members := d.Root().Members(); members.Next(); {
		key := members.Key().Text()
		if pending && key >= name {
			add(quoted, value)
			pending = false
		}
		if key != name {
			add(members.Key().Raw(), members.Value().Raw())
		}
	}
	if pending {
		add(quoted, value)
	}
	return append(set, '}'), nil
}
