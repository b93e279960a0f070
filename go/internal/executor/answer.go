package executor

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
)

// appendPayload appends the payload by which an answer without a resolver answers an
// event: projected by its plan, or the whole event where it takes those.
func (a *answer) appendPayload(payload []byte, ev *event.Event, at *event.Position, scratch []query.Problem) ([]byte, []query.Problem) {
	payload = append(payload, dataHead...)
	if a.flags&Events != 0 {
		return appendTail(ev.AppendJSON(payload), nil, a.position(at)), scratch
	}
	payload, problems := a.plan.AppendData(payload, ev.Document().Root(), scratch)
	return appendTail(payload, problems, a.position(at)), problems
}

// events is what a subscription for whole events is registered with where no client
// has asked for it with a query. Its text is empty, which no query's is.
var events = mustParse("subscription { event }")

func mustParse(text string) *query.Operation {
	operation, err := query.Parse(nil, text, "", query.Limits{})
	if err != nil {
		panic(err)
	}
	return operation
}

// takesEvents says that the application answers from whole events: what its query
// selects is not projected here.
func (s *spec) takesEvents() bool { return s.flags&Events != 0 }
