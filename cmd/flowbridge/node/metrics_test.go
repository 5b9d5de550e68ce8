package node

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/cmd/flowbridge/node/resources"
	"flowbridge/config"
	"flowbridge/sim/siptest"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
	"flowbridge/telemetry"
)

// seen notes what a watcher is told, and when.
type seen struct{ told []string }

func (s *seen) Changed(r record.Record) { s.told = append(s.told, "changed "+r.ID) }
func (s *seen) Ended(r record.Record)   { s.told = append(s.told, "ended "+r.ID) }

// brokenSink refuses records.
type brokenSink struct{ of *seen }

func (b brokenSink) Journal(record.Record, []byte) { b.of.told = append(b.of.told, "journal") }

func (b brokenSink) Owe(string, []byte) {}

func (b brokenSink) Put(context.Context, record.Record) error {
	b.of.told = append(b.of.told, "put")
	return errors.New("refused")
}

func (b brokenSink) Keep(ctx context.Context, r *record.Record, _ []byte, done func(error)) {
	done(b.Put(ctx, *r))
}

// The figures and the page have the end of a call before the database has it, others afterwards, and a record that was refused counts.
func TestWatchedSink(t *testing.T) {
	all := &seen{}
	refused := 0
	s := &watchedSink{Sink: brokenSink{all}, counts: all, events: all, watchers: []watcher{all}, refused: func() { refused++ }}
	s.Journal(record.Record{ID: "1"}, nil)
	if err := s.Put(t.Context(), record.Record{ID: "1"}); err == nil || refused != 1 {
		t.Errorf("%v, refused %d", err, refused)
	}
	var kept error
	s.Keep(t.Context(), &record.Record{ID: "2"}, nil, func(err error) { kept = err })
	if kept == nil || refused != 2 {
		t.Errorf("%v, refused %d", kept, refused)
	}
	if want := []string{"journal", "changed 1", "changed 1", "changed 1", "ended 1", "ended 1", "put", "ended 1", "ended 2", "ended 2", "put", "ended 2"}; !slices.Equal(all.told, want) {
		t.Errorf("told %q; want %q", all.told, want)
	}
}

// wantDocumented takes figures, and fails for each that is not in the documents.
func wantDocumented(t *testing.T) telemetry.Add {
	t.Helper()
	page := read(t, "../../../docs/metrics.md")
	return func(name, _ string, _ float64, _ ...string) {
		if !strings.Contains(page, "| `flowbridge_"+name) {
			t.Errorf("docs/metrics.md does not have flowbridge_%s", name)
		}
	}
}

// Each metric of a part is in the documents, also of parts that no test with a Prometheus has.
func TestPartsAreDocumented(t *testing.T) {
	documented := wantDocumented(t)
	none := func() uint64 { return 0 }
	fleetGauges(documented, fleet.Status{})
	exporting("traces", "Traces of calls", none, none)(documented)
	exporting("hep_packets", "HEP packets", none, none)(documented)
	gaugesOfSeat(documented, "east", 1, 0, 0, 0)
	t.Setenv("GOGC", "100") // so the collector of the tests stays as it is
	t.Setenv("GOMEMLIMIT", "off")
	memory := resources.Govern(t.Context(), zerolog.Nop())
	defer memory.Close()
	memory.Gauges(documented)
}

// The page shows a certificate that peers refuse before one that ends soon.
func TestWorstCertificate(t *testing.T) {
	fine := config.Certificate{File: "fine.pem"}
	soon := config.Certificate{File: "soon.pem", Problem: "ends"}
	ended := config.Certificate{File: "ended.pem", Problem: "ended", Refused: true}
	for want, all := range map[string][]config.Certificate{
		"":                {fine},
		"soon.pem ends":   {fine, soon, fine},
		"ended.pem ended": {soon, ended, soon},
	} {
		if got := worstCertificate(all); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

// A node says when its certificates end, and how many items wait, as soon as it runs.
func TestSampled(t *testing.T) {
	dir := t.TempDir()
	cert := siptest.NewAuthority(t, "node").File
	key := cert + ".key"
	secret := filepath.Join(dir, "secret")
	must(t, os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600))
	n := startNode(t, `
sip: {listen: ["tls://127.0.0.1:0"], tls: {cert: "`+cert+`", key: "`+key+`"}}
store: {path: "`+filepath.Join(dir, "c.db")+`", ladders: off}
admin: {listen: "127.0.0.1:0"}
webhooks: [{name: crm, url: "http://127.0.0.1:9", secret_file: "`+secret+`"}]
`, os.LookupEnv)
	waitFor(t, "the figures are taken", func() bool { return !n.figures.sampled.Load().at.IsZero() })
	g := n.figures.gauges()
	var outbox []string
	expiries := map[string]float64{}
	g.More(func(name, _ string, value float64, labels ...string) {
		switch name {
		case "outbox_records":
			outbox = append(outbox, fmt.Sprintf("%v %v", labels, value))
		case "certificate_expiry_timestamp_seconds":
			expiries[labels[1]] = value
		}
	})
	if expiries[cert] <= 0 {
		t.Errorf("certificates: %v", expiries)
	}
	if !slices.Contains(outbox, "[consumer webhook:crm] 0") {
		t.Errorf("outbox: %v", outbox)
	}
}

// A scrape returns one flowbridge_circuit_state for each target's SIP side and one for its API, and logs no error.
func TestCircuitsAreScraped(t *testing.T) {
	n := startNode(t, `
sip: {listen: ["udp://127.0.0.1:0"]}
trunks:
  - {name: carrier, sources: [127.0.0.2]}
targets:
  - {name: one, kind: http, uri: "sip:{{.Prepare.CallID}}@127.0.0.2", prepare: {url: "http://127.0.0.2:9/calls", id: id}}
  - {name: two, kind: http, uri: "sip:{{.Prepare.CallID}}@127.0.0.2", prepare: {url: "http://127.0.0.3:9/calls", id: id}}
routes:
  - {targets: [one, two]}
store: {path: "`+filepath.Join(t.TempDir(), "c.db")+`", ladders: off}
admin: {listen: "127.0.0.1:0"}
`, os.LookupEnv)
	var complaints strings.Builder
	w := httptest.NewRecorder()
	n.metrics.Handler(zerolog.New(&complaints)).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if w.Code != 200 || complaints.Len() > 0 {
		t.Errorf("%d, log %q", w.Code, complaints.String())
	}
	for _, want := range []string{`{of="api",target="one"}`, `{of="sip",target="one"}`, `{of="api",target="two"}`, `{of="sip",target="two"}`} {
		if strings.Count(w.Body.String(), "flowbridge_circuit_state"+want+" 0\n") != 1 {
			t.Errorf("there is not one %s in\n%s", want, w.Body)
		}
	}
	if want := `flowbridge_calls_total{cause="prepare_failed",disposition="failed",placed="false",target="two",trunk="carrier"} 0`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("there is no %s: a first failure would be no increase", want)
	}
}
