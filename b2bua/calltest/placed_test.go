package calltest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

var (
	pbxAddr      = netip.MustParseAddrPort("192.0.2.30:5060")
	platformAddr = netip.MustParseAddrPort("192.0.2.20:5080")
)

// placedConfig has a platform that calls from its own address, one that authenticates, and a PBX that can be called.
// The platform and the PBX have the same name.
const placedConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - name: pbx
    sources: ["192.0.2.30"]
    uri: "sip:{{.To.Number}}@192.0.2.30;user=phone"
    dial_auth: {username: flowbridge, password_env: P}
    codecs: [PCMA]
    pass_headers: ["X-*"]
    max_calls: 1
    max_duration: 30m
  - {name: carrier, sources: ["192.0.2.10"]}
targets:
  - name: pbx
    kind: sip
    uri: "sip:{{.To.Number}}@192.0.2.20:32681"
    sources: ["192.0.2.20"]
    pass_headers: [X-Queue]
  - name: roaming
    kind: sip
    uri: "sip:{{.To.Number}}@192.0.2.21:32681"
    call_auth: {username: agent, password_env: P}
routes:
  - {targets: [pbx]}
  - {target: pbx, to: "^\\+1507", trunks: [pbx]}
  - {target: roaming, trunks: [pbx]}
`

// platformAndPBX returns the peers of the target that calls and of the trunk that is called.
func (w *world) platformAndPBX() (platform, pbx *peer) {
	platform, pbx = w.peer(platformAddr), w.peer(pbxAddr)
	platform.seq, pbx.seq = 700, 800 // so that their Call-IDs are unique
	w.others = append(w.others, platform, pbx)
	return platform, pbx
}

// placed makes the PBX answer a target's call, and returns the INVITE to the PBX.
func (w *world) placed(from, pbx *peer, d *dialogue) (invite received) {
	w.t.Helper()
	from.send(strings.Replace(d.request("INVITE"), "ann@192.0.2.10:5060", "agent@"+from.conn.LocalAddr().String(), 1))
	d.learn(from.expect("SIP/2.0 180"))
	invite = pbx.expect("INVITE")
	pbx.concludes(invite, 200, "OK", "pbx", sdpWith("192.0.2.30", 8), "X-Queue: 7", "X-Other: 1")
	m := from.expect("SIP/2.0 200")
	if !strings.Contains(m.raw, "\r\nX-Queue: 7\r\n") || strings.Contains(m.raw, "X-Other") {
		w.t.Errorf("the answer to the target is\n%s", m.raw)
	}
	from.ack(d)
	synctest.Wait()
	return invite
}

// sdpWith returns a session description with one format.
func sdpWith(addr string, format int) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio 40000 RTP/AVP %[2]d\r\n", addr, format)
}

// A target calls from its own address. The route leads to the trunk, which is called as the trunk's keys say.
func TestTargetCallsTrunk(t *testing.T) {
	inWorldWith(t, placedConfig, func(w *world) {
		platform, pbx := w.platformAndPBX()
		d := platform.newCall("+15075785607")
		d.from = `"Agent" <sip:+15075550100@192.0.2.20>;tag=agent`
		d.extra = "X-Reason: billing\nx-summary: wants a refund\nSubject: not listed\n"
		d.sdp = strings.Replace(sdpWith("192.0.2.20", 0), "AVP 0", "AVP 0 8", 1)
		invite := w.placed(platform, pbx, d)
		for _, want := range []string{
			"INVITE sip:+15075785607@192.0.2.30;user=phone SIP/2.0\r\n", "\r\nX-Reason: billing\r\nx-summary: wants a refund\r\n",
			"\r\nFrom: \"Agent\" <sip:+15075550100@198.51.100.1>;tag=", "\r\nP-Asserted-Identity: <sip:+15075550100@198.51.100.1>\r\n",
			"\r\nMax-Forwards: 69\r\n", " RTP/AVP 8 101\r\n",
		} {
			if !strings.Contains(invite.raw, want) {
				t.Errorf("%q is not in\n%s", want, invite.raw)
			}
		}
		if strings.Contains(invite.raw, "not listed") {
			t.Errorf("Subject has passed:\n%s", invite.raw)
		}
		live := w.server.Live(w.t.Context())
		if len(live) != 1 || live[0].Record.Trunk != "pbx" || live[0].Record.Target != "pbx" {
			t.Errorf("live: %+v", live)
		}
		platform.hangsUpOn(pbx, d)
		r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
		if r.Direction != "outbound" || r.Trunk != "pbx" || r.Target != "pbx" || r.Route != "routes[1]" ||
			r.From != "+15075550100" || r.To != "+15075785607" || r.TargetSIPCallID != invite.value("Call-ID") ||
			len(r.Attempts) != 1 || r.Attempts[0].Target != "pbx" || r.Attempts[0].Transport != "udp" {
			t.Errorf("record: %+v", r)
		}
		w.sink.mu.Lock()
		defer w.sink.mu.Unlock()
		if first := w.sink.journal[0]; first.Trunk != "" || first.Target != "pbx" || first.Direction != "outbound" {
			t.Errorf("the journal begins with %+v", first)
		}
	})
}

// A target that may call from any address authenticates with credentials, and the trunk challenges our INVITE.
func TestTargetCallsByDigest(t *testing.T) {
	inWorldWith(t, placedConfig, func(w *world) {
		_, pbx := w.platformAndPBX()
		p := w.roaming()
		d := p.newCall("+15085785607")
		d.extra = authorize(d, p.challenged(d), "SHA-256", "agent", "wrong", 1)
		p.invite(d)
		m := p.expect("SIP/2.0 401")
		p.gaveUp(d, m)
		d.extra = authorize(d, m, "SHA-256", "agent", "secret", 1)
		invite := p.ringsAt(pbx, d)
		pbx.concludes(invite, 401, "Unauthorized", "pbx", "", `WWW-Authenticate: Digest realm="pbx", nonce="n", algorithm=MD5, qop="auth"`)
		again := pbx.expect("INVITE")
		if v := again.value("Authorization"); !strings.Contains(v, `username="flowbridge"`) || strings.Contains(again.raw, `"agent"`) {
			t.Errorf("the trunk gets\n%s", again.raw)
		}
		p.isBusyAt(pbx, again, "pbx2", d)
		r := w.wantRecord("busy", cause.TargetBusy, record.EndedByAgent)
		if r.Direction != "outbound" || r.Target != "roaming" || r.Trunk != "pbx" || r.Attempts[0].Target != "pbx" {
			t.Errorf("record: %+v", r)
		}
	})
}

// Several targets of one platform and a trunk with credentials share a source address. The user name of the credentials
// decides whose call it is. A call without credentials is challenged.
func TestTargetsOfOneAddress(t *testing.T) {
	yaml := strings.NewReplacer(
		`  - {name: carrier, sources: ["192.0.2.10"]}`, `  - {name: carrier, sources: ["192.0.2.20"], auth: {username: carrier, password_env: P}}`,
		`    sources: ["192.0.2.20"]`, "    sources: [\"192.0.2.20\"]\n    call_auth: {username: one, password_env: P}",
		`    call_auth: {username: agent,`, "    sources: [\"192.0.2.20\"]\n    call_auth: {username: agent,",
	).Replace(placedConfig)
	inWorldWith(t, yaml, func(w *world) {
		platform, pbx := w.platformAndPBX()
		for i, tt := range []struct{ user, trunk, target, route string }{
			{"agent", "pbx", "roaming", "routes[2]"}, {"one", "pbx", "pbx", "routes[1]"}, {"carrier", "carrier", "pbx", "routes[0]"},
		} {
			d := platform.newCall("+15075785607")
			d.extra = authorize(d, platform.challenged(d), "MD5", tt.user, "secret", 1)
			d.sdp = sdpWith("192.0.2.20", 8)
			platform.invitesTillRung(d)
			called := pbx
			if i == 2 {
				called = w.agent
			}
			platform.isBusyAt(called, called.expect("INVITE"), "b", d)
			if r := w.record(); r.Trunk != tt.trunk || r.Target != tt.target || r.Route != tt.route {
				t.Errorf("%s: record %+v", tt.user, r)
			}
		}
	})
}

// A target's calls are taken only by routes that name the target, and such routes take no other calls.
func TestTargetWithoutRoute(t *testing.T) {
	inWorldWith(t, placedConfig, func(w *world) {
		platform, _ := w.platformAndPBX()
		d := platform.dials("+15095785607")
		platform.isRefused(d, "404")
		r := w.wantRecord("failed", cause.NoRoute, record.EndedBySystem)
		if r.Direction != "outbound" || r.Trunk != "" || r.Target != "pbx" || len(r.Attempts) != 0 {
			t.Errorf("record: %+v", r)
		}
		d = w.carrier.newCall("+15075785607") // the second route would match if it did not name a target
		w.carrier.invitesTillRung(d)
		w.carrier.isBusyAt(w.agent, w.agent.expect("INVITE"), "a", d)
		if r := w.record(); r.Direction != "inbound" || r.Trunk != "carrier" || r.Target != "pbx" {
			t.Errorf("record: %+v", r)
		}
	})
}

// Calls to a trunk and calls from it count together for its limits. A target with the same name has separate limits.
func TestPlacedCallsCount(t *testing.T) {
	inWorldWith(t, placedConfig, func(w *world) {
		platform, pbx := w.platformAndPBX()
		d := platform.newCall("+15075785607")
		d.sdp = sdpWith("192.0.2.20", 8)
		invite := w.placed(platform, pbx, d)
		if a := w.admission.Open(); a.Trunks["pbx"] != 1 || a.Targets["pbx"] != 0 || a.Callers["pbx"] != 1 {
			t.Errorf("trunk %d, target %d, calls of the target %d", a.Trunks["pbx"], a.Targets["pbx"], a.Callers["pbx"])
		}
		second := platform.dials("+15075785608")
		platform.expect("SIP/2.0 180")
		platform.isRefused(second, "503")
		if r := w.wantRecord("failed", cause.TargetCapped, record.EndedBySystem); r.Trunk != "pbx" || r.Target != "pbx" {
			t.Errorf("record: %+v", r)
		}
		third := pbx.dials("+15075785607")
		pbx.isRefused(third, "503")
		w.reload(placedConfig)
		fourth := platform.dials("+15075785609")
		platform.expect("SIP/2.0 180")
		platform.isRefused(fourth, "503")
		w.record()
		pbx.agentHangsUpOn(platform, invite, "pbx", 1)
		w.wantRecord("answered", cause.AgentHangup, record.EndedByAgent)
	})
}

// A trunk's max_duration ends calls to the trunk as well as calls from it.
func TestPlacedCallEnds(t *testing.T) {
	inWorldWith(t, placedConfig, func(w *world) {
		platform, pbx := w.platformAndPBX()
		d := platform.newCall("+15075785607")
		d.sdp = sdpWith("192.0.2.20", 8)
		w.placed(platform, pbx, d)
		time.Sleep(30 * time.Minute)
		hungUpOn(platform, pbx)
		w.wantRecord("answered", cause.MaxDuration, record.EndedBySystem)
	})
}

// The limit for unanswered calls counts all of them, whether a trunk or a target placed them.
func TestPlacedCallsInSetup(t *testing.T) {
	yaml := strings.Replace(placedConfig, "sip: {", "sip: {limits: {setups: 1}, ", 1)
	inWorldWith(t, yaml, func(w *world) {
		platform, pbx := w.platformAndPBX()
		d := platform.newCall("+15075785607")
		d.sdp = sdpWith("192.0.2.20", 8)
		invite := platform.ringsAt(pbx, d)
		w.carrier.dials("+15075785607")
		w.carrier.expect("SIP/2.0 503")
		pbx.concludes(invite, 603, "Decline", "pbx", "")
		platform.isRefused(d, "603")
		w.record()
	})
}

// A trunk calls another trunk: the record's target is the called trunk. If a Contact has a private address behind a
// public one, requests are not sent to the private one.
func TestTrunkCallsTrunk(t *testing.T) {
	yaml := strings.Replace(placedConfig, "  - {targets: [pbx]}", "  - {trunk: carrier, trunks: [pbx]}", 1)
	inWorldWith(t, yaml, func(w *world) {
		_, pbx := w.platformAndPBX()
		d := w.carrier.newCall("+15085785607")
		d.sdp = sdpWith("192.0.2.10", 8)
		invite := w.carrier.ringsAt(pbx, d)
		answer := sdpWith("192.0.2.30", 8)
		pbx.send(fmt.Sprintf("SIP/2.0 200 OK\nVia: %s\nFrom: %s\nTo: %s;tag=pbx\nCall-ID: %s\nCSeq: %s\nContact: <sip:pbx@10.0.0.7:5099>\n"+
			"Content-Type: application/sdp\nContent-Length: %d\n\n%s", invite.value("Via"), invite.value("From"), invite.value("To"),
			invite.value("Call-ID"), invite.value("CSeq"), len(answer), answer))
		pbx.expect("ACK sip:pbx@10.0.0.7:5099 ")
		w.carrier.isAnswered(d)
		w.callerHangsUpAt(pbx, d)
		r := w.record()
		if r.Direction != "inbound" || r.Trunk != "carrier" || r.Target != "pbx" || r.Attempts[0].Target != "pbx" {
			t.Errorf("record: %+v", r)
		}
	})
}
