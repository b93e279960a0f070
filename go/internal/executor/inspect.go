package executor

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// Inspect tells what a client's query asks for, as JSON: its root field and that
// one's coerced arguments, defaults included. Nothing is registered. Its errors are
// those of a registration's query and variables.
func (x *Executor) Inspect(t *bus.Thread, query, operation, variables string) ([]byte, error) {
	found, err := x.compile(t, Registration{Query: query, Operation: operation, Variables: variables}, ownResolver)
	if err != nil {
		return nil, err
	}
	told := document.AppendQuoted([]byte(`{"field":`), found.operation.RootField())
	told = append(append(told, `,"arguments":`...), found.plan.Arguments()...)
	return append(told, '}'), nil
}
