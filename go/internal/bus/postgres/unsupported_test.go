//go:build unsupported

package postgres

import (
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/schema"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// TestAServerBefore13IsRefused runs on such a server: see scripts/test.sh.
func TestAServerBefore13IsRefused(t *testing.T) {
	url := server.URL("postgres")
	const why = "supported is 13 and later"
	refused(t, Options{URL: url}, fault.BusError, "the server is PostgreSQL 12.", why)
	if _, err := schema.Run("install", url, "{}"); fault.CodeOf(err) != fault.BusError || !words(err, why) {
		t.Errorf("installing: %v", err)
	}
	if exists, err := connect(t, "postgres").Exec(t.Context(), "SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'fraiseql_subscriptions'"); err != nil || exists.RowsAffected() != 0 {
		t.Errorf("something was installed: %v, %v", exists, err)
	}
}
