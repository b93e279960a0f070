package query

import (
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// appendFor answers one event.
func appendFor(t testing.TB, plan *Plan, data string) string {
	t.Helper()
	var event document.Document
	if err := event.Parse([]byte(data)); err != nil {
		t.Error(err)
	}
	got, _ := plan.AppendData(nil, event.Root(), nil)
	return string(got)
}
