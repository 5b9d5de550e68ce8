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

// The bounds of the listener. A connection over the first waits for a place: each that does not show what it may ends
// within seconds.
const (
	maxConnections = 256
	maxPerSource   = 20
)

// Address is where Listen listens: a TCP address, or a Unix socket.
type Address struct {
	TCP    string
	Socket string // its path; empty: TCP

	// Given is a listener for the address that another process has opened; nil: Listen opens one.
	Given net.Listener
	// Pause has the listener accept nothing for a while; nil: it never does.
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

// given is the listener that another process has opened.
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

// listenUnix listens at a path. The socket gets that name only when its permissions are right, so nobody else can
// connect before. A socket that a killed process left is replaced, and that of a running one is not.
func listenUnix(ctx context.Context, at Address) (net.Listener, error) {
	if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", at.Socket); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("another process listens at %s; stop it, or name another socket", at.Socket)
	}
	if st, err := os.Lstat(at.Socket); err == nil && st.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is there, and no socket; remove it, or name another socket", at.Socket)
	}
	prepared := at.Socket + ".new"
	_ = os.Remove(prepared) // of a process that was killed
	socket, err := bindUnix(ctx, prepared)
	if err != nil {
		return nil, fmt.Errorf("%w; the directory must be there, and writable for the user of the process", err)
	}
	if err := settle(prepared, at); err != nil {
		return nil, errors.Join(err, socket.Close(), os.Remove(prepared))
	}
	return &unixListener{socket, at.Socket}, nil
}

// bindUnix makes a socket at a path that only the user of the process can connect to, with any umask: Linux gives a
// bound socket the mode that it has before.
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

// settle gives a socket its permissions and its name.
func settle(prepared string, at Address) error {
	if err := os.Chmod(prepared, socketMode); err != nil {
		return err
	}
	return os.Rename(prepared, at.Socket)
}

// peerPrefix is before the user's number in the remote address of a connection. No address of TCP begins so.
const peerPrefix = "uid "

// peer is a connection whose remote address is the user of the process at the other end.
type peer struct {
	net.Conn

	user net.UnixAddr
}

// RemoteAddr names the user.
func (p *peer) RemoteAddr() net.Addr { return &p.user }

// Accept gives the next connection. The kernel says which user has made it.
func (l *unixListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return conn, nil //nolint:nilerr // its user is not known
	}
	p := &peer{Conn: conn, user: net.UnixAddr{Net: "unix"}}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			p.user.Name = peerPrefix + strconv.Itoa(int(cred.Uid))
		}
	})
	return p, nil
}

// Addr is the socket's address by its last name.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close closes the listener and removes the socket.
func (l *unixListener) Close() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.UnixListener.Close())
}

// Server gives an HTTP server with bounds on time and size, for a listener of Listen. It logs problems of connections,
// within bounds.
func Server(h http.Handler, log zerolog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: writeTimeout,
		IdleTimeout: 60 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: httpd.ErrorLog(log),
	}
}

// writeTimeout is how long an answer may take to be read; that of a recording, each part of it.
const writeTimeout = 30 * time.Second
