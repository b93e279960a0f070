package executor

import (
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/filter"
)

// What an invalidation's filter may name, and below what it may go on.
var (
	invalidPaths    = []string{"connection_id", "subscription_id", "field", "user_id", "tenant_id"}
	invalidPrefixes = []string{"variables.", "claims."}
)

// Invalidate ends every live subscription that passes a filter over itself: its
// reader gets what is queued and then "complete". It returns how many it ended. A
// subscription has connection_id, subscription_id, field (its root field),
// variables.… (as coerced, and as given where its query does not define them), user_id,
// tenant_id and claims.…, those of its context.
func (x *Executor) Invalidate(t *bus.Thread, text []byte) (ended int, err error) {
	if err := x.checkOpen(); err != nil {
		return 0, err
	}
	compiled, err := filter.Compile(text, x.options.Limits.FilterDepth)
	if err != nil {
		return 0, err
	}
	for _, path := range compiled.Paths() {
		if !slices.Contains(invalidPaths, path) && !slices.ContainsFunc(invalidPrefixes, func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
			return 0, fault.New(fault.InvalidValue, "a subscription has no %q; a filter over subscriptions may name %s, variables.… and claims.…", path, strings.Join(invalidPaths, ", "))
		}
	}
	t.Lock(&x.replacing) // who passes has that context when it ends
	t.Unlocked(func() {
		for _, s := range x.passing(compiled) {
			if x.finish(s, newEnding(Final{}, EndInvalidated)) {
				ended++
			}
		}
	})
	x.replacing.Unlock()
	x.Audit(AuditRecord{Kind: AuditInvalidated, Reason: "invalidated by a filter on " + strings.Join(compiled.Paths(), ", "), Count: ended})
	x.unlistEnded(t)
	t.Settle()
	return ended, nil
}

// passing is the live subscriptions that pass a filter. They are described without
// the lock of registration.
func (x *Executor) passing(f *filter.Filter) (passing []*Subscription) {
	type candidate struct {
		subscription *Subscription
		cohort       *cohort
	}
	x.mu.Lock()
	live := make([]candidate, 0, len(x.subscriptions))
	for _, s := range x.subscriptions {
		if s.current != nil {
			live = append(live, candidate{s, s.current.cohort})
		}
	}
	x.mu.Unlock()
	var (
		text []byte
		d    document.Document
	)
	for _, one := range live {
		text = one.subscription.describe(text[:0], one.cohort)
		if err := d.Parse(text); err != nil {
			x.log.Error("a subscription cannot be described for a filter", "subscription", one.subscription.ID(), "error", err)
			continue
		}
		if f.Match(d.Root()) {
			passing = append(passing, one.subscription)
		}
	}
	return passing
}

// describe appends what a filter over subscriptions sees of s.
func (s *Subscription) describe(dst []byte, c *cohort) []byte {
	dst = appendQuoted(append(dst, `{"connection_id":`...), s.connection)
	dst = appendQuoted(append(dst, `,"subscription_id":`...), s.clientID)
	dst = appendQuoted(append(dst, `,"field":`...), c.answer.operation.RootField())
	dst = appendVariables(append(dst, `,"variables":`...), c.answer.plan.Variables(), []byte(c.answer.key.variables))
	if c.spec.context != nil {
		var d document.Document
		if d.Parse(c.spec.contextJSON) == nil {
			for _, name := range []string{"user_id", "tenant_id", "claims"} {
				if v := d.Root().Get(name); v.Exists() && v.Kind() != document.Null {
					dst = append(append(append(append(dst, `,"`...), name...), `":`...), v.Raw()...)
				}
			}
		}
	}
	return append(dst, '}')
}

// appendVariables appends an object of the coerced variables and of those given besides.
func appendVariables(dst, coerced, given []byte) []byte {
	var known, all document.Document
	if len(coerced) == 0 || known.Parse(coerced) != nil {
		coerced = []byte("{}")
	}
	if len(given) == 0 || all.Parse(given) != nil {
		return append(dst, coerced...)
	}
	dst = append(dst, coerced[:len(coerced)-1]...)
	for members := all.Root().Members(); members.Next(); {
		if known.Root().Get(members.Key().Text()).Exists() {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, members.Key().Raw()...), ':'), members.Value().Raw()...)
	}
	return append(dst, '}')
}
