package filter

import (
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

func TestAFailureNamesThePathAndTheOperator(t *testing.T) {
	var d document.Document
	if err := d.Parse([]byte(`{"status":"open","total":5,"items":[{"sku":"a"}]}`)); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct{ filter, path, operator string }{
		{`{}`, "", ""},
		{`{"status":"open"}`, "", ""},
		{`{"status":"paid"}`, "status", "equals"},
		{`{"total":{"gt":1,"lt":5}}`, "total", "lt"},
		{`{"status":"open","all":[{"items.0.sku":{"in":["b"]}}]}`, "items.0.sku", "in"},
		{`{"any":[{"total":1},{"status":"x"}]}`, "total", "any"},
		{`{"any":[]}`, "", "any"},
		{`{"not":{"status":"open"}}`, "status", "not"},
		{`{"gone":{"exists":true}}`, "gone", "exists"},
		{`{"status":{"exists":false}}`, "status", "not_exists"},
	} {
		f, err := Compile([]byte(one.filter), 0)
		if err != nil {
			t.Fatal(err)
		}
		path, operator, failed := f.Failure(d.Root())
		if path != one.path || operator != one.operator || failed == f.Match(d.Root()) {
			t.Errorf("%s: %q %q %v", one.filter, path, operator, failed)
		}
	}
}
