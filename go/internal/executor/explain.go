package executor

import (
	"cmp"
	"slices"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// Explanation is what would become of an event for one subscription.
type Explanation struct {
	Subscription string `json:"subscription"`
	Verdict      string `json:"verdict"`
	Module       string `json:"module"` // of security, or "filter", "event_types", "channels"; "" when delivered
	Reason       string `json:"reason"`
}

// Explain says for every live subscription, in the order of registration, what
// publishing ev would do, by the index and DispatchEventToSingle as a dispatch would.
// Nothing is delivered or counted, and the event is not kept. Reasons tell values of
// the event only with values. Errors are those of publishing it.
func (x *Executor) Explain(t *bus.Thread, ev *event.Event, values bool) (found []Explanation, err error) {
	if err := x.checkOpen(); err != nil {
		return nil, err
	}
	if err := x.checkEvent(ev, ""); err != nil {
		return nil, err
	}
	t.Unlocked(func() { found = x.explain(ev, values) })
	return found, nil
}

func (x *Executor) explain(ev *event.Event, values bool) (all []Explanation) {
	d := &delivery{executor: x, event: ev}
	d.look()
	candidates := set(d.candidates)
	reached := set(x.index.AppendMatches(nil, ev.Channel))
	members := x.liveMembers()
	reasons := make(map[*cohort]Explanation)
	for _, m := range members {
		c := m.cohort
		one, known := reasons[c]
		if !known {
			one = d.explain(c, reached[c], candidates[c], values)
			reasons[c] = one
		}
		one.Subscription = m.subscription.ID()
		all = append(all, one)
	}
	return all
}

func set(cohorts []*cohort) map[*cohort]bool {
	all := make(map[*cohort]bool, len(cohorts))
	for _, c := range cohorts {
		all[c] = true
	}
	return all
}

// liveMembers is the present membership of each live subscription.
func (x *Executor) liveMembers() (live []*member) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.subscriptions {
		if s.current != nil && s.ending.Load() == nil {
			live = append(live, s.current)
		}
	}
	slices.SortFunc(live, func(a, b *member) int { return cmp.Compare(a.subscription.number, b.subscription.number) })
	return live
}

// explain decides for a cohort, and finds the words. reached: its channels lead to it;
// found: the values of the event do, too.
func (d *delivery) explain(c *cohort, reached, found, values bool) Explanation {
	if !reached {
		return Explanation{Verdict: OffChannel.String(), Module: "channels", Reason: "the event's channel matches none of its channels"}
	}
	verdict, module := d.executor.DispatchEventToSingle(d.event, &d.facts, d.now, c)
	one := Explanation{Verdict: verdict.String()}
	switch verdict {
	case Deliver:
		if !found {
			return Explanation{Verdict: Filtered.String(), Module: "index", Reason: "the engine's index does not find it though every check passes; please report this"}
		}
		one.Reason = "every check passes"
	case Ended:
		one.Reason = "it has ended"
	case OtherType:
		one.Module, one.Reason = "event_types", "it asked for other event types"
	case Denied:
		one.Module, one.Reason = module.String(), c.spec.policy.Reason(module, c.spec.context, d.facts.by(c.spec.policy), values)
	case Expired:
		one.Module, one.Reason = Expired.String(), "its context has expired"
	case Filtered:
		one.Module, one.Reason = "filter", c.spec.failure(d.event.Document().Root(), values)
	}
	return one
}

// failure says which test of the filter an event fails.
func (s *spec) failure(root document.Value, values bool) string {
	name, operator, _ := s.filter.Failure(root)
	switch operator {
	case "any":
		return "no part of the filter's \"any\" holds" + about(name)
	case "not":
		return "what the filter's \"not\" excludes holds" + about(name)
	}
	path, err := document.ParsePath(name)
	if err != nil {
		return "the filter's " + operator + " does not hold"
	}
	v := root.Lookup(path)
	if !v.Exists() {
		return "the filter's " + operator + " on " + name + " does not hold: the event has no " + name
	}
	if values {
		return "the filter's " + operator + " on " + name + " does not hold: the event has " + security.Excerpt(v)
	}
	return "the filter's " + operator + " on " + name + " does not hold"
}

func about(path string) string {
	if path == "" {
		return ""
	}
	return ", which begins with " + path
}
