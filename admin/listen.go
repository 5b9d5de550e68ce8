package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"flowbridge/internal/httpd"
)

// maxConnections limits the open connections; further ones wait to be accepted. maxPerSource limits those from one
// source; further ones are closed (httpd.Bound). An unauthorized connection is closed within seconds, so strangers
// can't occupy the listener for long.
const (
	maxConnections = 256
	maxPerSource   = 20
)

// Address says where Listen listens: at a TCP address, or at a Unix socket.
type Address struct {
	TCP    string
	Socket string // path of the Unix socket; empty for TCP

	// Given is a listener for the address that another process has opened. If it is nil, Listen opens one.
	Given net.Listener
	// Pause can stop the listener from accepting for a while; it may be nil.
	Pause *httpd.Pause
}

// Listen opens the listener, with bounds on its connections.
func Listen(ctx context.Context, at Address) (net.Listener, error) {
	open := listenTCP
	switch {
	case at.Given != nil:
		open = given
	case at.Socket != "":
		open = listenUnix
	}
	l, err := open(ctx, at)
	if err != nil {
		return nil, err
	}
	if at.Pause != nil {
		l = at.Pause.Listener(l)
	}
	return httpd.Bound(l, maxConnections, maxPerSource), nil
}

func listenTCP(ctx context.Context, at Address) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.TCP)
	if err != nil {
		return nil, fmt.Errorf("%w; another process may have the port, see ss -ltnp", err)
	}
	return l, nil
}

// given returns the listener that another process has opened.
func given(_ context.Context, at Address) (net.Listener, error) {
	if socket, ok := at.Given.(*net.UnixListener); ok {
		socket.SetUnlinkOnClose(false)
		return &unixListener{socket, at.Socket}, nil
	}
	return at.Given, nil
}

// unixListener is a Unix socket at a path.
type unixListener struct {
	*net.UnixListener

	path string
}

// listenUnix listens at a path. The socket gets that name only after its permissions are set, so that other users can't
// connect before. The socket of a killed process is replaced; that of a running process is not.
func listenUnix(ctx context.Context, at Address) (net.Listener, error) {
	if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", at.Socket); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("another process listens at %s; stop it, or name another socket", at.Socket)
	}
	if st, err := os.Lstat(at.Socket); err == nil && st.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is there, and no socket; remove it, or name another socket", at.Socket)
	}
	prepared := at.Socket + ".new"
	_ = os.Remove(prepared) // left by a killed process
	socket, err := bindUnix(ctx, prepared)
	if err != nil {
		return nil, fmt.Errorf("%w; the directory must be there, and writable for the user of the process", err)
	}
	if err := settle(prepared, at); err != nil {
		return nil, errors.Join(err, socket.Close(), os.Remove(prepared))
	}
	return &unixListener{socket, at.Socket}, nil
}

// bindUnix creates a socket at a path. Only the process's user can connect to it, whatever the umask is: on Linux a
// bound socket keeps the mode that it had before.
func bindUnix(ctx context.Context, path string) (*net.UnixListener, error) {
	narrow := func(_, _ string, c syscall.RawConn) error {
		var refused error
		err := c.Control(func(fd uintptr) { refused = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, refused)
	}
	l, err := (&net.ListenConfig{Control: narrow}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	socket, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(errors.New("no Unix socket"), l.Close())
	}
	socket.SetUnlinkOnClose(false)
	return socket, nil
}

// socketMode lets the process's user and group send requests.
const socketMode fs.FileMode = 0o660

// settle gives a socket its permissions and its final name.
func settle(prepared string, at Address) error {
	if err := os.Chmod(prepared, socketMode); err != nil {
		return err
	}
	return os.Rename(prepared, at.Socket)
}

// peerPrefix is the prefix of the user's number in the remote address of a connection. TCP addresses never start like
// this.
const peerPrefix = "uid "

// peer is a connection whose remote address names the user of the process at the other end.
type peer struct {
	net.Conn

	user net.UnixAddr
}

// RemoteAddr names the user.
func (p *peer) RemoteAddr() net.Addr { return &p.user }

// Accept returns the next connection. The kernel reports which user has opened it.
func (l *unixListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return conn, nil //nolint:nilerr // its user is unknown
	}
	p := &peer{Conn: conn, user: net.UnixAddr{Net: "unix"}}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			p.user.Name = peerPrefix + strconv.Itoa(int(cred.Uid))
		}
	})
	return p, nil
}

// Addr returns the socket's final address.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close closes the listener and removes the socket.
func (l *unixListener) Close() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.UnixListener.Close())
}

// Server returns an HTTP server with limits on time and size, for a listener from Listen. It logs connection problems,
// within a limit.
func Server(h http.Handler, log zerolog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: writeTimeout,
		IdleTimeout: 60 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: httpd.ErrorLog(log),
	}
}

// writeTimeout is how long a client may take to read an answer, or each part of a recording.
const writeTimeout = 30 * time.Second
