package schema

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

const (
	connectTimeout = 10 * time.Second
	// commandTimeout is for databases in which something else holds a lock.
	commandTimeout = 60 * time.Second
)

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
	scheme, _, found := strings.Cut(url, "://")
	if !found || (scheme != "postgresql" && scheme != "postgres") {
		// Never more of it than the scheme: what does not look like a URL may be a password.
		if !found {
			scheme = ""
		}
		return nil, fault.New(fault.InvalidValue, "the database's URL has the scheme %q; give one such as postgresql://user@host/database", scheme)
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		// pgx blanks passwords as far as it finds them, which in a malformed URL it may not.
		return nil, fault.New(fault.InvalidValue, "the database's URL cannot be read; give one such as postgresql://user@host:5432/database, with special characters in user and password percent-encoded")
	}
	config.ConnectTimeout = min(config.ConnectTimeout, connectTimeout)
	// A pooler may give every transaction another session, without what was prepared before.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		return conn, nil
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return nil, refusal(refused, "")
	}
	cause := err.Error()
	if inner := errors.Unwrap(err); inner != nil {
		cause = strings.ReplaceAll(inner.Error(), "\n", "; ") // without user and database
	}
	return nil, fault.New(fault.BusUnavailable, "the database server at %s port %d cannot be reached within %v; is it running, and is the address right? (%s)", config.Host, config.Port, config.ConnectTimeout, cause)
}

// translate gives an error a code; rights says what to do about missing ones.
func translate(err error, rights string) error {
	var coded *fault.Error
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &coded):
		return coded
	case errors.As(err, &refused):
		return refusal(refused, rights)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.BusUnavailable, "the database did not do it within %v; another session may hold a lock on the schema (pg_stat_activity shows which)", commandTimeout)
	}
	return fault.New(fault.BusUnavailable, "the connection to the database was lost (%w); nothing was done, run it again", err)
}

// refusal is the error for what the server said.
func refusal(err *pgconn.PgError, rights string) error {
	code, hint := fault.BusError, ""
	switch {
	case err.Code == "42501" && rights != "": // insufficient_privilege
		hint = rights
	case err.Code == "3D000": // invalid_catalog_name
		hint = "create the database first, or correct its name in the URL"
	case strings.HasPrefix(err.Code, "28"): // invalid_authorization_specification
		hint = "check the URL's user and password, and the server's pg_hba.conf"
	case err.Code == "53300": // too_many_connections
		code, hint = fault.BusUnavailable, "close sessions or raise max_connections, then run it again"
	case strings.HasPrefix(err.Code, "57P"): // starting up, shutting down, the session terminated
		code, hint = fault.BusUnavailable, "run it again when the server takes connections"
	case err.Code == "25006": // read_only_sql_transaction
		hint = "this server is a standby or set to read only; give the primary's URL"
	}
	if hint != "" {
		hint = "; " + hint
	}
	return fault.New(code, "the database refused: %s (SQLSTATE %s)%s", err.Message, err.Code, hint)
}
