//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// monitoring is the directory with the repository's files for Prometheus and Grafana.
const (
	prometheusFiles = "../../../contrib/prometheus"
	dashboardFile   = "../../../contrib/grafana/flowbridge.json"
)

// prometheus is a real Prometheus that scrapes a server.
type prometheus struct {
	*process
	url string
}

// watch starts a Prometheus with the repository's configuration. It scrapes the server each second.
func (s *stage) watch() *prometheus {
	s.Helper()
	dir := s.TempDir()
	config, err := os.ReadFile(filepath.Join(prometheusFiles, "prometheus.yml"))
	must(s, err)
	text := replaceOnce(s.T, string(config), "127.0.0.1:8080", strings.TrimPrefix(s.server.admin, "http://"))
	text = strings.ReplaceAll(text, "15s", "1s")
	rules, err := os.ReadFile(filepath.Join(prometheusFiles, "flowbridge.rules.yml"))
	must(s, err)
	for name, content := range map[string][]byte{"prometheus.yml": []byte(text), "flowbridge.rules.yml": rules} {
		must(s, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	p := &prometheus{process: start(s.T, "prometheus", exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0"))}
	eventually(s.T, "Prometheus listens", func() bool {
		if p.ended() {
			s.Fatalf("prometheus ended: %v", p.err)
		}
		at, ok := p.find(`msg="Listening on" address=`)
		p.url = "http://" + at
		return ok
	})
	return p
}

// query returns the current values of an expression.
func (p *prometheus) query(expr string) (values []float64, err error) {
	res, err := client.Get(p.url + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Value [2]any
			}
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		var v float64
		if _, err := fmt.Sscan(text, &v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// is reports whether an expression has exactly this value.
func (p *prometheus) is(expr string, want float64) bool {
	got, err := p.query(expr)
	return err == nil && len(got) == 1 && got[0] == want
}

// alerts returns the expressions of the rules, by name.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(prometheusFiles, "flowbridge.rules.yml"))
	must(t, err)
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	must(t, yaml.Unmarshal(text, &file))
	all := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = r.Expr
		}
	}
	return all
}

// panels returns the expressions of the dashboard, by the panel's title and the line's letter, with Grafana's variables
// filled in.
func panels(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	must(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ RefID, Expr string }
		}
	}
	must(t, json.Unmarshal(text, &dashboard))
	all := map[string]string{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all[p.Title+" "+target.RefID] = strings.NewReplacer("$instance", ".*", "$__rate_interval", "1m").Replace(target.Expr)
		}
	}
	return all
}

// mayBeEmpty lists lines of the dashboard that only show something if it happens, or is configured.
var mayBeEmpty = []string{"Refused before they were calls A", "Not passed on A", "Calls and caps B", "Fleet A", "Fleet B", "Fleet C", "Fleet D", "Fleet E", "Fleet F"}

// TestPrometheus makes a real Prometheus scrape the server while it takes calls. Each query of the alerts and of the
// dashboard must be valid, name existing metrics, and return something.
func TestPrometheus(t *testing.T) {
	s := newQuietStage(t)
	platform := s.simulate()
	crm := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(crm.Close)
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("e2e-secret"), 0o600))
	const told = "}\n  - {to: \"^\\\\+1509\", targets: [synthflow], tell: {sound: beep}" // another route, without calls
	b := startServer(t, t.TempDir(), s.config(setup{route: told})+fmt.Sprintf("webhooks: [{name: crm, url: %q, secret_file: %q}]\n", crm.URL, secret))
	s.server = b
	prom := s.watch()

	up := start(t, "a call that stays up", s.callTo("+15075785607", "600"))
	eventually(t, "Prometheus has seen a live call", func() bool { return prom.is(`sum(flowbridge_calls_active{phase="bridged"})`, 1) })
	up.signal(syscall.SIGINT)
	up.exit()
	stop := b.scrapeAllTheTime()
	const calls = 3
	for range calls {
		s.callsBy(0, "+15075785607")
	}
	s.callsBy(1, "+15085785607") // there is no route
	platform.kill()
	s.callsBy(1, "+15075785607") // the API is away
	stop()
	eventually(t, "Prometheus has seen the calls", func() bool {
		return prom.is(`sum(flowbridge_calls_total)`, calls+3) && prom.is(`sum(flowbridge_calls_total{disposition="answered"})`, calls+1)
	})
	eventually(t, "Prometheus has seen the target fail", func() bool { return prom.is(`sum(flowbridge_attempts_total{cause="prepare_failed"})`, 1) })
	// By then there are two values from which a rate can be computed.
	eventually(t, "two scrapes later", func() bool {
		return prom.is(`count_over_time(flowbridge_attempts_total{cause="prepare_failed"}[1h]) >= bool 2`, 1)
	})

	// If the machine does too much else, the server is right to say so. promtool sees that this alert is quiet otherwise.
	starved := b.waited() > 3*time.Second // 5 % of a minute, if all of it was in the last one
	for name, expr := range alerts(t) {
		prom.knows(name, expr)
		if name == "FlowbridgeNoCPU" && starved {
			continue
		}
		if got, err := prom.query(expr); err != nil || len(got) > 0 {
			t.Errorf("%s: %v, %v; nothing is wrong", name, got, err)
		}
	}
	for name, expr := range panels(t) {
		prom.knows(name, expr)
		if got, err := prom.query(expr); err != nil || (len(got) == 0 && !slices.Contains(mayBeEmpty, name)) {
			t.Errorf("%s: %v, %v for %s", name, got, err, expr)
		}
	}
	b.documents()
}

// callsBy places a call. The command must end with this exit code.
func (s *stage) callsBy(code int, to string) {
	s.Helper()
	cmd := s.callTo(to, "1")
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != code {
		s.Errorf("call to %s: %v\n%s", to, err, out)
	}
}

// callTo returns a command that places a call from the carrier.
func (s *stage) callTo(to, seconds string) *exec.Cmd {
	cmd := exec.Command(program, "call", "--to", fmt.Sprintf("sip:%s@%s", to, s.server.sip), "--seconds", seconds, "--listen", s.carrier.String()+":0")
	cmd.Env = append(os.Environ(), "NO_COLOR=1", raceEnv)
	return cmd
}

// scrapeAllTheTime requests /metrics without a pause until it is stopped. It gets the metrics, or is told to wait.
func (s *server) scrapeAllTheTime() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				if status := s.status("/metrics"); status != http.StatusOK && status != http.StatusServiceUnavailable {
					s.t.Errorf("/metrics: %d", status)
					return
				}
			}
		})
	}
	return func() { cancel(); group.Wait() }
}

var metricName = regexp.MustCompile(`\b(flowbridge|process|go)_[a-z0-9_]+`)

// knows checks that each metric named in an expression exists, apart from the optional ones.
func (p *prometheus) knows(name, expr string) {
	p.t.Helper()
	for _, metric := range metricName.FindAllString(expr, -1) {
		if slices.Contains(optionalMetrics, metric) {
			continue
		}
		if got, err := p.query("count(" + metric + ")"); err != nil || len(got) != 1 {
			p.t.Errorf("%s: there is no %s (%v)", name, metric, err)
		}
	}
}

// documents checks the form of /metrics, and that docs/metrics.md lists exactly the metrics of Flowbridge.
func (s *server) documents() {
	s.t.Helper()
	res, err := client.Get(s.admin + "/metrics")
	must(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(s.t, err)
	lint := exec.Command("promtool", "check", "metrics")
	lint.Stdin = strings.NewReader(string(text))
	if out, err := lint.CombinedOutput(); err != nil {
		s.t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	page, err := os.ReadFile("../../../docs/metrics.md")
	must(s.t, err)
	said := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(flowbridge_[a-z0-9_]+)").FindAllStringSubmatch(string(page), -1) {
		said[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (flowbridge_[a-z0-9_]+)`).FindAllStringSubmatch(string(text), -1) {
		if !said[m[1]] {
			s.t.Errorf("docs/metrics.md does not have %s", m[1])
		}
		delete(said, m[1])
	}
	for name := range said {
		if !slices.Contains(optionalMetrics, name) {
			s.t.Errorf("docs/metrics.md has %s, which does not exist", name)
		}
	}
}

// optionalMetrics belong to parts that this server does not have, and to rescue and queue, which its agents do not
// trigger.
var optionalMetrics = []string{
	"flowbridge_fleet_nodes", "flowbridge_fleet_reached", "flowbridge_fleet_draining_ok", "flowbridge_fleet_nodes_vanished", "flowbridge_fleet_records_delivered_total",
	"flowbridge_seat_epoch", "flowbridge_calls_protected", "flowbridge_calls_unprotected", "flowbridge_states_not_awaited_total",
	"flowbridge_registration_failures", "flowbridge_registration_up", "flowbridge_registrar_contacts", "flowbridge_rescues_total",
	"flowbridge_queue_calls", "flowbridge_queue_limit", "flowbridge_queue_wait_seconds", "flowbridge_split_weight",
	"flowbridge_hep_packets_sent_total", "flowbridge_hep_packets_dropped_total", "flowbridge_traces_sent_total", "flowbridge_traces_dropped_total", "flowbridge_certificate_expiry_timestamp_seconds",
}

// TestAlerts makes promtool check the rules. Each alert must fire and stay quiet where it should.
func TestAlerts(t *testing.T) {
	newQuietStage(t)
	for _, args := range [][]string{{"check", "rules", "flowbridge.rules.yml"}, {"check", "config", "prometheus.yml"}, {"test", "rules", "flowbridge.tests.yml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = prometheusFiles
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tests, err := os.ReadFile(filepath.Join(prometheusFiles, "flowbridge.tests.yml"))
	must(t, err)
	for name := range alerts(t) {
		if n := strings.Count(string(tests), `alertname="`+name+`"`); n < 2 {
			t.Errorf("%s is tested %d times: it has to fire once, and not to once", name, n)
		}
	}
}
