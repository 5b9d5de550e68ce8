//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/store/record"
)

// crowd is a server with 30 calls that are up and well while something else goes wrong, and with what a receiver of its
// webhook was told.
type crowd struct {
	*stage
	*server

	agent, carrier *party
	up             []*partyCall
	began          string // its metrics before anything went wrong
	dropped        int64  // by the kernel, before anything was sent
	secret         string // the file with the webhook's secret

	mu   sync.Mutex
	told map[string]record.Record // by SIP Call-ID
}

// newCrowd starts a server with one trunk and the targets good, whose agent plays by the called number, and those of
// more. The number +15070000000 gets an agent that speaks all the time.
func newCrowd(t *testing.T, plays map[string]func(c *partyCall), head, targets, routes string) *crowd {
	s := newQuietStage(t)
	c := &crowd{
		stage: s, dropped: droppedByKernel(t), told: map[string]record.Record{}, secret: filepath.Join(t.TempDir(), "secret"),
	}
	must(t, os.WriteFile(c.secret, []byte("e2e-secret"), 0o600))
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct{ Record record.Record }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		c.told[m.Record.SIPCallID] = m.Record
		c.mu.Unlock()
	}))
	t.Cleanup(receiver.Close)
	s.agent = s.freePort(s.platform)
	c.server = startServer(t, t.TempDir(), fmt.Sprintf(`
trunks: [{name: carrier, sources: [%q], first_response_timeout: 1m}]
targets:
  - {name: good, kind: sip, uri: "sip:{{.To.Number}}@%v", first_response_timeout: 1m}
%s
routes:
%s
  - {trunk: carrier, targets: [good]}
store: {path: calls.db}
admin: {listen: "127.0.0.1:0"}
webhooks: [{name: crm, url: %q, secret_file: %q}]
`, s.carrier, s.agent, strings.ReplaceAll(targets, "@AGENT@", s.agent.String()), routes, receiver.URL, c.secret)+strings.ReplaceAll(head, "@B2BUA@", s.b2bua.String()))
	s.server = c.server
	c.agent = s.party(s.agent, "PCMU", func(call *partyCall) {
		if play := plays[call.user()]; play != nil {
			play(call)
			return
		}
		call.answers("200 OK", call.sdp())
		call.speaks(0, hissing, patience)
	})
	c.carrier = s.party(s.freePort(s.carrier), "PCMU", nil)
	for range 30 {
		call, status := c.carrier.call("+15070000000", patience)
		if status != "200" {
			t.Fatalf("a call gets %s", status)
		}
		c.up = append(c.up, call)
		go call.speaks(0, hissing, patience)
	}
	c.began = c.text("/metrics")
	return c
}

// hissing is a packet of noise, in which nobody can tell speech.
func hissing(i int) []byte {
	payload := make([]byte, frame)
	for k := range payload {
		payload[k] = byte(0x30 + (i*7919+k*k*31)%64 + (k%2)*0x80)
	}
	return payload
}

// call places a call, as Call-ID.
func (c *crowd) call(number string) *partyCall {
	c.Helper()
	call, status := c.carrier.call(number, patience)
	if status != "200" {
		c.Fatalf("the call to %s gets %s", number, status)
	}
	return call
}

// live returns what /api/calls says of a call.
func (c *crowd) live(call *partyCall) (found liveCall) {
	c.Helper()
	for _, one := range c.calls() {
		if one.SIPCallID == call.id {
			found = one
		}
	}
	return found
}

// record waits until a call has ended, and compares its record with what the webhook, cdr list and the page's API say.
func (c *crowd) record(call *partyCall) (r record.Record) {
	c.Helper()
	find := func(all []record.Record) bool {
		i := slices.IndexFunc(all, func(r record.Record) bool { return r.SIPCallID == call.id })
		if i >= 0 {
			r = all[i]
		}
		return i >= 0
	}
	eventually(c.T, "the call has a record", func() bool { return find(c.cdrs()) })
	if api := r; !find(c.cdrList()) || !slices.Equal(api.Problems, r.Problems) {
		c.Errorf("cdr list says %v, /api/cdrs %v", r.Problems, api.Problems)
	}
	eventually(c.T, "the webhook is told", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.told[call.id].ID != "" })
	c.mu.Lock()
	defer c.mu.Unlock()
	if hook := c.told[call.id]; !slices.Equal(hook.Problems, r.Problems) {
		c.Errorf("the webhook says %v; want %v", hook.Problems, r.Problems)
	}
	return r
}

// shown compares the lines of cdr list with the problems that a call has, and reads its page.
func (c *crowd) shown(page *tab, r record.Record, problems string, texts ...string) {
	c.Helper()
	got := slices.Clone(r.Problems)
	if late := r.Media.A.Late + r.Media.B.Late; late > 0 && !strings.Contains(problems, "loss") { // a party had no CPU
		got = slices.DeleteFunc(got, func(p string) bool { return p == "loss" })
	}
	if strings.Join(got, ",") != problems {
		c.Errorf("problems %q; want %q: %+v", r.Problems, problems, r.Media)
	}
	list := regexp.MustCompile(`(?m)^.*` + r.ID + `$`).FindString(c.prints("cdr", "list", "--db", filepath.Join(c.dir, "calls.db"), "--limit", "100"))
	if !slices.Contains(strings.Fields(list), strings.Join(r.Problems, ",")) {
		c.Errorf("cdr list prints %q", list)
	}
	page.open(c.admin + "/#/calls/" + r.ID)
	for _, text := range texts {
		page.reads(text)
	}
	if text := page.text(); strings.Contains(text, "Nothing is wrong") || strings.Contains(text, "NaN") {
		c.Errorf("the page says\n%s", text)
	}
}

// alerts makes promtool evaluate the shipped rules on what /metrics said before and says now, which lasts. Each of these
// alerts must fire.
func (c *crowd) alerts(want ...string) {
	c.Helper()
	c.alertsIn(c.text("/metrics"), want...)
}

// alertsIn is alerts with metrics that were read before.
func (c *crowd) alertsIn(metrics string, want ...string) {
	c.Helper()
	before, after := samples(c.began), samples(metrics)
	var series, tests strings.Builder
	for name, v := range after {
		values := v + "x100"
		if was, ok := before[name]; ok {
			values = was + "x4 " + values
		} else {
			values = "_x5 " + values
		}
		open := strings.Replace(name, "{", `{instance="node1",job="flowbridge",`, 1)
		if open == name {
			open += `{instance="node1",job="flowbridge"}`
		}
		fmt.Fprintf(&series, "      - {series: '%s', values: '%s'}\n", open, values)
	}
	for _, alert := range want {
		fmt.Fprintf(&tests, "      - {expr: 'count(max_over_time(ALERTS{alertname=%q,alertstate=\"firing\"}[100m])) > bool 0', eval_time: 100m, exp_samples: [{labels: \"{}\", value: 1}]}\n", alert)
	}
	rules, err := filepath.Abs(filepath.Join(prometheusFiles, "flowbridge.rules.yml"))
	must(c, err)
	file := filepath.Join(c.TempDir(), "alerts.yml")
	must(c, os.WriteFile(file, []byte("rule_files: ["+rules+"]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n"+
		series.String()+"    promql_expr_test:\n"+tests.String()), 0o600))
	if out, err := exec.Command("promtool", "test", "rules", file).CombinedOutput(); err != nil {
		c.Errorf("promtool: %v\n%s", err, out)
	}
}

// samples returns the lines of /metrics by series.
func samples(metrics string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(metrics) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") && !strings.Contains(name, "'") {
			if i := strings.LastIndexByte(strings.TrimSpace(line), ' '); i > len(name) {
				name, value = line[:i], strings.TrimSpace(line[i:])
			}
			all[name] = value
		}
	}
	return all
}

// wait waits for a moment of a scenario: how long the parties go on with what they do. No verdict depends on it.
func wait(d time.Duration) { <-time.After(d) }
