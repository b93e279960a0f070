// Package dial is what every connection to the database begins with: reading its
// URL, and the errors for a server that cannot be reached or that refuses. None of
// them shows a password.
package dial

import (
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Timeout is the longest that connecting may take; the URL's connect_timeout may be
// shorter.
const Timeout = 10 * time.Second

// Parse reads the URL of a database. The error has the code InvalidValue.
func Parse(url string) (*pgx.ConnConfig, error) {
	config, err := ParsePool(url)
	if err != nil {
		return nil, err
	}
	return config.ConnConfig, nil
}

// ParsePool is Parse for a pool of connections.
func ParsePool(url string) (*pgxpool.Config, error) {
	scheme, _, found := strings.Cut(url, "://")
	if !found || (scheme != "postgresql" && scheme != "postgres") {
		// Never more of it than the scheme: what does not look like a URL may be a password.
		if !found {
			scheme = ""
		}
		return nil, fault.New(fault.InvalidValue, "the database's URL has the scheme %q; give one such as postgresql://user@host/database", scheme)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx blanks passwords as far as it finds them, which in a malformed URL it may not.
		return nil, fault.New(fault.InvalidValue, "the database's URL cannot be read; give one such as postgresql://user@host:5432/database, with special characters in user and password percent-encoded")
	}
	config.ConnConfig.ConnectTimeout = min(config.ConnConfig.ConnectTimeout, Timeout)
	return config, nil
}

// Unreachable is the error of a connection that did not come about for another
// reason than the server's refusal. It has the code BusUnavailable.
func Unreachable(config *pgx.ConnConfig, err error) error {
	return fault.New(fault.BusUnavailable, "the database server at %s port %d cannot be reached within %v; is it running, and is the address right? (%s)", config.Host, config.Port, config.ConnectTimeout, Cause(err))
}

// Cause is what an error says without user and database, in one line.
func Cause(err error) string {
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		err = connecting.Unwrap()
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// Refusal is the error for what the server said; rights says what to do about
// missing ones. It has the code BusError, or BusUnavailable where the same may go well
// at another time.
func Refusal(err *pgconn.PgError, rights string) *fault.Error {
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
