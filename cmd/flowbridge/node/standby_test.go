package node

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/internal/pgtest"
)

// logged are the lines of a log.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// standsBy starts a node that stands by: no machine has its address. The answer asks its admin API.
func standsBy(t *testing.T, url string) (get func(path string) (int, string), log *logged) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "a.sock")
	for name, text := range map[string]string{"dsn": url, "key": strings.Repeat("k", 32)} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600))
	}
	cfg, err := config.Parse("f.yaml", []byte(strings.NewReplacer("DIR", dir, "SOCKET", socket).Replace(`
sip: {listen: ["udp://192.0.2.77:5060"]}
media: {listen: ["192.0.2.77"]}
trunks: [{name: carrier, sources: ["192.0.2.1"]}]
targets: [{name: agent, kind: sip, uri: "sip:agent@192.0.2.2"}]
routes: [{trunk: carrier, targets: [agent]}]
store: {path: DIR/calls.db}
fleet: {dsn_file: DIR/dsn, caps: true, node: edge-2, takeover: {seat: east, key_file: DIR/key}}
admin: {listen: "unix://SOCKET"}
`)), os.LookupEnv)
	must(t, err)
	log = &logged{}
	signals, there, ended := make(chan os.Signal, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := Start(t.Context(), cfg, zerolog.New(log), Options{
			signals: signals, standsBy: func(string) { close(there) }, beginAnew: func() {},
		})
		ended <- err
	}()
	t.Cleanup(func() {
		signals <- syscall.SIGTERM
		if err := <-ended; !errors.Is(err, errStoodBy) {
			t.Errorf("ended by %v", err)
		}
	})
	select {
	case <-there:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dialSocket(socket), DisableKeepAlives: true}}
	return func(path string) (int, string) {
		t.Helper()
		res, err := client.Get("http://localhost" + path) //nolint:noctx // of this test
		must(t, err)
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, string(body)
	}, log
}

// The metrics of a standby are whole: those of its parts, and none of parts that it does not have yet.
func TestStandbyMetrics(t *testing.T) {
	t.Parallel()
	get, log := standsBy(t, pgtest.Shared(t).Database())
	status, body := get("/metrics")
	for _, want := range []string{"\nflowbridge_seat_epoch{seat=\"east\"} 0\n", "\nflowbridge_fleet_reached 1\n"} {
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d without %q:\n%s", status, want, body)
		}
	}
	if text := log.String(); strings.Contains(text, "metrics incomplete") {
		t.Error(text)
	}
}

func dialSocket(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}
