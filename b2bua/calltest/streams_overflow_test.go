package calltest

import (
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/cause"
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

// overBudget begins a call whose INVITE to the target is over the UDP budget.
func (w *world) overBudget() *dialogue {
	d := w.carrier.newCall("+15075785607")
	d.extra = "X-Long: " + strings.Repeat("x", 500) + "\n"
	w.carrier.invitesTillRung(d)
	return d
}

// An INVITE over the UDP budget goes over TCP to the same host and port, whole;
// without a TCP listener of our own the connection's own port is named.
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

// Where no connection can be opened, headers are left out and it goes over UDP.
func TestOverflowWithoutTCP(t *testing.T) {
	inWorldWith(t, overflowConfig, func(w *world) {
		d := w.overBudget()
		invite := w.agent.expect("INVITE")
		if invite.value("X-Long") != "" || invite.value("X-EI") != "E.1;" {
			t.Errorf("INVITE:\n%s", invite.raw)
		}
		r := w.shortCall(w.agent, invite, "a", d)
		if a := r.Attempts[0]; a.Transport != "udp" || len(a.DroppedHeaders) != 1 || a.DroppedHeaders[0] != "X-Long" {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

// A caller that gives up while the connection is being opened ends the call.
func TestOverflowCancelled(t *testing.T) {
	inWorldWith(t, overflowConfig, func(w *world) {
		agents := w.streamAgent(agentAddr) // does not accept
		w.holdDials = make(chan struct{})
		d := w.overBudget()
		synctest.Wait()
		w.carrier.givesUp(d)
		w.wantRecord(record.DispositionCancelled, cause.CallerCancelled, record.EndedByCaller)
		close(w.holdDials)
		synctest.Wait()
		agents.l.Close()
	})
}
