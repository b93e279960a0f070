package pgtest

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
)

// Standby makes and starts a streaming copy of a server that is up. name is what
// synchronous_standby_names calls it. Stop it in the end.
func (s *Server) Standby(name string) (*Server, error) {
	made := &Server{programs: s.programs, settings: s.settings, owner: s.owner}
	var err error
	if made.folder, err = os.MkdirTemp("", "pgtest"); err != nil {
		return nil, err
	}
	if err := made.own(made.folder); err != nil {
		return nil, err
	}
	if made.Port, err = FreePort(); err != nil {
		return nil, err
	}
	from := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s", s.Port, name)
	copying := made.command("pg_basebackup", "-D", made.Data(), "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", from)
	if output, err := copying.CombinedOutput(); err != nil {
		os.RemoveAll(made.folder)
		return nil, fmt.Errorf("pg_basebackup: %w\n%s", err, output)
	}
	if err := made.Up(); err != nil {
		os.RemoveAll(made.folder)
		return nil, err
	}
	return made, nil
}

// Promote makes a standby a primary, and returns when it is one.
func (s *Server) Promote(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var promoted bool
	if err := conn.QueryRow(ctx, "SELECT pg_promote(true, 60)").Scan(&promoted); err != nil || !promoted {
		return fmt.Errorf("pg_promote: %v, %w", promoted, err)
	}
	return nil
}
