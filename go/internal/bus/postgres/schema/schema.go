// Package schema is what the PostgreSQL bus needs in the database: its schema
// fraiseql_subscriptions as versioned SQL, and what installs, removes and
// describes it. The SQL lies beside this file, once for every program.
package schema

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Name is the schema's name. It is fixed: the SQL spells it out.
const Name = "fraiseql_subscriptions"

// minimum is the oldest major version of the server that is supported.
const minimum = 13

//go:embed 001.sql
var first string

//go:embed 002.sql
var second string

// migrations make each version from the one before. One that was released never
// changes.
var migrations = [...]string{first, second}

// Version is the version of the schema that this program works with.
const Version = len(migrations)

// prepare makes what a migration is recorded in. It changes nothing where that is.
const prepare = `CREATE SCHEMA IF NOT EXISTS fraiseql_subscriptions;
CREATE TABLE IF NOT EXISTS fraiseql_subscriptions.migration (
    version integer PRIMARY KEY,
    installed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
`

func record(version int) string {
	return fmt.Sprintf("INSERT INTO fraiseql_subscriptions.migration (version) VALUES (%d);\n", version)
}

// SQL is everything that installs the schema into a database without it, for
// those who keep migrations of their own.
func SQL() string {
	var text strings.Builder
	text.WriteString("BEGIN;\n\n" + prepare + "\n")
	for i, migration := range migrations {
		text.WriteString(migration + "\n" + record(i+1))
	}
	text.WriteString("\nCOMMIT;\n")
	return text.String()
}

// Options are what an installation sets. What is nil stays as it is.
type Options struct {
	Prefix           *string  `json:"prefix"`
	RetentionSeconds *float64 `json:"retention"`
	Publishers       []string `json:"publishers"` // roles
	Readers          []string `json:"readers"`    // roles
}

// longest is the longest retention, in seconds: a thousand years.
const longest = 1000 * 365 * 86400

// check refuses what the settings cannot hold.
func (o Options) check() error {
	if o.Prefix != nil && !validPrefix(*o.Prefix) {
		return fault.New(fault.InvalidValue, "the prefix %q is not 1 to 20 of the characters a-z, 0-9 and _, with a letter first", *o.Prefix)
	}
	if o.RetentionSeconds != nil && !(*o.RetentionSeconds >= 1 && *o.RetentionSeconds <= longest) {
		return fault.New(fault.InvalidValue, "the retention %v is not a number of seconds from 1 to %d", *o.RetentionSeconds, longest)
	}
	return nil
}

func validPrefix(prefix string) bool {
	for i := range len(prefix) {
		letter := prefix[i] >= 'a' && prefix[i] <= 'z'
		other := prefix[i] >= '0' && prefix[i] <= '9' || prefix[i] == '_'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return len(prefix) >= 1 && len(prefix) <= 20
}

// Install brings the schema to Version in one transaction, and applies options.
// It may be run any number of times, also by several at once. from is the version
// that was found, 0 for none.
func Install(ctx context.Context, conn *pgx.Conn, options Options) (from int, err error) {
	if err := options.check(); err != nil {
		return 0, err
	}
	if err := CheckServer(conn); err != nil {
		return 0, err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Two installations at once would both create the schema.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(1718579573, 0)"); err != nil {
			return err
		}
		if from, err = installed(ctx, tx); err != nil {
			return err
		}
		if from == 0 {
			if _, err := tx.Exec(ctx, prepare); err != nil {
				return err
			}
		}
		for version := from + 1; version <= Version; version++ {
			if _, err := tx.Exec(ctx, migrations[version-1]+record(version)); err != nil {
				return err
			}
		}
		return options.apply(ctx, tx)
	})
	return from, err
}

func (o Options) apply(ctx context.Context, tx pgx.Tx) error {
	if o.Prefix != nil {
		if _, err := tx.Exec(ctx, "UPDATE fraiseql_subscriptions.settings SET prefix = $1", *o.Prefix); err != nil {
			return err
		}
	}
	if o.RetentionSeconds != nil {
		if _, err := tx.Exec(ctx, "UPDATE fraiseql_subscriptions.settings SET retention = make_interval(secs => $1)", *o.RetentionSeconds); err != nil {
			return err
		}
	}
	for _, role := range o.Publishers {
		if err := allow(ctx, tx, "allow_publishing", role); err != nil {
			return err
		}
	}
	for _, role := range o.Readers {
		if err := allow(ctx, tx, "allow_reading", role); err != nil {
			return err
		}
	}
	return nil
}

// allow grants a role, by its exact name, what function says.
func allow(ctx context.Context, tx pgx.Tx, function, role string) error {
	var known bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)", role).Scan(&known); err != nil {
		return err
	}
	if !known {
		return fault.New(fault.InvalidValue, "the database has no role %q; create it first", role)
	}
	_, err := tx.Exec(ctx, "SELECT fraiseql_subscriptions."+function+"(pg_catalog.quote_ident($1)::regrole)", role)
	return err
}

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}

// installed is the version found, 0 for none.
func installed(ctx context.Context, q querier) (version int, err error) {
	var exists bool
	if err := q.QueryRow(ctx, "SELECT to_regclass('fraiseql_subscriptions.migration') IS NOT NULL").Scan(&exists); err != nil || !exists {
		return 0, err
	}
	err = q.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM fraiseql_subscriptions.migration").Scan(&version)
	return version, err
}

// Uninstall drops the schema with every event in it. It refuses while triggers
// on tables of the application use it, unless cascade says that they go, too.
// removed is false when there was none.
func Uninstall(ctx context.Context, conn *pgx.Conn, cascade bool) (removed bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", Name).Scan(&removed); err != nil || !removed {
			return err
		}
		watched, err := watchedTables(ctx, tx)
		if err != nil {
			return err
		}
		if len(watched) > 0 && !cascade {
			return fault.New(fault.InvalidValue, "triggers on %s publish through the schema; remove them with fraiseql_subscriptions.unwatch(table), or say --cascade to drop them with it", strings.Join(watched, ", "))
		}
		_, err = tx.Exec(ctx, "DROP SCHEMA fraiseql_subscriptions CASCADE")
		return err
	})
	return removed, err
}

// watchedTables are those with a trigger that uses the schema.
func watchedTables(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT DISTINCT t.tgrelid::regclass::text
		FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
		JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname = $1 AND NOT t.tgisinternal ORDER BY 1`, Name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// CheckServer refuses servers older than PostgreSQL 13. The error has the code BusError.
func CheckServer(conn *pgx.Conn) error {
	return checkVersion(conn.PgConn().ParameterStatus("server_version"))
}

// checkVersion reads what a server says of itself, such as "15.4 (Debian 15.4-1)" or
// "17beta1".
func checkVersion(text string) error {
	digits := strings.IndexFunc(text+".", func(r rune) bool { return r < '0' || r > '9' })
	if major, err := strconv.Atoi(text[:digits]); err != nil || major < minimum {
		return fault.New(fault.BusError, "the server is PostgreSQL %s; supported is %d and later", text, minimum)
	}
	return nil
}
