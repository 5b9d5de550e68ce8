package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/store/record"
)

// reload gives the server this new configuration.
func (w *world) reload(yaml string) {
	w.t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(yaml), func(string) (string, bool) { return "secret", true })
	must(w.t, err)
	w.server.Reload(cfg, map[string]peers.Preparer{"agent": w.prepare})
}

// otherTargets exchanges the targets' addresses in testConfig.
var otherTargets = strings.NewReplacer("192.0.2.20:32681", "192.0.2.21:32681", "192.0.2.21:32681", "192.0.2.20:32681").Replace(testConfig)

// A call in set-up keeps the old configuration's targets, trunk and limits. The next call
// uses the new configuration.
func TestReloadDuringSetup(t *testing.T) {
	inWorld(t, func(w *world) {
		w.prepare.after = time.Second
		old := w.carrier.newCall("+15085785607") // its targets are agent, then spare
		w.carrier.invite(old)
		synctest.Wait()
		w.reload(strings.Replace(otherTargets, "max_duration: 1h", "max_duration: 30s", 1))
		w.agent.concludes(w.agent.expect("INVITE"), 503, "Service Unavailable", "a", "")
		invite := w.agent2.expect("INVITE")
		w.carrier.isTakenBy(w.agent2, invite, "b", old)

		d, second := w.carrier.callsAt(w.agent2, "+15075785607")
		w.carrier.isTakenBy(w.agent2, second, "c", d)
		w.agent2.reply(w.agent2.expect("BYE"), 200, "OK", "", "") // the agent's call ends half a minute later
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.wantRecord("answered", cause.MaxDuration, record.EndedBySystem)

		w.callerEnds(w.agent2, old)
	})
}

// Established calls count for the caps of trunks and targets with the same name, even if
// these were removed in between.
func TestReloadKeepsCounts(t *testing.T) {
	capped := func(trunk, target string) string {
		return strings.NewReplacer("max_duration: 1h", "max_duration: 1h, max_calls: "+trunk,
			"kind: synthflow", "kind: synthflow, max_calls: "+target,
			"- name: agent\n    kind: synthflow", "- name: agent\n    max_calls: "+target+"\n    kind: synthflow").Replace(testConfig)
	}
	inWorld(t, func(w *world) {
		d, _ := w.established()
		try := func(want string) {
			t.Helper()
			over := w.carrier.dials("+15075785607")
			m := w.carrier.expect("SIP/2.0 ")
			for m.res().StatusCode < 200 {
				m = w.carrier.expect("SIP/2.0 ")
			}
			if !strings.HasPrefix(m.raw, "SIP/2.0 "+want) {
				t.Errorf("refused with\n%s\nwant %s", m.raw, want)
			}
			over.learn(m)
			w.carrier.ackRefused(over)
		}
		w.reload(capped("1", "0"))
		try("503")
		if n := w.server.Rejected().Full.Load(); n != 1 {
			t.Errorf("%d refused as full; want 1", n)
		}
		w.reload(capped("9", "1"))
		try("503")
		if r := w.record(); r.Cause != string(cause.TargetCapped) {
			t.Errorf("the record says %s", r.Cause)
		}
		w.reload(strings.NewReplacer("name: carrier", "name: other", "trunk: carrier", "trunk: other", "agent", "elsewhere").Replace(testConfig))
		w.reload(capped("1", "1"))
		try("503")
		w.callerEnds(w.agent, d)
		d, _ = w.established()
		w.callerEnds(w.agent, d)
		w.reload(strings.NewReplacer("name: carrier", "name: other", "trunk: carrier", "trunk: other", "name: spare", "name: rest", "spare]", "rest]").Replace(testConfig))
		open := w.admission.Open()
		if _, kept := open.Targets["spare"]; kept || len(open.Trunks) != 1 || len(open.Targets) != 2 {
			t.Errorf("tallies of what is gone are kept: %v, %v", open.Trunks, open.Targets)
		}
	})
}

// Calls of a trunk that a reload has removed continue, but new messages from its address
// come from a stranger.
func TestReloadWithoutTrunk(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.established()
		w.reload(strings.Replace(testConfig, `sources: ["192.0.2.10"]`, `sources: ["192.0.2.99"]`, 1))
		w.carrier.invite(w.carrier.newCall("+15075785607"))
		w.carrier.silent(time.Second)
		w.agent.agentHangsUpOn(w.carrier, invite, "agent1", 1)
		w.wantRecord("answered", cause.AgentHangup, record.EndedByAgent)
		_ = d
	})
}

// This test lets reloads, calls and queries run at the same time, for the race detector.
func TestReloadRaces(t *testing.T) {
	inWorld(t, func(w *world) {
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					w.reload(testConfig)
				}
			}
		}()
		defer func() {
			close(stop)
			<-done
		}()
		for range 20 {
			d, _ := w.established()
			w.server.Live(w.t.Context())
			w.callerEnds(w.agent, d)
			time.Sleep(3 * time.Millisecond)
		}
	})
}
