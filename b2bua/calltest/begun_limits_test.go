package calltest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
)

// Calls that the old process had admitted restart all at the same moment. The rates do not refuse them.
func TestRatesOfCallersThatBeginAgain(t *testing.T) {
	for name, tt := range map[string]struct{ trunk, target string }{
		"of the target": {"", "max_cps: 1"},
		"of the trunk":  {"max_cps: 1", ""},
	} {
		runIn(t, name, talkYAML(tt.trunk, tt.target), func(w *world) {
			w.served(w.agent, w.carrier.dialsTillRung("+15075785607"))
			time.Sleep(2 * time.Second)
			var dialed []received
			for range 2 {
				w.carrier.dialsTillRung("+15075785607")
				dialed = append(dialed, w.agent.expect("INVITE"))
				w.agent.reply(dialed[len(dialed)-1], 180, "Ringing", "agent2", "")
				time.Sleep(2 * time.Second)
			}
			w.ringOn()
		})
	}
}

// Callers that wait for a target's rate continue to wait after an upgrade. A call that already had a place at the
// target is admitted whatever the rate.
func TestWaitersForARateWaitOn(t *testing.T) {
	yaml := strings.NewReplacer("max_calls: 1", "max_cps: 1").Replace(soundingQueue(""))
	inWorldWith(t, yaml, func(w *world) {
		for n := range 8 {
			w.carrier.dials(fmt.Sprintf("+1507578000%d", n))
		}
		synctest.Wait()
		w.carrier.rest()
		before := len(invites(w.agent.rest()))
		w.upgraded()
		if again := len(invites(w.agent.rest())); before != 1 || again > 2 { // the first call, and the first waiting one
			t.Errorf("%d were dialled, and %d after the upgrade", before, again)
		}
		w.server.HangupAll()
		w.drain(3 * time.Minute)
	})
}

// invites returns the INVITEs among messages.
func invites(all []received) []received {
	return slices.DeleteFunc(all, func(m received) bool { return !strings.HasPrefix(m.raw, "INVITE ") })
}

// If a call waits at its first target but has a place at its second one, an upgrade keeps that place.
func TestPlaceAtTheSecondTargetIsKept(t *testing.T) {
	yaml := strings.NewReplacer("@192.0.2.21:32681\", max_calls: 1", "@192.0.2.21:32681\", max_cps: 1", "1509\", targets: [agent]", "1509\", targets: [agent, spare]").Replace(queueConfig)
	inWorldWith(t, yaml, func(w *world) {
		w.served(w.agent, w.carrier.dialsTillRung("+15095780001"))
		for n := range 3 {
			w.carrier.dialsTillRung(fmt.Sprintf("+1509578001%d", n))
			w.agent2.reply(w.agent2.expect("INVITE"), 180, "Ringing", "spare", "")
			time.Sleep(2 * time.Second)
		}
		w.ringOn()
	})
}

// The record keeps the old process's attempts that sent an INVITE. The new process repeats the other attempts, so the
// record would otherwise have them twice.
func TestAttemptsOfCallersThatBeginAgain(t *testing.T) {
	inWorldWith(t, strings.Replace(queueConfig, `1509", targets: [agent]`, `1509", targets: [agent, spare]`, 1), func(w *world) {
		first := w.carrier.dialsTillRung("+15095780001")
		w.agent.concludes(w.agent.expect("INVITE"), 503, "Service Unavailable", "agent", "")
		w.agent2.reply(w.agent2.expect("INVITE"), 180, "Ringing", "spare", "")
		second := w.carrier.dialsTillRung("+15085780002")
		w.agent.reply(w.agent.expect("INVITE"), 180, "Ringing", "agent", "")
		third := w.carrier.dialsTillRung("+15075780003")
		w.upgraded()
		for d, want := range map[*dialogue]int{first: 1, second: 0, third: 0} {
			sent := 0
			call, _ := w.callTo(d.to)
			for _, a := range call.Record.Attempts {
				if a.SIPCallID != "" {
					sent++
				}
			}
			if sent != want {
				t.Errorf("%s: %d attempts with an INVITE before; want %d", d.to, sent, want)
			}
		}
		waits, _ := w.callTo(third.to)
		capped := waits.Record.Attempts
		if len(capped) != 1 || capped[0].Cause != string(cause.TargetCapped) {
			t.Errorf("who waits has %+v", capped)
		}
		w.server.HangupAll()
		w.drain(3 * time.Minute)
	})
}

// ringOn upgrades the server, checks that callers get nothing but another 180, and ends all calls.
func (w *world) ringOn() {
	w.t.Helper()
	w.upgraded()
	for _, m := range w.carrier.rest() {
		if !strings.HasPrefix(m.raw, "SIP/2.0 180") {
			w.t.Errorf("a caller that heard ringing got\n%s", m.raw)
		}
	}
	w.server.HangupAll()
	w.drain(3 * time.Minute)
}

// TestBegunUnderAnotherTrunk: an upgrade renames the trunk of a call that restarts. The call then belongs to the trunk
// with the new name. If no trunk has the caller's address any more, the call is not restarted.
func TestBegunUnderAnotherTrunk(t *testing.T) {
	for name, into := range map[string]string{
		"renamed": `{name: carrier2, sources: ["192.0.2.10"], country: "1"}`,
		"gone":    `{name: carrier2, sources: ["192.0.2.99"], country: "1"}`,
	} {
		runIn(t, name, queueConfig, func(w *world) {
			d := w.carrier.dialsTillRung("+15095780001")
			w.agent.reply(w.agent.expect("INVITE"), 180, "Ringing", "agent", "")
			synctest.Wait()
			yaml := strings.Replace(queueConfig, `{name: carrier, sources: ["192.0.2.10"], country: "1"}`, into, 1)
			var err error
			w.options.Config, err = config.Parse("test.yaml", []byte(yaml), nil)
			must(w.t, err)
			w.upgraded()
			call, lives := w.callTo(d.to)
			if lives != (name == "renamed") || lives && call.Record.Trunk != "carrier2" {
				w.t.Errorf("lives: %v, of the trunk %q", lives, call.Record.Trunk)
			}
			w.server.HangupAll()
			w.drain(3 * time.Minute)
		})
	}
}
