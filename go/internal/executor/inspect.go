package executor

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// Inspect tells what a client's query asks for, as JSON: its root field and that
// one's coerced arguments, defaults included. Nothing is registered. Its errors are
// those of a registration's query and variables: who asks is not asked yet.
func (x *Executor) Inspect(t *bus.Thread, query, operation, variables string) ([]byte, error) {
	asked := Registration{Query: query, Operation: operation, Variables: variables}
	t.Lock(&x.mu)
	found := compiled{spec: new(spec), operation: x.operations[operationKey{query, operation}]}
	x.mu.Unlock()
	var err error
	asked.read(t, func() { err = x.compileMissing(&found, asked) })
	if err != nil {
		return nil, err
	}
	told := document.AppendQuoted([]byte(`{"field":`), found.operation.RootField())
	told = append(append(told, `,"arguments":`...), found.plan.Arguments()...)
	return append(told, '}'), nil
}
