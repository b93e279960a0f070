package executor

import (
	"sync/atomic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/limit"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// answer is what decides a response's bytes: subscriptions that share one get the
// same payload, made once an event. Immutable; interned by its key and counted by
// its cohorts under Executor.mu.
type answer struct {
	key       answerKey
	operation *query.Operation
	plan      *query.Plan
	resolver  int // key in the table of callbacks; 0: the plan projects
	flags     ResolverFlags
	owner     *Subscription // set where the answer is one subscription's own
	cohorts   int
}

// answerKey names an answer. own is the subscription's number where the answer
// is not shared: its resolver takes info, or it was registered with share=False.
// context is the context's JSON where its resolver takes info, which tells it. nulled
// is what its plan hides.
type answerKey struct {
	query, operation, variables string
	resolver                    int
	flags                       ResolverFlags
	positions                   bool
	own                         uint64
	context                     string
	nulled                      string
}

// cohort is the subscriptions for which every decision and every byte is the
// same, so that it is checked once an event. Interned by its key.
type cohort struct {
	spec   *spec
	answer *answer
	// clearance is what was decided of the query under the spec's context, for Check.
	clearance security.Clearance
	place     *channel.Place[cohort, field] // in the index; nil: found by its channels alone
	members   members
	expiry    int // place in expiries.heap, from 1; 0: not there. Under Executor.mu
}

// registration is what the members of c registered, but for their ids.
func (c *cohort) registration() Registration {
	key := &c.answer.key
	return Registration{Query: key.query, Operation: key.operation, Variables: key.variables, Options: c.spec.options}
}

// cohortKey names a cohort by what it shares, which is interned, too.
type cohortKey struct {
	answer *answer
	spec   *spec
}

// member is a subscription's place in a cohort: it gets the events after one
// offset and up to another, so that a subscription can change cohorts without
// losing or repeating an event. What it gets goes into its inbox, which a context
// that may see less leaves behind.
type member struct {
	subscription *Subscription
	cohort       *cohort
	inbox        *queue.Queue
	user         *limit.User // whose rate it counts for; nil: nobody's
	before       *member     // the membership before it, until that is retired; under Executor.mu
	slot         int32       // in cohort.members, under Executor.mu
	moved        bool        // its use of a resolver went to the next; under Executor.mu
	after        atomic.Uint64
	until        atomic.Uint64 // 0: no end
}

// takes says whether the event at offset is for this membership.
func (m *member) takes(offset uint64) bool {
	until := m.until.Load()
	return offset > m.after.Load() && (until == 0 || offset <= until)
}
