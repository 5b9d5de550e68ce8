// Package pgtest runs a real PostgreSQL server for a test, with its own directory and address. The server ends
// with the test.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Password is the password of the user postgres.
const Password = "pg-test-secret"

// patience bounds waiting for the server, so that a test does not hang.
const patience = 2 * time.Minute

// Server is a PostgreSQL server.
type Server struct {
	tb   testing.TB
	dir  string
	host string
	port int
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Start creates a cluster and starts its server. A setting looks like "max_connections=20".
func Start(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	dir, err := os.MkdirTemp("", "pg-") //nolint:usetesting // the server's user must reach it, and its path must be short
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := start(tb, dir, settings...)
	tb.Cleanup(s.Kill)
	return s
}

// shared is the server for those tests of a package that do not stop it.
var shared struct {
	sync.Mutex

	server *Server
}

// Main runs the tests of a package, and stops the server that they share.
func Main(m *testing.M) int {
	code := m.Run()
	if s := shared.server; s != nil {
		s.Kill()
		_ = os.RemoveAll(s.dir)
	}
	return code
}

// Shared returns the server for tests that don't stop it. It runs from the first use to the end of Main.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		dir, err := os.MkdirTemp("", "pg-") //nolint:usetesting // as above
		if err != nil {
			tb.Fatal(err)
		}
		shared.server = start(tb, dir)
	}
	return shared.server
}

func start(tb testing.TB, dir string, settings ...string) *Server {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs PostgreSQL, which -short does without")
	}
	s := &Server{tb: tb, dir: dir, host: ownHost()}
	s.port = freePort(tb, s.host)
	secret := filepath.Join(dir, "secret")
	err := os.WriteFile(secret, []byte(Password+"\n"), 0o644)
	if os.Geteuid() == 0 {
		uid, gid := postgres(tb)
		err = errors.Join(err, os.Chown(dir, uid, gid), os.Chmod(dir, 0o755))
	}
	if err != nil {
		tb.Fatal(err)
	}
	initdb := s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret, "-E",
		"UTF8", "--locale=C.UTF-8", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, out)
	}
	var conf strings.Builder
	for _, line := range slices.Concat([]string{
		"listen_addresses=" + s.host, "unix_socket_directories=" + dir, "fsync=off", "shared_buffers=16MB",
		"max_connections=60",
		"timezone=UTC", "max_wal_size=64MB", "min_wal_size=32MB", "log_min_messages=warning",
	}, settings) {
		name, value, _ := strings.Cut(line, "=")
		fmt.Fprintf(&conf, "%s = '%s'\n", name, value)
	}
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(conf.String())
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		tb.Fatal(err)
	}
	s.Run()
	return s
}

// Dir returns the server's directory. The user that the server runs as can access it.
func (s *Server) Dir() string { return s.dir }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// postgres returns the user that the server runs as if the test is root, because the server refuses to run as root.
func postgres(tb testing.TB) (uid, gid int) {
	tb.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		tb.Fatalf("%v: install postgresql", err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid
}

// program finds a program of the server. Debian keeps these outside the usual path.
func program(tb testing.TB, name string) string {
	tb.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // fails only for a bad pattern
	if len(found) == 0 {
		tb.Fatalf("%s is missing: install postgresql", name)
	}
	return found[len(found)-1]
}

// command returns a program that runs as the server's user. It does not outlive the test.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	s.tb.Helper()
	cmd := exec.CommandContext(context.Background(), program(s.tb, name), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		uid, gid := postgres(s.tb)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return cmd
}

// Exec runs a command as the server's user.
func (s *Server) Exec(name string, args ...string) {
	s.tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		s.tb.Fatal(err)
	}
	cmd := s.command("postgres")
	cmd.Path, cmd.Args = path, append([]string{path}, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.tb.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

var servers atomic.Int64

// ownHost returns a loopback address that no other server has: at 127.0.0.1 any connection may get a free port before
// the server does, or while it is stopped.
func ownHost() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 128+servers.Add(1)%100, pid>>8&0xff, pid&0xff)
}

func freePort(tb testing.TB, host string) int {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", host+":0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Run starts the server, also after Stop or Kill. It returns when the server accepts connections.
func (s *Server) Run() {
	s.tb.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer log.Close()
	s.launch(log)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), s.URL("postgres"))
		if err == nil {
			_ = conn.Close(context.Background())
			return
		}
		ended := false
		select {
		case <-s.done:
			ended = true
		default:
		}
		if !ended && time.Now().Before(end) {
			continue
		}
		text, _ := os.ReadFile(log.Name())
		// The child processes of a killed server end a moment after the server.
		last := text[bytes.LastIndex(text, []byte("FATAL:"))+1:]
		if bytes.Contains(last, []byte("pre-existing shared memory")) && time.Now().Before(end) {
			s.launch(log)
			continue
		}
		s.tb.Fatalf("postgres does not start: %v\n%s", err, text)
	}
}

// launch starts the server's process.
func (s *Server) launch(log *os.File) {
	s.cmd = s.command("postgres", "-D", s.data(), "-p", strconv.Itoa(s.port))
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	// In the field the database has processors of its own. Here it comes before the tests that run at the same time,
	// because the product waits for it 1 to 3 s. Only root may do so.
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, s.cmd.Process.Pid, -10)
	done := make(chan struct{})
	s.done = done
	go func(cmd *exec.Cmd) {
		defer close(done)
		_ = cmd.Wait()
	}(s.cmd)
}

// Stop stops the server as an administrator would, without waiting for clients.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill kills the server's main process. The other processes notice and end.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) {
	if s.done == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	<-s.done
}

// Freeze stops all processes of the server: it accepts connections, but does not answer. Thaw undoes it.
func (s *Server) Freeze() { s.signalAll(syscall.SIGSTOP) }

// Thaw lets the server continue after Freeze.
func (s *Server) Thaw() { s.signalAll(syscall.SIGCONT) }

func (s *Server) signalAll(sig syscall.Signal) {
	pid := s.cmd.Process.Pid
	_ = syscall.Kill(pid, sig)
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for child := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, sig)
		}
	}
}

// URL returns the URL of a database over TCP.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres:%s@%s:%d/%s?sslmode=disable", Password, s.host, s.port, database)
}

// SocketURL returns the URL of a database over the Unix socket.
func (s *Server) SocketURL(database string) string {
	return fmt.Sprintf("postgres://postgres:%s@/%s?host=%s&port=%d", Password, database, s.dir, s.port)
}

// Addr returns the server's address.
func (s *Server) Addr() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

var lastDatabase atomic.Int64

// Database creates an empty database and returns its URL.
func (s *Server) Database() string {
	s.tb.Helper()
	name := fmt.Sprintf("fleet%d", lastDatabase.Add(1))
	Exec(s.tb, s.URL("postgres"), "CREATE DATABASE "+name)
	return s.URL(name)
}

// Exec runs a statement.
func Exec(tb testing.TB, url, statement string, args ...any) {
	tb.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement, args...); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// One returns the single value of a query.
func One[T any](tb testing.TB, url, query string, args ...any) (value T) {
	tb.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, query, args...).Scan(&value); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return value
}
