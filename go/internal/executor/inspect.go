package executor

import (
	"errors"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
)

// Inspect tells what a client's query asks for, as JSON: its kind and, of a
// subscription, its root field and that one's coerced arguments, defaults included.
// Nothing is registered. Its errors are those of a registration's query and variables:
// who asks is not asked yet; a query or a mutation only has to keep the limits.
func (x *Executor) Inspect(t *bus.Thread, text, operation, variables string) ([]byte, error) {
	asked := Registration{Query: text, Operation: operation, Variables: variables}
	t.Lock(&x.mu)
	found := compiled{spec: new(spec), operation: x.operations[operationKey{text, operation}]}
	x.mu.Unlock()
	var err error
	asked.read(t, func() { err = x.compileMissing(&found, asked) })
	var other *query.OtherOperation
	if errors.As(err, &other) {
		if err := query.CheckVariables(len(variables), x.options.Limits.query()); err != nil {
			return nil, err
		}
		return append(document.AppendQuoted([]byte(`{"kind":`), other.Kind), '}'), nil
	}
	if err != nil {
		return nil, err
	}
	told := document.AppendQuoted([]byte(`{"kind":"subscription","field":`), found.operation.RootField())
	told = append(append(told, `,"arguments":`...), found.plan.Arguments()...)
	return append(told, '}'), nil
}
