package node

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/internal/pgtest"
)

// seatedConfig is that of a node with the seat east, whose files are in dir.
func seatedConfig(t *testing.T, dir, url string) *config.Config {
	t.Helper()
	files := t.TempDir()
	for name, text := range map[string]string{"dsn": url, "key": "0123456789abcdef0123456789abcdef"} {
		must(t, os.WriteFile(filepath.Join(files, name), []byte(text+"\n"), 0o600))
	}
	cfg, err := config.Parse("f.yaml", fmt.Appendf(nil, `
sip: {listen: ["udp://127.0.0.1:0"]}
media: {listen: [127.0.0.1], engine: userspace}
store: {path: %s/calls.db}
admin: {listen: "unix://%s/admin.sock"}
fleet: {dsn_file: %[3]s/dsn, node: a, takeover: {seat: east, key_file: %[3]s/key}}
`, dir, dir, files), nil)
	must(t, err)
	return cfg
}

// A node whose seat another one has taken begins anew. With the word that it does so, it waits for the database, shows
// whose the seat is, and ends when it is told.
func TestSeatTakenByAnother(t *testing.T) {
	url, dir, log := pgtest.Shared(t).Database(), t.TempDir(), &logged{}
	anew := make(chan struct{})
	n, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), Options{beginAnew: func() { close(anew) }})
	must(t, err)
	if epoch, _, _ := n.seat.Figures(); epoch != 1 {
		t.Errorf("epoch %d", epoch)
	}
	pgtest.Exec(t, url, `UPDATE flowbridge_seats SET owner = 'other', node = 'b', epoch = 2, renewed_at = clock_timestamp() + interval '4 seconds'`)
	<-anew
	if !strings.Contains(log.String(), "the seat is node b's since") || os.Getenv(silenced) == "" {
		t.Error("it does not say why it falls silent, or not that it has")
	}
	t.Cleanup(func() { _ = os.Unsetenv(silenced) })
	must(t, n.Close())
	signals := make(chan os.Signal, 1)
	o := Options{signals: signals, standsBy: func(string) {
		client := http.Client{Transport: &http.Transport{DialContext: dialSocket(dir + "/admin.sock")}}
		for path, want := range map[string]string{
			"/readyz": "which is node b's since", "/metrics": "flowbridge_seat_epoch{seat=\"east\"} 0", "/api/calls": `"items":[]`,
		} {
			res, err := client.Get("http://flowbridge" + path)
			if err != nil {
				t.Error(err)
				continue
			}
			var text bytes.Buffer
			_, _ = text.ReadFrom(res.Body)
			_ = res.Body.Close()
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s says %s", path, &text)
			}
		}
		signals <- syscall.SIGTERM
	}}
	if _, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), o); !errors.Is(err, errStoodBy) {
		t.Error(err)
	}
}

// Without the database, the node that had the seat last serves, but not if it has fallen silent: then it waits.
func TestSeatWithoutDatabase(t *testing.T) {
	pg := pgtest.Start(t)
	url, dir, log := pg.Database(), t.TempDir(), &logged{}
	n, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), Options{})
	must(t, err)
	pg.Stop()
	must(t, n.Close())
	n, err = Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), Options{})
	must(t, err)
	if epoch, _, _ := n.seat.Figures(); epoch != 1 || !strings.Contains(log.String(), "this node had it last, and serves") {
		t.Errorf("epoch %d", epoch)
	}
	must(t, n.Close())
	t.Setenv(silenced, "1")
	waits := make(chan struct{})
	served := make(chan *Node)
	go func() {
		n, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), Options{standsBy: func(string) { close(waits) }})
		if err != nil {
			t.Error(err)
		}
		served <- n
	}()
	<-waits
	pg.Run()
	n = <-served
	if epoch, _, _ := n.seat.Figures(); epoch != 2 {
		t.Errorf("epoch %d", epoch)
	}
	must(t, n.Close())
}
