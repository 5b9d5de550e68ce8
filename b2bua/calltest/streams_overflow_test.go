package calltest

import (
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

const overflowConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"]}
targets:
  - name: agent
    kind: sip
    uri: "sip:{{.To.Number}}@192.0.2.20:32681"
    overflow: tcp
    headers: {X-EI: "E.1;", X-Long: "{{.Header \"X-Long\"}}"}
routes:
  - {targets: [agent]}
`

// overBudget starts a call whose INVITE to the target exceeds the UDP budget.
func (w *world) overBudget() *dialogue {
	d := w.carrier.newCall("+15075785607")
	d.extra = "X-Long: " + strings.Repeat("x", 500) + "\n"
	w.carrier.invitesTillRung(d)
	return d
}

// An INVITE that exceeds the UDP budget goes over TCP to the same host and port, with all
// its headers. If the server has no TCP listener, Via and Contact have the connection's
// port.
func TestOverflowGoesOverTCP(t *testing.T) {
	inWorldWith(t, overflowConfig, func(w *world) {
		agents := w.streamAgent(agentAddr)
		d := w.overBudget()
		agent := agents.accept()
		invite := agent.expect("INVITE")
		if len(invite.value("X-Long")) != 500 {
			t.Errorf("X-Long has %d bytes", len(invite.value("X-Long")))
		}
		at := agent.remote().String()
		if via := invite.value("Via"); !strings.HasPrefix(via, "SIP/2.0/TCP "+at+";") || invite.value("Contact") != "<sip:"+at+";transport=tcp>" {
			t.Errorf("Via %s, Contact %s over a connection from %s", via, invite.value("Contact"), at)
		}
		r := w.shortCall(agent, invite, "a", d)
		if a := r.Attempts[0]; len(r.Attempts) != 1 || a.Transport != "tcp" || a.DroppedHeaders != nil {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

func TestOverflow(t *testing.T) {
	long := strings.Repeat("x", 500)
	tell(t, overflowConfig, strings.ReplaceAll(`
== where no connection can be opened, headers are left out and it goes over UDP
carrier: calls 15075785607 | X-Long: LONG ; gets 180
agent: gets INVITE | X-Long: | X-EI: E.1; ; takes
carrier: gets 200 ; acks ; hangs up on agent | sent: udp [X-Long]

== a caller that gives up while the connection is being opened ends the call
agent: listens
connections: held
carrier: calls 15075785607 | X-Long: LONG ; gets 180 ; gives up
record: cancelled caller_cancelled caller
connections: released
agent: leaves

== a proxy without a transport, named over TCP: ACK and BYE reach it over UDP (RFC 3263 section 4.1)
agent: listens
carrier: calls 15075785607 | X-Long: LONG ; gets 180
agent: accepts ; gets INVITE ; says 200 (0 101) | Record-Route: <sip:192.0.2.21:32681;lr>
spare: gets ACK | Via: ~SIP/2.0/UDP 198.51.100.1:5060; | Route: <sip:192.0.2.21:32681;lr>
carrier: gets 200 ; acks ; hangs up on spare`, "LONG", long))
	refer := "agent: says REFER | Refer-Sub: false | Refer-To: <sip:bob@192.0.2.21:32681TRANSPORT?X-A=LONG&X-B=LONG> ; gets 202\n"
	tell(t, transferConfig, strings.NewReplacer("REFERS UDP\n", strings.NewReplacer("TRANSPORT", ";transport=udp", "LONG", long[:380]).Replace(refer),
		"REFERS\n", strings.NewReplacer("TRANSPORT", "", "LONG", long[:380]).Replace(refer)).Replace(`
== an agent that names a host with transport=udp has it called over UDP, however large the INVITE
spare: listens
up: agent
REFERS UDP
spare: gets INVITE | URI: ~sip:bob@192.0.2.21:32681 | X-A: * | X-B: ; takes
agent: gets BYE ; says 200
carrier: hangs up on spare

== and without a transport over TCP
spare: listens
up: agent
REFERS
spare: accepts ; gets INVITE | URI: ~sip:bob@192.0.2.21:32681 | X-A: * | X-B: * ; takes
agent: gets BYE ; says 200
carrier: hangs up on spare`))
}

// If a target called over UDP does not accept TCP, later calls with large INVITEs do not
// all try to connect again.
func TestNoTCPIsRemembered(t *testing.T) {
	inWorldWith(t, overflowConfig, func(w *world) {
		for i, wanted := range []int32{1, 1, 2} {
			if i == 2 {
				time.Sleep(30 * time.Second)
			}
			d := w.overBudget()
			w.carrier.isBusyAt(w.agent, w.agent.expect("INVITE"), "a", d)
			w.record()
			if w.dials.Load() != wanted {
				t.Errorf("call %d: %d connections were tried; want %d", i+1, w.dials.Load(), wanted)
			}
		}
	})
}

// refusedCall places a call that fails, and returns its record.
func (w *world) refusedCall(number string) record.Record {
	w.t.Helper()
	d := w.carrier.dialsTillRung(number)
	w.carrier.isRefused(d, "503")
	return w.record()
}
