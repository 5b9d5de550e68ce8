package admin

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// serve runs a handler at an address until the test ends.
func serve(t *testing.T, at Address, h http.Handler) net.Listener {
	t.Helper()
	l, err := Listen(t.Context(), at)
	must(t, err)
	s := Server(h, zerolog.Nop())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return l
}

func unixClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
}

// A Unix socket has its permissions from the first moment. The log says which user sent a request.
func TestUnixSocket(t *testing.T) {
	opts, log := staffed()
	opts.Access = local(RightsOperate)
	path := filepath.Join(t.TempDir(), "admin.sock")
	at := Address{Socket: path}
	l := serve(t, at, New(opts))
	if l.Addr().String() != path {
		t.Errorf("listens at %v", l.Addr())
	}
	st, err := os.Lstat(path)
	if err != nil || st.Mode() != os.ModeSocket|0o660 || int(st.Sys().(*syscall.Stat_t).Gid) != os.Getgid() {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://flowbridge/api/drain", http.NoBody)
	must(t, err)
	res, err := unixClient(path).Do(req)
	must(t, err)
	_ = res.Body.Close()
	if res.StatusCode != 202 || !strings.Contains(log.String(), `"by":"user `) && !strings.Contains(log.String(), `"by":"uid `) {
		t.Errorf("%s, log %s", res.Status, log)
	}
	if _, err := Listen(t.Context(), at); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a second process: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

// A socket is its user's from the moment at which it has a name, with any umask.
func TestUnixSocketAtUmaskZero(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	defer syscall.Umask(syscall.Umask(0))
	l, err := bindUnix(t.Context(), path)
	must(t, err)
	defer l.Close()
	if st, err := os.Lstat(path); err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket is %v, %v; want %v", st.Mode(), err, os.ModeSocket|0o600)
	}
}

// A socket without a listener is replaced. Anything else at its path stays, and so do wrong groups.
func TestUnixSocketOfAKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	must(t, err)
	dead, _ := l.(*net.UnixListener)
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	again, err := Listen(t.Context(), Address{Socket: path})
	must(t, err)
	must(t, again.Close())
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket stays behind")
	}
	for problem, at := range map[string]Address{
		"directory": {Socket: filepath.Join(path, "none", "x")},
	} {
		if _, err := Listen(t.Context(), at); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", problem, err)
		}
	}
	must(t, os.WriteFile(path, []byte("precious"), 0o600))
	if _, err := Listen(t.Context(), Address{Socket: path}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in its place: %v", err)
	}
	if text, _ := os.ReadFile(path); !bytes.Equal(text, []byte("precious")) {
		t.Errorf("the file has %q", text)
	}
}

// A client that stops to read a recording is waited for as long as a part may take, and one that reads slowly is not cut off.
func TestPacedAnswer(t *testing.T) {
	w := &deadlines{header: http.Header{}}
	until := time.Now().Add(time.Hour)
	p := &paced{ResponseWriter: w, until: until}
	n, err := p.Write(make([]byte, 3*pacedPart+1))
	if n != 3*pacedPart+1 || err != nil || len(w.set) != 4 {
		t.Errorf("%d, %v, %d deadlines", n, err, len(w.set))
	}
	for _, d := range w.set {
		if left := time.Until(d); left > writeTimeout || left < writeTimeout/2 {
			t.Errorf("a part may take %v", left)
		}
	}
	p.until = time.Now().Add(time.Second)
	_, _ = p.Write([]byte("x"))
	if !w.set[4].Equal(p.until) {
		t.Errorf("the last part may take until %v, and the whole until %v", w.set[4], p.until)
	}
}

// deadlines is an answer whose write deadlines are noted.
type deadlines struct {
	header http.Header
	set    []time.Time
}

func (d *deadlines) Header() http.Header                { return d.header }
func (d *deadlines) Write(b []byte) (int, error)        { return len(b), nil }
func (d *deadlines) WriteHeader(int)                    {}
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.set = append(d.set, t); return nil }
