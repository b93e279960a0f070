package executor

import (
	"encoding/json"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// policies are those by which subscriptions are guarded: the executor's first, then
// those of fields. They are added to and never change.
type policies struct {
	all    []*security.Policy
	byText map[string]int
}

// AddPolicy makes a policy (JSON) one that registrations can name by the number that
// it returns; equal texts have one number. What it says of violations is not asked:
// that is the executor's, since a connection has subscriptions under several. The
// error is that of a policy that cannot be read, or names what no query can select.
func (x *Executor) AddPolicy(t *bus.Thread, text json.RawMessage) (number int, err error) {
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	known := x.policies.Load()
	if number, ok := known.byText[string(text)]; ok {
		return number, nil
	}
	made, err := security.ParsePolicy(text)
	if err != nil {
		return 0, err
	}
	if err := x.checkPermissions(made); err != nil {
		return 0, err
	}
	x.policies.Store(known.with(made, string(text)))
	return len(known.all), nil
}

// with is p and one more.
func (p *policies) with(made *security.Policy, text string) *policies {
	more := &policies{all: append(p.all[:len(p.all):len(p.all)], made), byText: make(map[string]int, len(p.byText)+1)}
	for text, number := range p.byText {
		more.byText[text] = number
	}
	more.byText[text] = len(p.all)
	return more
}

// policyOf is the policy that a registration names.
func (x *Executor) policyOf(number int) (*security.Policy, error) {
	all := x.policies.Load().all
	if number < 0 || number >= len(all) {
		return nil, fault.New(fault.InvalidValue, "there is no security policy %d", number)
	}
	return all[number], nil
}

// facts is what policies need to know of one event: read by each that guards a candidate, once,
// when it is first asked.
type facts struct {
	event *event.Event
	read  []factsBy
}

type factsBy struct {
	policy *security.Policy
	facts  security.Facts
}

// by are the facts for a policy, in memory that is good until the next call.
func (f *facts) by(policy *security.Policy) *security.Facts {
	for i := range f.read {
		if f.read[i].policy == policy {
			return &f.read[i].facts
		}
	}
	f.read = append(f.read, factsBy{policy: policy})
	facts := &f.read[len(f.read)-1].facts
	policy.Read(facts, f.event.Channel, f.event.Document().Root())
	return facts
}

// about are the facts of another event, nil for none, in f's memory.
func (f *facts) about(ev *event.Event) facts {
	clear(f.read)
	return facts{event: ev, read: f.read[:0]}
}
