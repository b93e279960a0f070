package postgres

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/pgtest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/schema"
)

// server serves every test that does not break it.
var server *pgtest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if server, err = pgtest.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	if status == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

// newDatabase is a new database with the schema.
func newDatabase(t testing.TB) string {
	t.Helper()
	name, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	install(t, name)
	return name
}

// newRole is a new role that may log in. Its name begins with base, and is given quoted, too.
func newRole(t testing.TB, conn *pgx.Conn, base string) (name, quoted string) {
	t.Helper()
	name = fmt.Sprintf("%s%d", base, roles.Add(1))
	quoted = pgx.Identifier{name}.Sanitize()
	must(t, conn, "CREATE ROLE "+quoted+" LOGIN")
	return name, quoted
}

// roles numbers them: they belong to the server, not to a database.
var roles atomic.Int64

// install installs the schema.
func install(t testing.TB, database string) {
	t.Helper()
	installAt(t, server.URL(database))
}

func installAt(t testing.TB, url string) {
	t.Helper()
	if _, err := schema.Install(t.Context(), connectTo(t, url), schema.Options{}); err != nil {
		t.Fatal(err)
	}
}

// connect opens a connection that is closed when the test ends.
func connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	return connectTo(t, server.URL(database))
}

func connectTo(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// must runs a statement.
func must(t testing.TB, conn *pgx.Conn, sql string, arguments ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, arguments...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// publish publishes an event whose type is its name.
func publish(t testing.TB, conn *pgx.Conn, name string) {
	t.Helper()
	must(t, conn, "SELECT fraiseql_subscriptions.publish('a', $1, '{}')", name)
}
