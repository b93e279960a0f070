// Package pgtest starts PostgreSQL servers for tests: private ones, in a
// temporary directory, on a free port of the loopback interface, run by an
// unprivileged user.
package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// deadline bounds every wait for a server.
const deadline = 60 * time.Second

// Server is a running PostgreSQL. Its superuser is "postgres", whom it trusts.
type Server struct {
	Port int

	programs  string // where initdb and postgres are
	folder    string
	owner     *syscall.Credential // nil: this process's own user
	settings  []string
	process   *exec.Cmd
	databases atomic.Int64
}

// Start makes and starts a server with settings such as "max_connections=10".
// Stop it in the end.
func Start(settings ...string) (*Server, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	s := &Server{programs: programs, settings: settings}
	if s.owner, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.folder, err = os.MkdirTemp("", "pgtest"); err != nil {
		return nil, err
	}
	if err := s.own(s.folder); err != nil {
		return nil, err
	}
	if s.Port, err = FreePort(); err != nil {
		return nil, err
	}
	made := s.command("initdb", "-D", s.Data(), "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	if output, err := made.CombinedOutput(); err != nil {
		os.RemoveAll(s.folder)
		return nil, fmt.Errorf("initdb: %w\n%s", err, output)
	}
	if err := s.Up(); err != nil {
		os.RemoveAll(s.folder)
		return nil, err
	}
	return s, nil
}

// Data is the server's data directory.
func (s *Server) Data() string { return filepath.Join(s.folder, "data") }

// Log is what the server has logged.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.folder, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) own(path string) error {
	if s.owner == nil {
		return nil
	}
	return os.Chown(path, int(s.owner.Uid), int(s.owner.Gid))
}

func (s *Server) command(program string, arguments ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(s.programs, program), arguments...)
	command.Dir = s.folder
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	return command
}

// Up starts the server, which is down, and returns when it takes connections.
func (s *Server) Up() error {
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	arguments := []string{
		"-D", s.Data(), "-p", strconv.Itoa(s.Port), "-k", s.folder,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_prepared_transactions=20",
	}
	for _, setting := range s.settings {
		arguments = append(arguments, "-c", setting)
	}
	limit := time.Now().Add(deadline)
	for {
		process := s.command("postgres", arguments...)
		process.Stdout, process.Stderr = log, log
		if err := process.Start(); err != nil {
			return err
		}
		ended := make(chan struct{})
		go func() {
			_ = process.Wait() // how a killed server ends is no news
			close(ended)
		}()
		if s.answers(ended, limit) {
			s.process = process
			s.process.Cancel = func() error { <-ended; return nil }
			return nil
		}
		// After a kill, what was left of the server may hold its memory for a moment.
		if time.Now().After(limit) {
			return fmt.Errorf("the server did not start within %v:\n%s", deadline, s.Log())
		}
	}
}

// answers waits until the server takes connections; false when it ended.
func (s *Server) answers(ended <-chan struct{}, limit time.Time) bool {
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		select {
		case <-ended:
			tick.Stop()
			return false
		default:
		}
		ctx, cancel := context.WithDeadline(context.Background(), limit)
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		cancel()
		if err == nil {
			tick.Stop()
			_ = conn.Close(context.Background())
			return true
		}
		if time.Now().After(limit) {
			tick.Stop()
			return false
		}
	}
}

// Down ends the server by a signal and waits for its end: SIGINT ends sessions
// and stops it in order, SIGKILL is a crash of everything it runs.
func (s *Server) Down(signal syscall.Signal) error {
	if s.process == nil {
		return nil
	}
	if signal == syscall.SIGKILL {
		// All at once: who sees that the postmaster has gone gives up its wait for a standby,
		// and shows others what is nowhere but here.
		s.everybody(syscall.SIGSTOP)
		s.everybody(signal)
	} else if err := s.process.Process.Signal(signal); err != nil {
		return err
	}
	err := s.process.Cancel()
	s.process = nil
	return err
}

// everybody sends a signal to all of the server's processes.
func (s *Server) everybody(signal syscall.Signal) {
	family := children(s.process.Process.Pid) // they lead groups of their own
	_ = syscall.Kill(-s.process.Process.Pid, signal)
	for _, child := range family {
		_ = syscall.Kill(child, signal)
	}
}

// Freeze lets the server be silent: connections stay, and nobody answers.
func (s *Server) Freeze() { s.everybody(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (s *Server) Thaw() { s.everybody(syscall.SIGCONT) }

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	err := s.Down(syscall.SIGINT)
	if removed := os.RemoveAll(s.folder); err == nil {
		err = removed
	}
	return err
}

// URL is where the superuser finds a database.
func (s *Server) URL(database string) string { return s.URLFor("postgres", database) }

// URLFor is where a role finds a database.
func (s *Server) URLFor(role, database string) string {
	return fmt.Sprintf("postgresql://%s@127.0.0.1:%d/%s?sslmode=disable", role, s.Port, database)
}

// NewDatabase creates an empty database and gives its name.
func (s *Server) NewDatabase(ctx context.Context) (string, error) {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name)
	return name, err
}

// FreePort is a port of the loopback interface that nobody uses now.
func FreePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// findPrograms is the folder of the newest server's programs: that of PGBIN, on
// PATH, or where Debian puts them.
func findPrograms() (string, error) {
	if folder := os.Getenv("PGBIN"); folder != "" {
		return folder, nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		path, err = filepath.EvalSymlinks(path) // the others may not be linked
		return filepath.Dir(path), err
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no PostgreSQL server is installed (apt-get install postgresql); PGBIN names the folder of initdb")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // a folder of another name is the oldest
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// unprivileged is whom a server can run as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("this is root, and there is no unprivileged user (postgres, nobody) to run PostgreSQL as")
}

// children are the processes whose parent is pid.
func children(pid int) (found []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat") // none where there is no /proc
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			found = append(found, child)
		}
	}
	return found
}
