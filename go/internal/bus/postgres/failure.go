package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/dial"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

var (
	errReadOnly = errors.New("the server is a standby, or set to read only")
	errClosed   = errors.New("the bus is closed")
)

const (
	insufficientPrivilege = "42501"
	lockNotAvailable      = "55P03"
	readOnlyTransaction   = "25006"
	unknownStatement      = "26000"
)

// failure turns what a call ran into into one of remote.Server's three kinds of
// errors. sent says that a request may have reached the server.
func (s *Server) failure(err error, sent bool) error {
	var coded *fault.Error
	var said *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, remote.ErrUnrecovered):
		return err
	case errors.As(err, &coded):
		return coded
	case errors.Is(err, errReadOnly):
		return s.readOnly()
	case errors.As(err, &said):
		return s.answer(said, sent)
	case sent && !pgconn.SafeToRetry(err):
		return fmt.Errorf("%w: %s", remote.ErrDoubtful, dial.Cause(err))
	}
	return fmt.Errorf("the database at %s: %s", s.address(), dial.Cause(err))
}

// answer is the error for what the server said. An ERROR has rolled the transaction
// back; after FATAL and PANIC nobody knows.
func (s *Server) answer(said *pgconn.PgError, sent bool) error {
	if sent && said.SeverityUnlocalized != "ERROR" {
		return fmt.Errorf("%w: %s (SQLSTATE %s)", remote.ErrDoubtful, said.Message, said.Code)
	}
	switch said.Code {
	case "42P01", "3F000", "42883": // undefined table, schema, function
		return fault.New(fault.BusError, "the database %q lacks the schema fraiseql_subscriptions or a part of it (%s); run python -m fraiseql_subscriptions postgres install", s.config.Database, said.Message)
	case insufficientPrivilege:
		role := s.config.User
		return dial.Refusal(said, fmt.Sprintf("give the role its rights: python -m fraiseql_subscriptions postgres install --publisher %s --reader %s", role, role))
	case readOnlyTransaction:
		return s.readOnly()
	}
	switch said.Code[:2] {
	case "22", "23", "54": // data that is wrong, a constraint, a limit of the server's
		return fault.New(fault.InvalidValue, "the database refused the event: %s (SQLSTATE %s)", said.Message, said.Code)
	case "28", "3D", "42", "0A": // not let in, no such database, syntax, not supported
		return dial.Refusal(said, "")
	}
	return fmt.Errorf("the database at %s: %s (SQLSTATE %s)", s.address(), said.Message, said.Code)
}

// readOnly is final for a URL that never led to a primary; later, it is one side of a
// failover, of which the other is waited for.
func (s *Server) readOnly() error {
	if s.worked.Load() {
		return fmt.Errorf("the database at %s: %w", s.address(), errReadOnly)
	}
	return fault.New(fault.BusError, "the database at %s cannot be published to or read from: %w; give the primary's URL", s.address(), errReadOnly)
}

// address is where the database is, as errors and health name it.
func (s *Server) address() string {
	hosts := []string{fmt.Sprintf("%s port %d", s.config.Host, s.config.Port)}
	for _, one := range s.config.Fallbacks {
		if other := fmt.Sprintf("%s port %d", one.Host, one.Port); !slices.Contains(hosts, other) {
			hosts = append(hosts, other)
		}
	}
	return strings.Join(hosts, ", ")
}
