package schema

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/pgtest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestServersBeforeVersion13AreRefused(t *testing.T) {
	for text, supported := range map[string]bool{
		"9.6.24": false, "12.22 (Debian 12.22-1)": false, "13.0": true, "13beta1": true, "15.4 (Debian 15.4-1)": true, "18": true, "": false, "x": false,
	} {
		err := checkVersion(text)
		if (err == nil) != supported || err != nil && fault.CodeOf(err) != fault.BusError {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestAnOlderVersionIsBroughtUpWithItsEventsAndRights begins with each version that there was.
func TestAnOlderVersionIsBroughtUpWithItsEventsAndRights(t *testing.T) {
	server, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	var fresh []string
	for from := 0; from < Version; from++ {
		name, err := server.NewDatabase(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), server.URL(name))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		run := func(sql string) {
			t.Helper()
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatalf("from %d: %s: %v", from, sql, err)
			}
		}
		if from == 0 {
			run("CREATE ROLE engine")
		} else {
			run(prepare)
		}
		for version := 1; version <= from; version++ {
			run(migrations[version-1] + record(version))
		}
		const allow = "SELECT fraiseql_subscriptions.allow_publishing('engine'), fraiseql_subscriptions.allow_reading('engine'); SELECT fraiseql_subscriptions.publish('a', 't', '{}')"
		if from > 0 {
			run(allow)
		}
		for _, found := range []int{from, Version} { // and once more, which changes nothing
			if was, err := Install(t.Context(), conn, Options{}); err != nil || was != found {
				t.Fatalf("from %d: %d was found: %v", from, was, err)
			}
		}
		if from == 0 {
			run(allow)
		}
		run("SET ROLE engine; INSERT INTO fraiseql_subscriptions.outbox (id, channel, event_type, data, correlation_id, published_at) SELECT 'b', channel, event_type, data, 'b', now() FROM fraiseql_subscriptions.outbox; RESET ROLE")
		rows, err := conn.Query(t.Context(), `SELECT 'row ' || seq || channel FROM fraiseql_subscriptions.outbox
			UNION ALL SELECT oid::regclass::text || ' ' || relacl::text FROM pg_class WHERE relnamespace = 'fraiseql_subscriptions'::regnamespace
			UNION ALL SELECT attrelid::regclass || attname || coalesce(attacl::text, '') FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid
				WHERE relnamespace = 'fraiseql_subscriptions'::regnamespace
			UNION ALL SELECT oid::regprocedure::text || md5(prosrc) || (SELECT string_agg(one::text, ',' ORDER BY one::text) FROM unnest(proacl) AS one)
				FROM pg_proc WHERE pronamespace = 'fraiseql_subscriptions'::regnamespace
			ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		described, err := pgx.CollectRows(rows, pgx.RowTo[*string])
		if err != nil {
			t.Fatal(err)
		}
		var made []string
		for _, one := range described {
			if one != nil {
				made = append(made, *one)
			}
		}
		if fresh == nil {
			fresh = made
		} else if !slices.Equal(made, fresh) {
			t.Errorf("from %d:\n%q\nnot\n%q", from, made, fresh)
		}
	}
}
