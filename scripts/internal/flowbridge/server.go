// Package flowbridge runs the loaded binary, and queries its admin API.
package flowbridge

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
)

// Server is a binary with its configuration, and the process that serves.
type Server struct {
	Admin *Admin
	Serve []string // the command that serves
	PID   int      // of the process that serves now

	binary, dir string
	in          namespace.Namespace
	environment []string
	children    []*process.Child
}

// New creates a directory for a server within another one. Its process runs in a namespace, with further environment
// variables.
func New(binary, within string, in namespace.Namespace, environment ...string) (*Server, error) {
	dir, err := os.MkdirTemp(within, "flowbridge")
	if err != nil {
		return nil, err
	}
	s := &Server{binary: binary, dir: dir, in: in, environment: environment}
	s.Admin, s.Serve = newAdmin(s.Socket()), []string{binary, "serve", "--config", s.Config()}
	return s, nil
}

// Config returns the configuration file.
func (s *Server) Config() string { return filepath.Join(s.dir, "flowbridge.yaml") }

// Log returns the file that all processes of the server write to.
func (s *Server) Log() string { return filepath.Join(s.dir, "log") }

// Store returns a path for the database, to be used in the configuration.
func (s *Server) Store() string { return filepath.Join(s.dir, "calls.db") }

// Socket returns the path where the configuration must make the admin API listen.
func (s *Server) Socket() string { return filepath.Join(s.dir, "admin.sock") }

// Configure writes the configuration.
func (s *Server) Configure(text string) error { return os.WriteFile(s.Config(), []byte(text), 0o600) }

// Command returns a command with the server's environment.
func (s *Server) Command(line ...string) *exec.Cmd {
	c := exec.CommandContext(context.Background(), line[0], line[1:]...)
	c.Env = append(os.Environ(), s.environment...)
	return c
}

// Upgrade returns the command that replaces the process.
func (s *Server) Upgrade() *exec.Cmd {
	return s.Command(s.binary, "upgrade", "--config", s.Config(), "--json")
}

// Start starts a process, and returns when it is ready.
func (s *Server) Start() error {
	if err := s.Launch(); err != nil {
		return err
	}
	return s.Ready(10 * time.Second)
}

// Launch starts a process, which may never be ready.
func (s *Server) Launch() error {
	child, err := process.Start(s.in, s.Log(), s.Command(s.Serve...))
	if err == nil {
		s.PID, s.children = child.PID(), append(s.children, child)
	}
	return err
}

// Ready returns when the server is ready, or an error that says why it is not.
func (s *Server) Ready(within time.Duration) error {
	if err := process.Until(within, s.Admin.Ready); err != nil {
		return fmt.Errorf("flowbridge is not ready: %w; %s", err, process.Tail(s.Log()))
	}
	return nil
}

// Stop ends the processes as an operator does.
func (s *Server) Stop() {
	for _, c := range s.children {
		c.Stop()
	}
}

// Kill kills the processes without warning, including one started by an upgrade.
func (s *Server) Kill() {
	for _, c := range s.children {
		c.Kill()
	}
	if n := len(s.children); n > 0 && s.PID != s.children[n-1].PID() {
		_ = syscall.Kill(s.PID, syscall.SIGKILL)
	}
}
