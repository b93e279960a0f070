package executor

import (
	"errors"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
)

// Inspect tells what a transport's client asks for, as JSON: the kind of its query and, of a
// subscription, its root field and that one's coerced arguments, defaults included.
// Nothing is registered. Its errors are those of a registration's query and variables, and
// count as such: who asks is not asked yet; a query or a mutation only has to keep the limits.
func (x *Executor) Inspect(t *bus.Thread, asked Registration) ([]byte, error) {
	t.Lock(&x.mu)
	found := compiled{spec: new(spec), operation: x.operations[operationKey{asked.Query, asked.Operation}]}
	x.mu.Unlock()
	var err error
	asked.read(t, func() { err = x.compileMissing(&found, asked) })
	var other *query.OtherOperation
	if errors.As(err, &other) {
		if err := query.CheckVariables(len(asked.Variables), x.options.Limits.query()); err != nil {
			return nil, err
		}
		return append(document.AppendQuoted([]byte(`{"kind":`), other.Kind), '}'), nil
	}
	if err != nil {
		x.Refuse(t, asked, err)
		return nil, err
	}
	told := document.AppendQuoted([]byte(`{"kind":"subscription","field":`), found.operation.RootField())
	told = append(append(told, `,"arguments":`...), found.plan.Arguments()...)
	return append(told, '}'), nil
}

// Refuse tells and counts, as RegisterSubscription does, that a transport has refused what
// its client asked for.
func (x *Executor) Refuse(t *bus.Thread, asked Registration, err error) {
	t.Lock(&x.mu)
	if c := x.connected[asked.Connection]; c != nil {
		asked.Options = withContext("", c.context)
	}
	x.mu.Unlock()
	x.auditRefusal(asked, err)
	x.refused(err)
}
