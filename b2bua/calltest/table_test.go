package calltest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/redirected"
	"flowbridge/b2bua/report"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// tableYAML is testConfig with a table of numbers, and with four routes: for numbers whose row names a route, for all
// other numbers in the table, for calls that a PBX hands over, and for all other calls.
func tableYAML(t *testing.T, rows string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "numbers.csv")
	must(t, os.WriteFile(file, []byte("number,route,targets,agent\n"+rows), 0o600))
	return "numbers: " + file + strings.NewReplacer(`X-Empty: "{{.Header \"X-None\"}}"`, `X-Agent: "{{.Row.agent}}"`,
		`@192.0.2.21:32681"`, `@192.0.2.21:32681", headers: {X-Agent: "{{.Row.agent}}"}`).Replace(testConfig[:strings.Index(testConfig, "routes:")]) + `routes:
  - {name: support, listed: true, targets: [spare]}
  - {name: any, listed: true, targets: [agent]}
  - {name: handed, listed: true, from: "^\\+1666", targets: [spare], direction: outbound}
  - {targets: [spare]}
`
}

const tableRows = "+15075785601,support,,a-1\n+15075785602,,,a-2\n+15075785603,any,spare agent,a-3\n+16665550100,handed,,a-4\n"

// callBy places a call that the agent at answers. It returns the INVITE to that agent, and the record.
func (w *world) callBy(from, to string, at *peer) (received, record.Record) {
	w.t.Helper()
	d := w.carrier.newCall(to)
	d.from = strings.Replace(d.from, "+15075550100", from, 1)
	invite := w.carrier.ringsAt(at, d)
	w.carrier.isTakenBy(at, invite, "x", d)
	w.callerHangsUpAt(at, d)
	return invite, w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
}

// TestTableChoosesRoute: the row of the called number decides the route and the targets of the call. Templates can use
// the row's values.
func TestTableChoosesRoute(t *testing.T) {
	inWorldWith(t, tableYAML(t, tableRows), func(w *world) {
		for _, tt := range []struct {
			from, to, route, target, agent string
			at                             *peer
		}{
			{"+15075550100", "+15075785601", "support", "spare", "a-1", w.agent2},
			{"+15075550100", "+15075785602", "support", "spare", "a-2", w.agent2}, // the route's first target
			{"+15075550100", "+15075785603", "any", "spare", "a-3", w.agent2},     // the targets that the row names
			{"+15075550100", "+15075785699", "routes[3]", "spare", "", w.agent2},
			{"+16665550100", "+15075785699", "handed", "spare", "a-4", w.agent2}, // the PBX has called the number
			{"+16665550100", "+15075785601", "support", "spare", "a-1", w.agent2},
		} {
			invite, r := w.callBy(tt.from, tt.to, tt.at)
			if r.Route != tt.route || r.Target != tt.target || invite.value("X-Agent") != tt.agent {
				t.Errorf("%s: got route %q, target %q, agent %q", tt.to, r.Route, r.Target, invite.value("X-Agent"))
			}
		}
	})
}

// TestTableReloaded: a call in progress keeps the table with which it began, and the next call uses the new table.
func TestTableReloaded(t *testing.T) {
	inWorldWith(t, tableYAML(t, tableRows), func(w *world) {
		w.reload(tableYAML(t, "+15075785601,any,,b-1\n"))
		if invite, r := w.callBy("+15075550100", "+15075785601", w.agent); r.Route != "any" || invite.value("X-Agent") != "b-1" {
			t.Errorf("got route %q, agent %q", r.Route, invite.value("X-Agent"))
		}
		if invite, r := w.callBy("+15075550100", "+15075785602", w.agent2); r.Route != "routes[3]" || invite.value("X-Agent") != "" {
			t.Errorf("got route %q, agent %q", r.Route, invite.value("X-Agent"))
		}
		w.reload(testConfig)
		if _, r := w.callBy("+15075550100", "+15075785601", w.agent); r.Route != "routes[0]" {
			t.Errorf("got route %q", r.Route)
		}
	})
}

// TestTableOutlivesProcess: a call that another process continues finds its row again, for the target that replaces the
// agent.
func TestTableOutlivesProcess(t *testing.T) {
	inWorldWith(t, tableYAML(t, "+15075785607,any,,a-7\n"), func(w *world) {
		d, _ := w.established()
		time.Sleep(2 * flushDelay)
		w.restart()
		for _, p := range []*peer{w.carrier, w.agent} {
			p.reply(p.expect("OPTIONS"), 200, "OK", "", "")
		}
		synctest.Wait()
		if live := w.server.Live(w.t.Context()); len(live) != 1 || live[0].Vars.Row["agent"] != "a-7" || live[0].Record.Route != "any" {
			t.Errorf("got %+v", live)
		}
		w.callerEnds(w.agent, d)
	})
}

// TestTableOfRedirectedCalls: the row can also be used in calls that another party dials.
func TestTableOfRedirectedCalls(t *testing.T) {
	inWorldWith(t, tableYAML(t, tableRows), func(w *world) {
		r := w.server.Redirected(redirected.Options{Targets: []string{"spare"}})
		defer r.Close()
		for to, agent := range map[string]string{"+15075785602": "a-2", "+15075785699": ""} {
			got, err := r.Begin(w.t.Context(), template.Vars{CallID: record.NewID(), To: redirected.PartyOf(to), From: redirected.PartyOf("+15075550100")}, "")
			if err != nil || len(got.Headers) > 0 != (agent != "") || agent != "" && got.Headers[0].Value != agent {
				t.Errorf("%s: got %+v, %v", to, got, err)
			}
		}
	})
}

// TestExplainTable: explain shows the row, and why a route that uses the table does not match.
func TestExplainTable(t *testing.T) {
	cfg := testConfigured(t, tableYAML(t, tableRows))
	for to, want := range map[string]string{
		"+15075785601": "support it matches the table of numbers | agent a-1",
		"+15075785603": "support the table of numbers has route any for +15075785603 | any it matches the table of numbers | agent a-3",
		"+15075785699": "support the number +15075785699 is not in the table of numbers | any the number +15075785699 is not in the table of numbers | " +
			"handed the calling number +15075550100 does not match from: ^\\+1666 | routes[3] it takes every call | agent ",
	} {
		x, err := b2bua.Explain(cfg, nil, report.Question{From: "+15075550100", To: to})
		var all []string
		for _, r := range x.Routes {
			all = append(all, r.Route+" "+r.Why)
		}
		if got := strings.Join(append(all, "agent "+x.Row["agent"]), " | "); got != want || err != nil {
			t.Errorf("%s: got %s, %v", to, got, err)
		}
	}
}
