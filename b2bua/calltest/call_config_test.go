package calltest

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/sdp"
	"flowbridge/store/record"
)

// With on_failure: dial a target is called without an id when its API fails,
// and the headers that need one are left out.
func TestDialWithoutID(t *testing.T) {
	yaml := strings.Replace(testConfig, "timeout: 3s}", "timeout: 3s, on_failure: dial}", 1)
	log := &bytes.Buffer{}
	inWorldOf(t, yaml, func(o *b2bua.Options) { o.Log = zerolog.New(log) }, func(w *world) {
		w.prepare.err = &outbound.PrepareError{Cause: cause.PrepareTimeout, Err: sdp.ErrNoCodec}
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		if invite.value("X-EI") != "" || invite.value("x-Caller") != "+15075550100" {
			t.Errorf("INVITE without an id:\n%s", invite.raw)
		}
		w.carrier.isBusyAt(w.agent, invite, "a", d)
		r := w.record()
		w.wantCauses(r, cause.TargetBusy)
		time.Sleep(time.Minute) // the ladder is kept when the transactions are over
		if n := strings.Count(log.String(), "target not ready"); n != 1 {
			t.Errorf("%d warnings; want one:\n%s", n, log)
		}
		says := func(line string) bool {
			return strings.HasPrefix(line, "*>* target agent is dialled without an id: prepare: ")
		}
		if all := lines(w.ladder(r.ID)); !slices.ContainsFunc(all, says) {
			t.Errorf("ladder:\n%s", strings.Join(all, "\n"))
		}
	})
}

// The advertised addresses are what peers are told, but for those in the
// local networks.
func TestAdvertise(t *testing.T) {
	yaml := strings.NewReplacer(
		"sip: {", "sip: {advertise: sip.example.com, local_networks: [192.0.2.10/32], ",
		"media: {", "media: {advertise: 203.0.113.9, ",
	).Replace(testConfig)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.dials("+15075785607")
		ringing := d.learn(w.carrier.expect("SIP/2.0 180"))
		if got := ringing.value("Contact"); got != "<sip:198.51.100.1:5060>" {
			t.Errorf("Contact toward a local peer %q", got)
		}
		invite := w.agent.expect("INVITE")
		if got := invite.value("Contact"); got != "<sip:sip.example.com:5060>" {
			t.Errorf("Contact toward the target %q", got)
		}
		if !strings.HasPrefix(invite.value("Via"), "SIP/2.0/UDP sip.example.com:5060;") ||
			!strings.Contains(invite.raw, "c=IN IP4 203.0.113.9\r\n") {
			t.Errorf("INVITE:\n%s", invite.raw)
		}
		w.agent.takes(invite, "a")
		if ok := w.carrier.expect("SIP/2.0 200"); !strings.Contains(ok.raw, "c=IN IP4 198.51.100.1\r\n") {
			t.Errorf("answer to a local peer:\n%s", ok.raw)
		}
		w.carrier.ack(d)
		w.callerEnds(w.agent, d)
	})
}

// A carrier behind NAT: its Contact names a private address, its SIP comes
// from a public one, and that is where our BYE goes.
func TestBehindNAT(t *testing.T) {
	for nat, reached := range map[string]bool{"auto": true, "on": true, "off": false} {
		t.Run(nat, func(t *testing.T) {
			yaml := strings.Replace(testConfig, `country: "1"}`, `country: "1", nat: `+nat+`}`, 1)
			inWorldWith(t, yaml, func(w *world) {
				d := w.carrier.newCall("+15075785607")
				hide := func(request string) string {
					return strings.NewReplacer("<sip:ann@192.0.2.10:5060>", "<sip:ann@10.1.2.3:5062>").Replace(request)
				}
				w.carrier.send(hide(d.request("INVITE")))
				d.learn(w.carrier.expect("SIP/2.0 180"))
				invite := w.agent.expect("INVITE")
				w.carrier.isTakenBy(w.agent, invite, "a", d)
				w.agent.agentRequest("BYE", invite, "a", 1)
				w.agent.expect("SIP/2.0 200")
				if reached {
					bye := w.carrier.expect("BYE sip:ann@10.1.2.3:5062")
					w.carrier.reply(bye, 200, "OK", "", "")
				}
				w.wantRecord("answered", cause.AgentHangup, record.EndedByAgent)
			})
		})
	}
}

// Caps: the trunk's and the target's, and what is refused leaves the calls
// that are up alone.
func TestCaps(t *testing.T) {
	yaml := strings.Replace(testConfig, "max_duration: 1h", "max_duration: 1h, max_calls: 1", 1)
	inWorldWith(t, yaml, func(w *world) {
		d, _ := w.established()
		over := w.carrier.dials("+15075785607")
		if refused := over.learn(w.carrier.expect("SIP/2.0 503")); refused.value("Retry-After") == "" {
			t.Errorf("503 without Retry-After:\n%s", refused.raw)
		}
		w.carrier.ackRefused(over)
		w.carrier.invite(d) // a retransmission of the admitted call is no new one
		w.callerEnds(w.agent, d)
		if n := w.server.Rejected().Full.Load(); n != 1 {
			t.Errorf("%d refused as full; want 1", n)
		}
	})
}
