// Package redistest starts Redis servers for tests: private ones, in a temporary
// directory, on a free port of the loopback interface.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// deadline bounds every wait for a server.
const deadline = 30 * time.Second

// Server is a Redis server, running or down.
type Server struct {
	Port int

	sentinel bool

	folder   string
	settings []string
	process  *exec.Cmd
	ended    chan struct{} // closed when process has
}

// Start makes and starts a server with settings such as "--appendonly", "yes". It
// keeps nothing on disk unless they say so. Stop it in the end.
func Start(settings ...string) (*Server, error) {
	folder, err := os.MkdirTemp("", "redistest")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder, settings: settings}
	if s.Port, err = FreePort(); err == nil {
		err = s.Up()
	}
	if err != nil {
		os.RemoveAll(folder)
		return nil, err
	}
	return s, nil
}

// StartSentinel starts a sentinel that watches a server, which quorum of them must miss
// for half a second before another takes its place.
func StartSentinel(name string, master *Server, quorum int) (*Server, error) {
	folder, err := os.MkdirTemp("", "redistest")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder, sentinel: true}
	if s.Port, err = FreePort(); err == nil {
		settings := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nlogfile %s\nsentinel monitor %s 127.0.0.1 %d %d\nsentinel down-after-milliseconds %s 500\nsentinel failover-timeout %s 3000\n",
			s.Port, folder, filepath.Join(folder, "log"), name, master.Port, quorum, name, name)
		err = os.WriteFile(filepath.Join(folder, "sentinel.conf"), []byte(settings), 0o600)
	}
	if err == nil {
		err = s.Up()
	}
	if err != nil {
		os.RemoveAll(folder)
		return nil, err
	}
	return s, nil
}

// Folder is the server's directory.
func (s *Server) Folder() string { return s.folder }

// Address is the server's host and port.
func (s *Server) Address() string { return "127.0.0.1:" + strconv.Itoa(s.Port) }

// URL is where clients find the server.
func (s *Server) URL() string { return "redis://" + s.Address() + "/0" }

// Login is where a user finds the server.
func (s *Server) Login(user, password string) string {
	return (&url.URL{Scheme: "redis", User: url.UserPassword(user, password), Host: s.Address(), Path: "/0"}).String()
}

// Client is a connection pool of the test's own; the caller closes it.
func (s *Server) Client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Address(), Protocol: 2})
}

// Up starts the server, which is down, and returns when it answers.
func (s *Server) Up() error {
	arguments := []string{
		"--port", strconv.Itoa(s.Port), "--bind", "127.0.0.1", "--dir", s.folder,
		"--logfile", filepath.Join(s.folder, "log"), "--save", "", "--appendonly", "no",
	}
	arguments = append(arguments, s.settings...)
	if s.sentinel {
		arguments = []string{filepath.Join(s.folder, "sentinel.conf"), "--sentinel"}
	}
	s.process = exec.Command("redis-server", arguments...)
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var output bytes.Buffer
	s.process.Stdout, s.process.Stderr = &output, &output
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("%w (apt-get install redis-server)", err)
	}
	s.ended = make(chan struct{})
	go func() {
		_ = s.process.Wait() // how a killed server ends is no news
		close(s.ended)
	}()
	if err := s.answers(); err != nil {
		_ = s.Down(syscall.SIGKILL)
		log, _ := os.ReadFile(filepath.Join(s.folder, "log")) // what there is of it
		return fmt.Errorf("%w\n%s%s", err, output.Bytes(), log)
	}
	return nil
}

// answers waits until the server does.
func (s *Server) answers() error {
	client := s.Client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		err := client.Ping(ctx).Err()
		if err == nil || redis.HasErrorPrefix(err, "NOAUTH") {
			tick.Stop()
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the server ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("the server did not answer within %v: %w", deadline, err)
		default:
		}
	}
}

// Down ends the server by a signal, SIGTERM in order or SIGKILL at once, and waits
// for its end.
func (s *Server) Down(signal syscall.Signal) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Process.Signal(signal)
	<-s.ended
	s.process = nil
	return err
}

// Stop ends the server and removes its files. One that waits for a replica, or that a
// test has paused, would take its time over an end in order.
func (s *Server) Stop() error {
	err := s.Down(syscall.SIGKILL)
	if removed := os.RemoveAll(s.folder); err == nil {
		err = removed
	}
	return err
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
