package schema

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/dial"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// commandTimeout is for databases in which something else holds a lock.
const commandTimeout = 60 * time.Second

// Installed is what Run answers to install.
type Installed struct {
	From int `json:"from"` // version found, 0 for none
	To   int `json:"to"`
}

// Uninstalled is what Run answers to uninstall.
type Uninstalled struct {
	Removed bool `json:"removed"`
}

// Run runs a command of the command line on the database at url: "install" with
// Options as JSON, "uninstall" with "cascade" or "", or "status". Errors have the
// codes InvalidValue, BusUnavailable (nobody answers) and BusError (the database
// refused), and show no password.
func Run(command, url, options string) (result any, err error) {
	var install Options
	switch command {
	case "install":
		if err := json.Unmarshal([]byte(options), &install); err != nil {
			return nil, fault.New(fault.InvalidValue, "the options of the installation cannot be read: %w", err)
		}
		if err := install.check(); err != nil {
			return nil, err
		}
	case "uninstall", "status":
	default:
		return nil, fault.New(fault.InvalidValue, "the command %q is not one of install, uninstall, status", command)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	conn, err := open(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	switch command {
	case "install":
		var from int
		from, err = Install(ctx, conn, install)
		result = Installed{From: from, To: max(from, Version)}
	case "uninstall":
		var removed bool
		removed, err = Uninstall(ctx, conn, options == "cascade")
		result = Uninstalled{removed}
	case "status":
		result, err = Describe(ctx, conn)
	}
	if err != nil {
		return nil, translate(err, rights[command])
	}
	return result, nil
}

// rights is what to do when the role lacks those of a command.
var rights = map[string]string{
	"install":   "run it as the schema's owner, or for the first time as a role with CREATE on this database",
	"uninstall": "run it as the schema's owner",
	"status":    "the schema's owner gives a role the right with install --reader ROLE",
}

// open connects to the database at url.
func open(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := dial.Parse(url)
	if err != nil {
		return nil, err
	}
	// A pooler may give every transaction another session, without what was prepared before.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		return conn, nil
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return nil, dial.Refusal(refused, "")
	}
	return nil, dial.Unreachable(config, err)
}

// translate gives an error a code; rights says what to do about missing ones.
func translate(err error, rights string) error {
	var coded *fault.Error
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &coded):
		return coded
	case errors.As(err, &refused):
		return dial.Refusal(refused, rights)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.BusUnavailable, "the database did not do it within %v; another session may hold a lock on the schema (pg_stat_activity shows which)", commandTimeout)
	}
	return fault.New(fault.BusUnavailable, "the connection to the database was lost (%w); nothing was done, run it again", err)
}
