package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/internal/pgtest"
	"flowbridge/internal/testlog"
	"flowbridge/store"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
)

// standsBy starts a node that stands by: no machine has its address. The answer asks its admin API.
func standsBy(t *testing.T, url string) (get func(path string) (int, string), log *testlog.Log) {
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
	log = &testlog.Log{}
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
		method, rest, posts := strings.Cut(path, " ")
		if !posts {
			method, rest = http.MethodGet, path
		}
		req, err := http.NewRequest(method, "http://localhost"+rest, http.NoBody)
		must(t, err)
		res, err := client.Do(req)
		must(t, err)
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, string(body)
	}, log
}

// A standby's metrics are whole: all of its parts, and none of parts that it does not have yet.
func TestStandbyMetrics(t *testing.T) {
	t.Parallel()
	get, log := standsBy(t, pgtest.Shared(t).Database())
	for _, want := range []string{"\nflowbridge_seat_epoch{seat=\"east\"} 0\n", "\nflowbridge_fleet_reached 1\n"} {
		waitFor(t, "/metrics has"+want, func() bool {
			status, body := get("/metrics")
			return status == http.StatusOK && strings.Contains(body, want)
		})
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

// A standby shows the fleet, and the live calls of seats that have its secret. It says where a ladder of them is.
func TestStandbyShowsTheFleet(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	get, _ := standsBy(t, url)
	kept, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "calls.db"))
	must(t, err)
	defer kept.Close()
	other, err := fleet.Open(t.Context(), fleet.Options{
		URL: url, Node: "edge-1", Version: "test", Key: kept.Key(), Outbox: kept, Log: zerolog.Nop(),
		Seat: &fleet.SeatOptions{Name: "west", Secret: strings.Repeat("k", 32)},
	})
	must(t, err)
	defer other.Close()
	waitFor(t, "the database answers in time", func() bool {
		_, _, err := other.Seat.Take(t.Context(), false)
		return err == nil
	})
	other.Join(nil)
	kept.Replicate(other.Seat)
	const id = "0198c3f1-7f0a-4c1e-9d52-3b6a5f0d2e11"
	now := record.TimeOf(time.Now())
	kept.Journal(record.Record{ID: id, Node: "before", StartedAt: now, DialedAt: now, AnsweredAt: now}, []byte("state"))
	must(t, other.Seat.Flush(t.Context()))
	for _, tt := range []struct {
		path   string
		status int
		says   []string
	}{
		{"/api/fleet", 200, []string{
			`"node":"edge-1"`, `"state":"live"`, `"part":1,"of":1`, `"node":"edge-2"`, `"state":"standby"`, `"seat":"west"`,
			`"numbers":"none"`, `"lease":"`,
		}},
		{"/api/calls?fleet=true", 200, []string{id, `"seat":"west"`, `"node":"edge-1"`, `"phase":"bridged"`, `"hidden":0`}},
		{"/api/calls/" + id, 200, []string{`"node":"edge-1"`}},
		{"/api/calls/" + id + "/ladder", 404, []string{`node \"edge-1\" has it`}},
		{"/api/recordings/2026/11/20/" + id + ".wav", 404, []string{"there is no recording"}},
		{"/api/calls", 200, []string{`"items":[]`}},
		{"/api/targets", 503, []string{"standing by for the seat east", "flowbridge fleet"}},
		{"POST /api/calls", 503, []string{"standing by for the seat east"}},
		{"POST /api/calls/" + id + "/hold", 503, []string{"standing by for the seat east"}},
		{"/none", 404, []string{"no such path"}},
	} {
		waitFor(t, fmt.Sprintf("%s answers %d with %q", tt.path, tt.status, tt.says), func() bool {
			status, body := get(tt.path)
			lacks := func(want string) bool { return !strings.Contains(body, want) }
			return status == tt.status && !slices.ContainsFunc(tt.says, lacks)
		})
	}
}

// Other machines reach an admin API at an address of this one.
func TestWhereTheAPIIs(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:8080": "", "[::1]:8080": "", "unix:///run/a.sock": "", "0.0.0.0:8080": "", "[::]:8080": "",
		"203.0.113.5:8080": "http://203.0.113.5:8080", "[2001:db8::1]:80": "http://[2001:db8::1]:80",
	} {
		token := filepath.Join(t.TempDir(), "token")
		must(t, os.WriteFile(token, []byte(strings.Repeat("t", 32)+"\n"), 0o600))
		cfg, err := config.Parse("f.yaml", []byte("admin: {listen: \""+text+"\", token_file: "+token+"}"), os.LookupEnv)
		must(t, err)
		if got := apiURL(cfg.Admin.Listen); got != want {
			t.Errorf("%s: %q; want %q", text, got, want)
		}
	}
}
