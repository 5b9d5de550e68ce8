package calltest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/report"
	"flowbridge/store/record"
)

// addressed returns a configuration with media on two addresses. The carrier uses the
// second one.
func addressed(listen, more, agent, spare string) string {
	return fmt.Sprintf(`
sip: {listen: ["udp://198.51.100.1:5060"], local_networks: ["192.0.2.20/32"]}
media: {listen: [%s]%s}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], country: "1", media: {address: 198.51.100.2}}
targets:
  - name: agent
    kind: sip
    uri: "sip:{{.To.Number}}@192.0.2.20:32681"
    transfer: local
    transfer_numbers: ["^[0-9]{4}$"]
    media: {%s}
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681", media: {%s}}
routes:
  - {target: agent, targets: [spare]}
  - {trunk: carrier, targets: [agent, spare]}
`, listen, more, agent, spare)
}

func mediaNames(t testing.TB, to, agent received) string {
	t.Helper()
	return described(t, to).RTP().Addr().String() + " " + described(t, agent).RTP().Addr().String()
}

// Each side's media is bound to the address that its trunk or target names, by default the
// first one. The SDP has the address by which the peer knows it.
func TestMediaAddressOfPeers(t *testing.T) {
	for name, tt := range map[string]struct {
		yaml  string
		bound string // addresses of side A and side B
		named string
	}{
		"default": {
			addressed("198.51.100.1, 198.51.100.2", "", "", ""),
			"198.51.100.2 198.51.100.1", "198.51.100.2 198.51.100.1",
		},
		"both": {
			addressed("198.51.100.1, 198.51.100.2, 198.51.100.3", "", "address: 198.51.100.3", ""),
			"198.51.100.2 198.51.100.3", "198.51.100.2 198.51.100.3",
		},
		"one": {
			addressed("198.51.100.1, 198.51.100.2", "", "address: 198.51.100.2", ""),
			"198.51.100.2 198.51.100.2", "198.51.100.2 198.51.100.2",
		},
		"own advertised": { // the agent is inside our NAT, so it gets the private address
			addressed(`"198.51.100.1=203.0.113.1", "198.51.100.2=203.0.113.2"`, "", "", ""),
			"198.51.100.2 198.51.100.1", "203.0.113.2 198.51.100.1",
		},
		"advertised": {
			addressed(`"198.51.100.1=203.0.113.1", "198.51.100.2"`, ", advertise: 203.0.113.9", "", ""),
			"198.51.100.2 198.51.100.1", "203.0.113.9 198.51.100.1",
		},
		"other family": { // the address named in the configuration has the wrong family for this peer
			addressed(`198.51.100.2, "2001:db8::1"`, "", `address: "2001:db8::1"`, ""),
			"198.51.100.2 198.51.100.2", "198.51.100.2 198.51.100.2",
		},
	} {
		runIn(t, name, tt.yaml, func(w *world) {
			c := w.talk(nil, nil)
			local := w.relay.sessions[0].local
			if got := local[0].Addr().String() + " " + local[1].Addr().String(); got != tt.bound {
				w.t.Errorf("bound to %s; want %s", got, tt.bound)
			}
			if got := mediaNames(w.t, c.ok, c.invite); got != tt.named {
				w.t.Errorf("called %s; want %s", got, tt.named)
			}
			if len(w.relay.sessions) != 1 {
				w.t.Errorf("%d sessions; want 1", len(w.relay.sessions))
			}
			c.hangsUp()
		})
	}
}

// If the next target names another media address, its media gets a new socket, unless the
// carrier already has our address.
func TestMediaAddressOfTheNextTarget(t *testing.T) {
	for _, early := range []bool{false, true} {
		t.Run(fmt.Sprintf("early media %v", early), func(t *testing.T) {
			yaml := addressed("198.51.100.1, 198.51.100.2", "", "", "address: 198.51.100.2")
			inWorldWith(t, yaml, func(w *world) {
				d, first := w.carrier.callsAt(w.agent, "+15075785607")
				if early {
					w.agent.reply(first, 183, "Session Progress", "a", agentSDP())
					w.carrier.expect("SIP/2.0 183")
				}
				w.agent.concludes(first, 500, "Broken", "a", "")
				if early { // the carrier knows the port, so the address can't change
					w.carrier.isRefused(d, "503")
					if r := w.wantRecord("failed", cause.TargetUnreachable, record.EndedBySystem); len(r.Attempts) != 2 {
						t.Errorf("attempts: %+v", r.Attempts)
					}
					return
				}
				second := w.agent2.expect("INVITE")
				w.agent2.concludes(second, 200, "OK", "b", sdpAt("192.0.2.21", 30000))
				if got := mediaNames(t, w.carrier.expect("SIP/2.0 200"), second); got != "198.51.100.2 198.51.100.2" {
					t.Errorf("called %s", got)
				}
				w.carrier.ack(d)
				synctest.Wait()
				if w.relay.open() != 1 || len(w.relay.sessions) != 2 {
					t.Errorf("%d of %d sessions are open; want 1 of 2", w.relay.open(), len(w.relay.sessions))
				}
				w.callerEnds(w.agent2, d)
			})
		})
	}
}

// If no ports are free at the address of the next target, no later target is offered the ports that were given back.
func TestNoPortsForTheNextTarget(t *testing.T) {
	yaml := strings.NewReplacer("targets: [agent, spare]}", "targets: [agent, spare, last]}",
		"routes:", "  - {name: last, kind: sip, uri: \"sip:{{.To.Number}}@192.0.2.21:32681\"}\nroutes:").
		Replace(addressed("198.51.100.1, 198.51.100.2", "", "", "address: 198.51.100.2"))
	inWorldWith(t, yaml, func(w *world) {
		d, first := w.carrier.callsAt(w.agent, "+15075785607")
		w.relay.fail = fmt.Errorf("media: %w", errors.New("no free RTP ports"))
		w.agent.concludes(first, 500, "Broken", "a", "")
		w.carrier.isRefused(d, "503")
		if r := w.wantRecord("failed", cause.NoPorts, record.EndedBySystem); w.relay.open() != 0 || len(r.Attempts) != 3 {
			t.Errorf("%d sessions are open, attempts %+v", w.relay.open(), r.Attempts)
		}
	})
}

// A transfer keeps the call's media address. It fails if its target names another address.
func TestMediaAddressOfATransfer(t *testing.T) {
	for spare, reached := range map[string]bool{"": true, "address: 198.51.100.3": true, "address: 198.51.100.2": false} {
		t.Run(spare, func(t *testing.T) {
			yaml := addressed("198.51.100.1, 198.51.100.2, 198.51.100.3", "", "address: 198.51.100.3", spare)
			inWorldWith(t, yaml, func(w *world) {
				d, invite := w.established()
				w.referred(invite, "<sip:4711@198.51.100.1>")
				if !reached {
					w.agent.notified("503", "terminated")
					w.callerEnds(w.agent, d)
					return
				}
				second := w.agent2.expect("INVITE")
				if got := described(t, second).RTP().Addr().String(); got != "198.51.100.3" {
					t.Errorf("called %s", got)
				}
				w.agent2.concludes(second, 200, "OK", "b", sdpAt("192.0.2.21", 30000))
				w.agent.notified("200", "terminated")
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
				w.callerEnds(w.agent2, d)
			})
		})
	}
}

// explain shows the media address that the call would use.
func TestExplainMediaAddress(t *testing.T) {
	x, err := b2bua.Explain(testConfigured(t, addressed("198.51.100.1, 198.51.100.2", "", "", "address: 198.51.100.2")), nil, report.Question{
		From: "+15075550100", To: "+15075785607",
	})
	must(t, err)
	for i, want := range []string{"198.51.100.1", "198.51.100.2"} {
		if !strings.Contains(x.Targets[i].Body, "\r\nc=IN IP4 "+want+"\r\n") {
			t.Errorf("target %d: want %s in\n%s", i, want, x.Targets[i].Body)
		}
	}
}

// When all media ports are in use, a call is refused before the platform is asked and
// before any target is called.
func TestPortsExhausted(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		w.relay.fail = fmt.Errorf("media: %w", errors.New("no free RTP ports"))
		for range 3 {
			more := w.carrier.dials("+15075785607")
			refused := more.learn(w.carrier.expect("SIP/2.0 503"))
			if refused.value("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			w.carrier.ackRefused(more)
			w.agent.silent(time.Second)
			r := w.wantRecord("failed", cause.NoPorts, record.EndedBySystem)
			if r.SIPStatus != 503 || len(r.Attempts) != 0 || !r.RingingAt.IsZero() {
				t.Errorf("got %+v", r)
			}
		}
		if len(w.prepare.asked) != 1 {
			t.Errorf("the platform was asked %d times; want 1", len(w.prepare.asked))
		}
		w.relay.fail = nil // the established call still works
		w.callerEnds(w.agent, d)
	})
}
