package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

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
	if err := s.copyTo(made, name); err != nil {
		os.RemoveAll(made.folder)
		return nil, err
	}
	if err := made.Up(); err != nil {
		os.RemoveAll(made.folder)
		return nil, err
	}
	return made, nil
}

// copyTo makes the data directory of a standby, as pg_basebackup would, which not every
// build has.
func (s *Server) copyTo(made *Server, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	begin, end := "SELECT pg_backup_start('pgtest', true)", "SELECT labelfile FROM pg_backup_stop(false)"
	if version := conn.PgConn().ParameterStatus("server_version"); version < "15" {
		begin, end = "SELECT pg_start_backup('pgtest', true, false)", "SELECT labelfile FROM pg_stop_backup(false, false)"
	}
	if _, err := conn.Exec(ctx, begin); err != nil {
		return err
	}
	if err := s.copyFiles(made); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, end).Scan(&label); err != nil {
		return err
	}
	settings, err := os.ReadFile(filepath.Join(s.Data(), "postgresql.auto.conf"))
	if err != nil {
		return err
	}
	from := fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres application_name=%s'\n", s.Port, name)
	for file, text := range map[string]string{"backup_label": label, "standby.signal": "", "postgresql.auto.conf": string(settings) + from} {
		if err := made.Write(file, text); err != nil {
			return err
		}
	}
	return nil
}

// copyFiles copies the data directory of a server that is up. What goes away meanwhile is
// no loss: the write-ahead log says so.
func (s *Server) copyFiles(made *Server) error {
	return filepath.WalkDir(s.Data(), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || entry != nil && slices.Contains([]string{"postmaster.pid", "postmaster.opts"}, entry.Name()) {
			return nil
		}
		if err != nil {
			return err
		}
		within, err := filepath.Rel(s.Data(), path)
		if err != nil {
			return err
		}
		target := filepath.Join(made.Data(), within)
		if entry.IsDir() {
			err = os.Mkdir(target, 0o700)
		} else {
			var content []byte
			if content, err = os.ReadFile(path); errors.Is(err, fs.ErrNotExist) {
				return nil
			} else if err == nil {
				err = os.WriteFile(target, content, 0o600)
			}
		}
		if err != nil {
			return err
		}
		return made.own(target)
	})
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
