package calltest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// limited returns testConfig with number limits for the trunk.
func limited(limits string) string {
	return strings.Replace(testConfig, "max_duration: 1h", "max_duration: 1h, limits: {"+limits+"}", 1)
}

// fromTo returns a call between two numbers.
func (p *peer) fromTo(from, to string) *dialogue {
	d := p.newCall(to)
	d.from = "<sip:" + from + "@192.0.2.10>;tag=ann"
	return d
}

// wantRefused checks that a call is refused with this status, and that its record has this
// cause.
func (w *world) wantRefused(d *dialogue, status int, why cause.Cause) {
	w.t.Helper()
	w.carrier.invite(d)
	d.learn(w.carrier.expect(fmt.Sprintf("SIP/2.0 %d", status)))
	w.carrier.ackRefused(d)
	if r := w.record(); r.Cause != string(why) || r.SIPStatus != status || r.EndedBy != record.EndedBySystem || len(r.Attempts) != 0 {
		w.t.Errorf("record: %s %d by %s with %d attempts; want %s", r.Cause, r.SIPStatus, r.EndedBy, len(r.Attempts), why)
	}
}

// taken sets up a call that must succeed.
func (w *world) taken(d *dialogue) *dialogue {
	w.t.Helper()
	w.carrier.invitesTillRung(d)
	w.carrier.isTakenBy(w.agent, w.agent.expect("INVITE"), "agent1", d)
	return d
}

// A calling number and a called number each have limits. A call beyond a limit gets a
// record with its cause, does not reach the platform, and does not count.
func TestLimitsOfNumbers(t *testing.T) {
	const ann, bob, one, two = "+15075550100", "+15075550101", "+15075785607", "+15075785608"
	for _, tt := range []struct {
		limits         string
		status         int
		cause          cause.Cause
		sameFrom, same bool // as the first call, which uses up the limits
	}{
		{"per_caller_calls: 1", 403, cause.CallerLimited, true, false},
		{"per_destination_calls: 1", 486, cause.DestinationLimited, false, true},
	} {
		runIn(t, tt.limits, limited(tt.limits), func(w *world) {
			first := w.taken(w.carrier.fromTo(ann, one))
			from, to := bob, two
			if tt.sameFrom {
				from = "5075550100" // the same number, as written within the trunk's country
			}
			if tt.same {
				to = one
			}
			w.wantRefused(w.carrier.fromTo(from, to), tt.status, tt.cause)
			if n := len(w.prepare.asked); n != 1 {
				w.t.Errorf("the platform was asked for %d calls", n)
			}
			other := w.taken(w.carrier.fromTo(bob, two))
			time.Sleep(time.Second)
			if strings.Contains(tt.limits, "calls") {
				w.wantRefused(w.carrier.fromTo(from, to), tt.status, tt.cause)
			}
			w.callerEnds(w.agent, first)
			if tt.sameFrom {
				to = one
			}
			again := w.taken(w.carrier.fromTo(from, to))
			for _, d := range []*dialogue{other, again} {
				w.callerEnds(w.agent, d)
			}
		})
	}
}

// A reload can add limits, which then also count established calls, and can remove them.
func TestReloadLimits(t *testing.T) {
	inWorld(t, func(w *world) {
		const ann, called = "+15075550100", "+15075785607"
		calls := []*dialogue{w.taken(w.carrier.fromTo(ann, called)), w.taken(w.carrier.fromTo(ann, called))}
		w.reload(limited("per_caller_calls: 2"))
		w.wantRefused(w.carrier.fromTo(ann, called), 403, cause.CallerLimited)
		w.reload(limited("per_caller_calls: 3"))
		calls = append(calls, w.taken(w.carrier.fromTo(ann, called)))
		w.reload(limited("per_destination_calls: 3"))
		w.wantRefused(w.carrier.fromTo(ann, called), 486, cause.DestinationLimited)
		w.reload(testConfig)
		calls = append(calls, w.taken(w.carrier.fromTo(ann, called)))
		for _, d := range calls {
			w.callerEnds(w.agent, d)
		}
	})
}

// A called trunk has number limits as well, so that neither an agent nor a caller can run
// up the bill by calling one number.
func TestLimitsOfPlacedCalls(t *testing.T) {
	yaml := strings.Replace(placedConfig, "max_calls: 1", "limits: {per_destination_calls: 1}", 1)
	if yaml == placedConfig {
		t.Fatal("the trunk has no limits")
	}
	inWorldWith(t, yaml, func(w *world) {
		platform, pbx := w.platformAndPBX()
		d := platform.newCall("+15075785607")
		d.sdp = sdpWith("192.0.2.20", 8)
		invite := w.placed(platform, pbx, d)
		second := platform.dials("+15075785607")
		platform.expect("SIP/2.0 180")
		platform.isRefused(second, "503")
		r := w.wantRecord("failed", cause.DestinationLimited, record.EndedBySystem)
		if len(r.Attempts) != 1 || r.Attempts[0].Cause != string(cause.DestinationLimited) {
			t.Errorf("attempts: %+v", r.Attempts)
		}
		third := platform.newCall("+15075785608")
		third.sdp = sdpWith("192.0.2.20", 8)
		other := w.placed(platform, pbx, third)
		for i, m := range []received{invite, other} {
			pbx.agentRequest("BYE", m, "pbx", i+1)
			pbx.expect("SIP/2.0 200")
			platform.reply(platform.expect("BYE"), 200, "OK", "", "")
			w.record()
		}
	})
}
