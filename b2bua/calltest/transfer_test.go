package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// transferConfig lets the agent hand callers over: to numbers by the carrier
// that they came by, or a route of its own, and to one host directly.
const transferConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], country: "1", uri: "sip:{{.To.Number}}@192.0.2.10:5060", pass_headers: ["X-*"]}
  - {name: pbx, sources: ["192.0.2.21"], uri: "sip:{{.To.Number}}@192.0.2.21:32681"}
targets:
  - name: agent
    kind: sip
    uri: "sip:{{.To.Number}}@192.0.2.20:32681"
    transfer: local
    transfer_numbers: ["^\\+1507", "^[0-9]{4}$"]
    transfer_hosts: [192.0.2.21]
routes:
  - {trunk: carrier, targets: [agent]}
  - {target: agent, to: "^4", trunks: [pbx, carrier]}
`

// notified takes a NOTIFY with this sipfrag and answers it.
func (p *peer) notified(sipfrag, state string) received {
	p.w.t.Helper()
	m := p.expect("NOTIFY")
	if !strings.Contains(m.raw, "\r\n\r\nSIP/2.0 "+sipfrag) || !strings.HasPrefix(m.value("Subscription-State"), state) ||
		m.value("Event") == "" || !strings.HasPrefix(m.value("Content-Type"), "message/sipfrag") {
		p.w.t.Errorf("want a NOTIFY of %s, %s; got:\n%s", sipfrag, state, m.raw)
	}
	p.reply(m, 200, "OK", "", "")
	return m
}

// RFC 3515, RFC 3892: the caller is connected to the number that the agent
// names, by the carrier's own uri.
func TestTransferToNumber(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		d, invite := w.established()
		w.agent.agentRequest("REFER", invite, "agent1", 10, "Refer-To: <sip:+15075550177@198.51.100.1?User-to-User=abc%3Bencoding%3Dhex&X-Why=billing&From=evil>",
			"Referred-By: <sip:agent@192.0.2.20>")
		accepted := w.agent.expect("SIP/2.0 202")
		if accepted.value("Contact") == "" {
			t.Errorf("202 without Contact:\n%s", accepted.raw)
		}
		w.agent.notified("100", "active")
		called := w.carrier.expect("INVITE sip:+15075550177@192.0.2.10:5060")
		for name, want := range map[string]string{
			"Referred-By": "<sip:agent@192.0.2.20>", "User-to-User": "abc;encoding=hex", "X-Why": "billing",
			"P-Asserted-Identity": "<sip:+15075550100@198.51.100.1>",
		} {
			if got := called.value(name); got != want {
				t.Errorf("%s: %q; want %q", name, got, want)
			}
		}
		w.carrier.reply(called, 180, "Ringing", "human", "")
		w.agent.notified("180", "active")
		w.carrier.concludes(called, 200, "OK", "human", sdpAt("192.0.2.11", 40000))
		w.agent.notified("200", "terminated")
		bye := w.agent.expect("BYE")
		w.agent.reply(bye, 200, "OK", "", "")
		synctest.Wait()
		if got := w.relay.sessions[0].peers[1].RTP.String(); got != "192.0.2.11:40000" {
			t.Errorf("media of side B goes to %s", got)
		}
		r := w.callerEnds(w.carrier, d)
		if len(r.Attempts) != 2 || r.Attempts[1].Target != "carrier" || r.Attempts[1].Reason != "transfer" || r.Attempts[1].SIPStatus != 200 {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

// A transfer that fails leaves the caller with the agent, who is told why.
func TestTransferFails(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		d, invite := w.established()
		w.referred(invite, "tel:4711;phone-context=example.com")
		first := w.agent2.expect("INVITE sip:4711@192.0.2.21")
		w.agent2.concludes(first, 503, "Service Unavailable", "x", "")
		second := w.carrier.expect("INVITE sip:4711@192.0.2.10")
		w.carrier.concludes(second, 486, "Busy Here", "y", "")
		w.agent.notified("486 Busy Here", "terminated")
		synctest.Wait()
		if got := w.relay.sessions[0].peers[1].RTP.String(); got != "192.0.2.20:30000" {
			t.Errorf("media of side B goes to %s", got)
		}
		r := w.callerEnds(w.agent, d)
		if len(r.Attempts) != 3 || r.Attempts[1].Target != "pbx" || r.Attempts[2].SIPStatus != 486 {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

// Some agents hang up as soon as their REFER is accepted: the caller is not
// dropped, and hears the called side's early media.
func TestTransferAgentLeavesAtOnce(t *testing.T) {
	for _, answered := range []bool{true, false} {
		inWorldWith(t, transferConfig, func(w *world) {
			d, invite := w.established()
			w.agent.agentRequest("REFER", invite, "agent1", 10, "Refer-To: <sip:bob@192.0.2.21:32681>", "Refer-Sub: false")
			accepted := w.agent.expect("SIP/2.0 202")
			if accepted.value("Refer-Sub") != "false" {
				t.Errorf("202 without Refer-Sub:\n%s", accepted.raw)
			}
			w.agent.agentRequest("BYE", invite, "agent1", 11)
			w.agent.expect("SIP/2.0 200")
			called := w.agent2.expect("INVITE sip:bob@192.0.2.21:32681")
			w.agent2.reply(called, 183, "Session Progress", "bob", sdpAt("192.0.2.21", 41000))
			synctest.Wait()
			if got := w.relay.sessions[0].peers[1].RTP.String(); got != "192.0.2.21:41000" {
				t.Errorf("early media from %s", got)
			}
			if !answered {
				w.agent2.concludes(called, 603, "Decline", "bob", "")
				w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
				w.wantRecord(record.DispositionAnswered, cause.TransferFailed, record.EndedBySystem)
				return
			}
			w.agent2.concludes(called, 200, "OK", "bob", sdpAt("192.0.2.21", 41000))
			time.Sleep(time.Second)
			w.agent2.agentHangsUpOn(w.carrier, called, "bob", 5)
			w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
			_ = d
		})
	}
}

// What the agent may not do, or does not say properly, is refused, and the call
// goes on.
func TestTransferRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		status string
		header []string
	}{
		"no Refer-To":       {"400", nil},
		"two":               {"400", []string{"Refer-To: <sip:4711@198.51.100.1>", "Refer-To: <sip:4712@198.51.100.1>"}},
		"another scheme":    {"416", []string{"Refer-To: <http://example.com/>"}},
		"a number":          {"403", []string{"Refer-To: <tel:+19005550100>"}},
		"a host":            {"403", []string{"Refer-To: <sip:bob@203.0.113.7>"}},
		"not a call":        {"400", []string{"Refer-To: <sip:4711@198.51.100.1;method=BYE>"}},
		"number, Replaces":  {"501", []string{"Refer-To: <sip:4711@198.51.100.1?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>"}},
		"host over TLS URI": {"416", []string{"Refer-To: <sips:bob@192.0.2.21>"}},
	} {
		runIn(t, name, transferConfig, func(w *world) {
			d, invite := w.established()
			w.agent.agentRequest("REFER", invite, "agent1", 10, tt.header...)
			w.agent.expect("SIP/2.0 " + tt.status)
			w.callerEnds(w.agent, d)
		})
	}
}

// Either side may end the call while a transfer is under way: nothing is left.
func TestTransferCallEnds(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		d, invite := w.established()
		w.referred(invite, "tel:4711")
		called := w.agent2.progresses(180, "Ringing", "x", "")
		w.agent.notified("180", "active")
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		w.agent2.takesCancel(called, "x")
		w.agent.notified("487", "terminated")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

// transfer: relay has the carrier's side carry it out, and its reports go back.
func TestTransferRelayed(t *testing.T) {
	inWorldWith(t, strings.Replace(transferConfig, "transfer: local", "transfer: relay", 1), func(w *world) {
		d, invite := w.established()
		w.agent.agentRequest("REFER", invite, "agent1", 10, "Refer-To: <tel:+15075550177>", "Referred-By: <sip:agent@192.0.2.20>")
		refer := w.carrier.expect("REFER")
		if got := refer.value("Refer-To"); got != "<sip:+15075550177@192.0.2.10:5060>" {
			t.Errorf("Refer-To: %s", got)
		}
		if got := refer.value("Referred-By"); got != "<sip:agent@192.0.2.20>" {
			t.Errorf("Referred-By: %s; want the agent's", got)
		}
		w.carrier.reply(refer, 202, "Accepted", "", "")
		w.agent.expect("SIP/2.0 202")
		w.carrier.within(d, "NOTIFY", "SIP/2.0 100 Trying\r\n", "Content-Type: message/sipfrag", "Event: refer", "Subscription-State: active;expires=60")
		w.agent.notified("100", "active;expires=60")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.within(d, "NOTIFY", "SIP/2.0 200 OK\r\n", "Content-Type: message/sipfrag", "Event: refer", "Subscription-State: terminated;reason=noresource")
		w.agent.notified("200", "terminated")
		w.carrier.expect("SIP/2.0 200")
		w.callerEnds(w.agent, d)
	})
}
