package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bouncer is a running PgBouncer in front of a server, which it logs in to as the
// superuser.
type Bouncer struct {
	Port int

	folder  string
	process *exec.Cmd
}

// StartBouncer starts a PgBouncer with a pool_mode, such as "transaction". Stop it in
// the end.
func (s *Server) StartBouncer(mode string) (*Bouncer, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	b := &Bouncer{Port: port}
	if b.folder, err = os.MkdirTemp("", "pgtest"); err != nil {
		return nil, err
	}
	if err := s.own(b.folder); err != nil {
		return nil, err
	}
	settings := []string{
		"[databases]", fmt.Sprintf("* = host=127.0.0.1 port=%d user=postgres", s.Port),
		"[pgbouncer]", "listen_addr = 127.0.0.1", fmt.Sprintf("listen_port = %d", port), "unix_socket_dir =",
		"auth_type = any", "pool_mode = " + mode, "default_pool_size = 10", "server_tls_sslmode = disable",
	}
	path := filepath.Join(b.folder, "pgbouncer.ini")
	if err := os.WriteFile(path, []byte(strings.Join(settings, "\n")+"\n"), 0o644); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(b.folder, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // where Debian puts it, outside of many a PATH
	}
	b.process = exec.Command(program, path)
	b.process.Dir = b.folder
	b.process.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	b.process.Stdout, b.process.Stderr = log, log
	if err := b.process.Start(); err != nil {
		return nil, err
	}
	if err := b.await(); err != nil {
		_ = b.Stop()
		return nil, err
	}
	return b, nil
}

// await returns when the pooler takes connections.
func (b *Bouncer) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, b.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			text, _ := os.ReadFile(filepath.Join(b.folder, "log"))
			return fmt.Errorf("pgbouncer did not start: %w\n%s", err, text)
		}
	}
}

// URL is where a database is found through the pooler.
func (b *Bouncer) URL(database string) string {
	return fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/%s?sslmode=disable", b.Port, database)
}

// Stop ends the pooler and removes its files.
func (b *Bouncer) Stop() error {
	_ = b.process.Process.Signal(syscall.SIGTERM) // it has ended already, or it ends now
	_ = b.process.Wait()
	return os.RemoveAll(b.folder)
}
