package calltest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/store/record"
)

// neighboursConfig has another trunk, and one that may send from anywhere.
var neighboursConfig = strings.Replace(testConfig, "targets:\n", `  - {name: neighbour, sources: ["192.0.2.50"]}
  - {name: shared, sources: ["192.0.2.20/31"]}
  - {name: roaming, auth: {username: acme, password_env: P}}
targets:
  - {name: sibling, kind: sip, uri: "sip:a@192.0.2.60", sources: ["192.0.2.60/31"]}
`, 1)

// neighbour returns a peer at the address of the other trunk.
func (w *world) neighbour() *peer { return w.otherAt("192.0.2.50:5060") }

func (w *world) otherAt(addr string) *peer {
	p := w.peer(netip.MustParseAddrPort(addr))
	p.seq = 700 // so that its Call-IDs are unique
	w.others = append(w.others, p)
	return p
}

// An answer to another sender never has the tag of a call, so that no other sender can act within the call: neither
// another trunk nor a stranger that knows the INVITE and even its branch.
func TestTagsStaySecret(t *testing.T) {
	inWorldWith(t, neighboursConfig, func(w *world) {
		d, _ := w.established()
		known := *d
		known.toTag = ""
		other := known
		other.branch = "z9hG4bKother"
		for _, from := range []*peer{w.neighbour(), w.otherAt("203.0.113.5:5060"), w.carrier} {
			for _, probe := range []string{
				known.request("OPTIONS"), other.request("OPTIONS"), known.request("BYE"), other.request("INFO"),
				strings.Replace(known.request("INVITE"), "Max-Forwards: 70", "Max-Forwards: 900", 1),
				strings.Replace(other.request("INVITE"), "Max-Forwards: 70", "Max-Forwards: 900", 1),
				other.request("INVITE"), other.request("CANCEL"), known.request("CANCEL"), known.request("INVITE"),
			} {
				if from == w.carrier && strings.Contains(probe, d.branch+";") && !strings.HasPrefix(probe, "OPTIONS") {
					continue // this is the sender of the INVITE itself
				}
				from.send(strings.Replace(probe, "192.0.2.10:5060;branch", from.conn.LocalAddr().String()+";branch", 1))
				time.Sleep(time.Second)
				for _, m := range from.rest() {
					if strings.Contains(m.raw, d.toTag) {
						t.Errorf("to %v the tag leaks by\n%sin\n%s", from.conn.LocalAddr(), probe, m.raw)
					}
				}
			}
			time.Sleep(time.Minute)
			from.rest()
		}
		w.agent.rest()
		w.callerHangsUp(d)
		w.settle()
	})
}

// A request within a dialog has an effect only from an allowed sender. On the trunk's side, this is one of the trunk's
// sources, or a sender with its credentials. On the target's side, it is any address except another trunk's.
func TestRequestsOfOthers(t *testing.T) {
	for _, tt := range []struct {
		from          string
		caller, agent string // status for a BYE with the tags of the caller's and of the agent's dialog
	}{
		{"192.0.2.10:9999", "200", "200"}, // the trunk itself
		{"192.0.2.50:5060", "403", "403"}, // another trunk
		{"203.0.113.5:5060", "403", "200"},
		{"192.0.2.20:9999", "403", "200"}, // the target, in whose network there is also a trunk
		{"192.0.2.21:9999", "403", "200"}, // an address in that network
		{"192.0.2.61:9999", "403", "200"}, // another target, which may belong to the same platform
	} {
		for _, side := range []string{"caller", "agent"} {
			runIn(t, tt.from+" as "+side, neighboursConfig, func(w *world) {
				d, invite := w.established()
				p, want := w.otherAt(tt.from), tt.caller
				if side == "agent" {
					want = tt.agent
					p.agentRequest("BYE", invite, "agent1", 5)
				} else {
					p.bye(d)
				}
				p.expect("SIP/2.0 " + want)
				switch {
				case want == "403":
					w.carrier.silent(time.Minute)
					w.agent.silent(0)
					w.callerHangsUp(d)
				case side == "agent":
					w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
				default:
					w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
				}
				w.record()
			})
		}
	}
}

// If a trunk without fixed addresses sends from a new address during a call, it must show its credentials again. Its
// ACK can't be challenged, so an ACK has an effect only from the original address.
func TestRoamingTrunkMoves(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p, moved := w.roaming(), w.otherAt("203.0.113.78:6060")
		d := p.newCall("+15075785607")
		d.extra = authorize(d, p.challenged(d), "MD5", "acme", "secret", 1)
		p.invitesTillRung(d)
		w.agent.takes(w.agent.expect("INVITE"), "a")
		p.expect("SIP/2.0 200")
		shown := d.extra
		d.extra = ""
		moved.ack(d)
		p.expect("SIP/2.0 200") // repeated, because the ACK had no effect
		d.extra = shown
		moved.ack(d) // with the credentials of its INVITE (RFC 3261 section 22.1)
		p.silent(time.Minute)
		d.extra = ""
		moved.bye(d)
		m := moved.expect("SIP/2.0 401")
		w.agent.silent(time.Second)
		d.extra = strings.Replace(authorize(d, m, "MD5", "acme", "secret", 1), `response="`, `response="0`, 1)
		moved.bye(d)
		m = moved.expect("SIP/2.0 401")
		w.agent.silent(time.Second)
		d.extra = credentialsOf("BYE", "sip:198.51.100.1:5060", nonceOf(m, "MD5"), "MD5", "acme", "secret", 1)
		moved.hangsUpOn(w.agent, d)
		w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
	})
}

// A CANCEL has an effect only from the address of its INVITE, even if it has the right branch. This also holds for a
// re-INVITE.
func TestCancelOfAnother(t *testing.T) {
	inWorldWith(t, strings.Replace(neighboursConfig, "kind: synthflow", "kind: synthflow\n    reinvite: auto", 1), func(w *world) {
		d := w.carrier.dialsTillRung("+15075785607")
		invite := w.agent.progresses(180, "Ringing", "agent1", "")
		w.neighbour().cancel(d)
		w.otherAt("203.0.113.5:5060").cancel(d)
		w.others[0].expect("SIP/2.0 481")
		w.carrier.silent(time.Second)
		w.agent.silent(0)
		w.others[1].silent(0)
		w.carrier.isTakenBy(w.agent, invite, "agent1", d)

		again := *d
		again.seq = w.carrier.reinvite(d, strings.Replace(callerSDP(), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1))
		again.branch = fmt.Sprintf("%sINVITE%d", d.branch, again.seq)
		reinvite := w.agent.progresses(100, "Trying", "", "") // so that the re-INVITE is not repeated
		for range 2 {
			w.others[0].send(again.request("CANCEL")) // even with the To tag
			w.others[0].expect("SIP/2.0 4")
			w.carrier.silent(time.Second)
		}
		w.carrier.send(again.request("CANCEL"))
		w.carrier.expect("SIP/2.0 200")
		m := w.carrier.expect("SIP/2.0 487")
		again.learn(m)
		w.carrier.ackRefused(&again)
		w.agent.concludes(reinvite, 200, "OK", "", agentSDP())
		w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "", agentSDP()) // the previous session again
		w.callerEnds(w.agent, d)
	})
}

// An answer without the branch of our INVITE has no effect, whether it comes from another trunk or from the target of
// another call.
func TestForgedAnswers(t *testing.T) {
	inWorldWith(t, neighboursConfig, func(w *world) {
		other, otherInvite := w.established()
		d := w.carrier.dialsTillRung("+15075785607")
		invite := w.agent.progresses(180, "Ringing", "agent2", "")
		branch := message.BranchOf(invite.req())
		neighbour := w.neighbour()
		for _, forged := range []string{"z9hG4bKforged", "", message.BranchOf(otherInvite.req()), testMinter.Branch("x"), w.minter().Branch("x")} {
			for _, p := range []*peer{neighbour, w.agent, w.agent2} {
				for _, code := range []int{200, 183, 486} {
					answer := hostileAnswer(invite, code, "forger", agentSDP(), "Contact: <sip:forger@192.0.2.50>")
					p.send(strings.Replace(answer, branch, forged, 1))
				}
				p.silent(time.Second)
				w.carrier.silent(0)
			}
		}
		// An answer of another fork has the branch, and may come from any address (RFC 3261 section 13.2.2.4).
		w.agent2.send(hostileAnswer(invite, 200, "fork", agentSDP(), agentContact))
		w.agent.expect("ACK")
		w.carrier.isAnswered(d)
		w.callerEnds(w.agent, d)
		w.callerEnds(w.agent, other)
	})
}

// Until a sender has authenticated, each of its requests gets only one answer, which is no longer than the request, and
// all such senders together get no more answers than the limit.
func TestAnswersToStrangers(t *testing.T) {
	broken := func(d *dialogue) string {
		return strings.Replace(d.request("INVITE"), "Contact: <sip:ann@192.0.2.10:5060>", "Contact: <<", 1)
	}
	short := func(d *dialogue) string {
		return "INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=" + d.branch + "\nFrom: <sip:a@b>;tag=1\nTo: <sip:a@b>\nCall-ID: " + d.callID +
			"\nCSeq: 1 INVITE\nAuthorization: x\nContact: <<\n\n"
	}
	for name, request := range map[string]func(d *dialogue) string{
		"INVITE":              func(d *dialogue) string { return d.request("INVITE") },
		"OPTIONS":             func(d *dialogue) string { return d.request("OPTIONS") },
		"broken Contact":      broken,
		"short":               short,
		"broken Max-Forwards": func(d *dialogue) string { return strings.Replace(d.request("INVITE"), ": 70", ": x", 1) },
		"Authorization": func(d *dialogue) string {
			d.extra = "Authorization: x\n"
			return d.request("INVITE")
		},
		"wrong nonce": func(d *dialogue) string {
			d.extra = credentialsFor(d, strings.Repeat("0", 39), "MD5", "acme", "wrong", 1)
			return broken(d)
		},
	} {
		runIn(t, name, authConfig, func(w *world) {
			p := w.roaming()
			answers := 0
			for i := range 1000 {
				d := p.newCall("+15075785607")
				text := request(d)
				p.send(text)
				got := p.rest()
				for _, m := range got {
					if sent := len(strings.ReplaceAll(text, "\n", "\r\n")); len(m.raw) > sent {
						w.t.Fatalf("%d bytes for %d:\n%s", len(m.raw), sent, m.raw)
					}
				}
				if answers += len(got); len(got) > 1 {
					w.t.Fatalf("%d answers to request %d", len(got), i)
				}
			}
			time.Sleep(time.Minute)
			if late := len(p.rest()); late > 0 || answers > 200 {
				w.t.Errorf("%d answers, and %d later", answers, late)
			}
			if n := w.server.Rejected().TooShort.Load(); (name == "short" || name == "OPTIONS") != (n > 0) {
				w.t.Errorf("%d requests are counted as too short for an answer", n)
			}
			// A sender with the right credentials gets through.
			d := p.newCall("+15075785607")
			d.extra = "User-Agent: PBX 1.0\n"
			w.answersCall(p, d, authorize(d, p.challenged(d), "MD5", "acme", "secret", 1))
			w.record()
		})
	}
}

// If the host name in a Contact resolves to an address of this machine, nothing is sent there.
func TestContactThatLeadsInside(t *testing.T) {
	lookUp := func(o *b2bua.Options) {
		o.Network.Names.Ask = zoneOf(t, "localhost. 60 IN A 127.0.0.1")
	}
	inWorldOf(t, testConfig, lookUp, func(w *world) {
		inside := w.otherAt("127.0.0.1:5060")
		d := w.carrier.dialsTillRung("+15075785607")
		w.agent.send(hostileAnswer(w.agent.expect("INVITE"), 200, "a", agentSDP(), "Contact: <sip:localhost:5060>"))
		w.agent.expect("ACK sip:localhost")
		w.carrier.isAnswered(d)
		w.callerHangsUp(d) // the agent gets the BYE
		w.record()
		inside.silent(time.Minute)
	})
}

// Strangers over UDP, whose addresses may be forged, can't use up the challenges for senders over connections.
func TestFloodOverUDPSparesConnections(t *testing.T) {
	yaml := strings.Replace(authConfig, `["udp://198.51.100.1:5060"]`, `["udp://198.51.100.1:5060", "tcp://198.51.100.1:5060"]`, 1)
	inWorldWith(t, yaml, func(w *world) {
		p := w.roaming()
		for range 300 {
			p.invite(p.newCall("+15075785607"))
		}
		if n := len(p.rest()); n > 200 {
			t.Errorf("%d answers", n)
		}
		c := w.connect(netip.MustParseAddr("203.0.113.99"))
		d := c.newCall("+15075785607")
		d.callID = "connected"
		c.challenged(d)
	})
}

// A flood of REGISTERs, or of OPTIONS, does not use up the challenges for calls.
func TestFloodOfRegistersSparesCalls(t *testing.T) {
	for _, method := range []string{"REGISTER", "OPTIONS"} {
		runIn(t, method, phoneConfig, func(w *world) {
			p := w.roaming()
			for i := range 300 {
				p.send(strings.ReplaceAll(registerText("", "alice", "flood"+itoa(i), 1, aliceContact), "REGISTER", method))
			}
			if n := len(p.rest()); n != 20 {
				w.t.Errorf("%d answers; want 20 to one network", n)
			}
			p.challenged(p.newCall("+15075785607"))
		})
	}
}

// REGISTERs of strangers with a nonce have a rate limit. Beyond the limit they are refused before their digest is
// checked.
func TestRateOfRegisters(t *testing.T) {
	inWorldWith(t, phoneConfig, func(w *world) {
		p := w.roaming()
		_, nonce := p.registers("alice", "alice", aliceContact)
		before := w.server.Rejected().Flood.Load()
		for i := range 100 {
			p.send(registerText("", "alice", "again"+itoa(i), 1, aliceContact+credentialsOf("REGISTER", "sip:198.51.100.1", nonce, "MD5", "nobody", "guess", 2+i)))
		}
		synctest.Wait()
		refused := 0
		for _, m := range p.rest() {
			if strings.HasPrefix(m.raw, "SIP/2.0 503") && m.value("Retry-After") != "" {
				refused++
			}
		}
		if counted := w.server.Rejected().Flood.Load() - before; refused != 51 || counted != 51 {
			t.Errorf("%d are refused, %d counted; want 51", refused, counted)
		}
	})
}

// A re-INVITE that is repeated after its ACK is already answered, so a CANCEL for it has no effect.
func TestCancelOfRepeatedReinvite(t *testing.T) {
	inWorldWith(t, strings.Replace(testConfig, "kind: synthflow", "kind: synthflow\n    reinvite: auto", 1), func(w *world) {
		d, _ := w.established()
		again := *d
		again.seq = w.carrier.reinvite(d, callerSDP())
		again.branch = fmt.Sprintf("%sINVITE%d", d.branch, again.seq)
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, again.seq, "")
		w.carrier.send(again.request("INVITE"))
		w.carrier.silent(time.Second)
		w.carrier.send(again.request("CANCEL"))
		w.carrier.expect("SIP/2.0 200")
		w.carrier.silent(time.Minute)
		w.callerEnds(w.agent, d)
	})
}
