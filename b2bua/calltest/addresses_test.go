package calltest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/peers"
	"flowbridge/store/record"
)

// twoAddresses replaces the agent's address by a name with two addresses. Its SRV records prefer the agent's own
// address to the spare agent's.
const twoAddresses = `
	_sip._udp.agents.test. 60 IN SRV 1 1 32681 one.test.
	_sip._udp.agents.test. 60 IN SRV 2 1 32681 two.test.
	_sip._tcp.agents.test. 60 IN SRV 1 1 32681 one.test.
	_sip._tcp.agents.test. 60 IN SRV 2 1 32681 two.test.
	one.test. 60 IN A 192.0.2.20
	two.test. 60 IN A 192.0.2.21
`

// inWorldOfNames runs a test in a world in which the agent is called by that name.
func inWorldOfNames(t *testing.T, test func(w *world), replace ...string) {
	t.Helper()
	yaml := strings.NewReplacer(append(replace, "@192.0.2.20:32681", "@agents.test")...).Replace(testConfig)
	inWorldOf(t, yaml, func(o *b2bua.Options) { o.Network.Names.Ask = zoneOf(t, twoAddresses) }, test)
}

// takesAtSecond answers the call at the second address, and ends it.
func (w *world) takesAtSecond(d *dialogue) (invite received, r record.Record) {
	w.t.Helper()
	invite = w.agent2.expect("INVITE")
	w.carrier.isTakenBy(w.agent2, invite, "b", d)
	w.callerHangsUpAt(w.agent2, d)
	return invite, w.record()
}

func (w *world) wantTried(r record.Record, tried ...string) {
	w.t.Helper()
	if len(r.Attempts) != 1 || !slices.Equal(r.Attempts[0].Tried, tried) || r.Attempts[0].Cause != "" {
		w.t.Errorf("attempts %+v; want one that tried %q", r.Attempts, tried)
	}
	if len(w.prepare.asked) != 1 {
		w.t.Errorf("the platform was asked %d times", len(w.prepare.asked))
	}
}

// After 503 or silence at one address, the same attempt continues at the next address: with the same request in another
// transaction (RFC 3263 section 4.3). The next call begins with the address that works.
func TestNextAddress(t *testing.T) {
	for name, c := range map[string]struct {
		play  func(w *world) received
		took  time.Duration
		tried string
	}{
		"503": {func(w *world) received {
			invite := w.agent.expect("INVITE")
			w.agent.concludes(invite, 503, "No", "a", "", "Retry-After: 60")
			return invite
		}, 0, "udp://192.0.2.20:32681 503"},
		"503 after 100": {func(w *world) received {
			invite := w.agent.progresses(100, "Trying", "", "")
			time.Sleep(time.Second)
			w.agent.concludes(invite, 503, "No", "a", "")
			return invite
		}, time.Second, "udp://192.0.2.20:32681 503"},
		"silent": {func(w *world) received {
			invite := w.agent.expect("INVITE")
			w.agent.drainFor(2 * time.Second)
			return invite
		}, 2 * time.Second, "udp://192.0.2.20:32681 target_silent"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldOfNames(t, func(w *world) {
				began := time.Now()
				d := w.carrier.dialsTillRung("+15075785607")
				first := c.play(w)
				second, r := w.takesAtSecond(d)
				w.wantTried(r, c.tried)
				if r.AnsweredAt.Sub(began) != c.took {
					t.Errorf("it took %v", r.AnsweredAt.Sub(began))
				}
				for _, h := range []string{"Call-ID", "From", "CSeq", "X-EI"} {
					if first.value(h) != second.value(h) {
						t.Errorf("%s: %q, and %q", h, first.value(h), second.value(h))
					}
				}
				if first.value("Via") == second.value("Via") || first.req().Recipient.String() != second.req().Recipient.String() {
					t.Error("the same transaction, or another URI")
				}
				w.agent.silent(time.Second) // an address that was given up gets no retransmissions
				d = w.carrier.newCall("+15075785607")
				w.carrier.invitesTillRung(d)
				w.takesAtSecond(d)
				s := w.server.Stack().Names().States("agent")
				if len(s) != 2 || s[1].Until.IsZero() && s[0].Until.IsZero() {
					t.Errorf("addresses: %+v", s)
				}
			})
		})
	}
}

// A call to a target with one address causes no DNS query.
func TestOneAddressAsksNobody(t *testing.T) {
	inWorldOf(t, testConfig, func(o *b2bua.Options) { o.Network.Names = locate.Options{Ask: noNames} }, func(w *world) {
		d, _ := w.established()
		w.callerHangsUp(d)
		if r := w.record(); r.Attempts[0].Tried != nil {
			t.Errorf("attempt %+v", r.Attempts[0])
		}
	})
}

// With transport: auto, the host's DNS records choose the transport: here NAPTR prefers TCP, and the other address is
// for UDP.
func TestTransportByNAPTR(t *testing.T) {
	yaml := strings.NewReplacer("@192.0.2.20:32681", "@agents.test", "- name: agent\n", "- name: agent\n    transport: auto\n", `5060"]}`, overTCP).Replace(testConfig)
	inWorldOf(t, yaml, func(o *b2bua.Options) {
		o.Network.Names.Ask = zoneOf(t, twoAddresses+`agents.test. 60 IN NAPTR 10 1 "s" "SIP+D2T" "" _sip._tcp.agents.test.
			agents.test. 60 IN NAPTR 20 1 "s" "SIP+D2U" "" _sip._udp.agents.test.`)
	}, func(w *world) {
		agent := w.streamAgent(agentAddr)
		d := w.carrier.dialsTillRung("+15075785607")
		agent.accept().refuses(486)
		w.carrier.isRefused(d, "486")
		if r := w.record(); len(r.Attempts) != 1 || r.Attempts[0].Transport != "tcp" {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

// The platform's answer is available to the header templates at each address, even if it has no id. After that the call
// drops the answer, because it may be large.
func TestAnswerWithoutID(t *testing.T) {
	test := func(w *world, refuse bool) {
		held := w.answersOnce(`{"session":"s-1"}`)
		d := w.carrier.dialsTillRung("+15075785607")
		agent, invite := w.agent, w.agent.expect("INVITE")
		if refuse {
			if invite.value("X-Session") != "s-1" || !held() {
				w.t.Errorf("at the first address it is not kept:\n%s", invite.raw)
			}
			w.agent.concludes(invite, 503, "No", "a", "")
			agent, invite = w.agent2, w.agent2.expect("INVITE")
		}
		synctest.Wait()
		if invite.value("X-Session") != "s-1" || held() {
			w.t.Errorf("at the last address it is kept:\n%s", invite.raw)
		}
		w.shortCall(agent, invite, "b", d)
	}
	headers := []string{"    headers:\n", "    headers:\n      X-Session: '{{.Prepare.JSON \"session\"}}'\n"}
	inWorldWith(t, strings.NewReplacer(headers...).Replace(testConfig), func(w *world) { test(w, false) })
	inWorldOfNames(t, func(w *world) { test(w, true) }, headers...)
}

// answersOnce makes the platform answer once, and returns a function that reports whether the answer is still
// referenced.
func (w *world) answersOnce(body string) (held func() bool) {
	text := []byte(body)
	w.prepare.given = &peers.Prepared{Body: text, Status: 200}
	answer := weak.Make(&text[0])
	return func() bool {
		w.prepare.given = nil
		runtime.GC()
		return answer.Value() != nil
	}
}

// The platform's answer is dropped as well if the first of two addresses answers.
func TestSettledCallKeepsNoAnswer(t *testing.T) {
	inWorldOfNames(t, func(w *world) {
		held := w.answersOnce(`{"synthflow_call_id":"x"}`)
		d, _ := w.established()
		if held() {
			t.Error("a live call keeps it")
		}
		w.callerEnds(w.agent, d)
	})
}

// If no address accepts a connection, all attempts together take no longer than first_response_timeout plus the time
// for the last address.
func TestConnectionsInTime(t *testing.T) {
	zone := ""
	for i := range 8 {
		zone += fmt.Sprintf("_sip._tcp.agents.test. 60 IN SRV %d 1 32681 a%d.test.\na%d.test. 60 IN A 192.0.2.%d\n", i+1, i, i, 120+i)
	}
	yaml := strings.NewReplacer("@192.0.2.20:32681", "@agents.test", "- name: agent\n", "- name: agent\n    transport: tcp\n", `5060"]}`, overTCP).Replace(testConfig)
	inWorldOf(t, yaml, func(o *b2bua.Options) {
		o.Network.Names.Ask = zoneOf(t, zone)
		o.Network.Dial = func(ctx context.Context, _ netip.Addr, _ netip.AddrPort) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}, func(w *world) {
		d := w.carrier.dialsTillRung("+15075785607")
		w.carrier.isRefused(d, "503")
		r := w.record()
		w.wantCauses(r, cause.TargetUnreachable)
		if a := r.Attempts[0]; a.MS != 4500 || len(a.Tried) != 2 {
			t.Errorf("attempt %+v", a)
		}
	})
}

// Calls to a target with two addresses.
func TestSecondAddress(t *testing.T) {
	tell(t, testConfig, `
with: @192.0.2.20:32681 => @agents.test

== a first address that answers after its turn has the call, if it is the first to answer; a second answer is hung up
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; drains 2s
spare: gets INVITE ; says 180
agent: takes
carrier: gets 200 ; acks
spare: takes ; gets BYE ; says 200
carrier: hangs up on agent

== when all addresses fail, the target has failed, in its time
carrier: calls 15075785607 ; gets 180
agent: drains 2s
spare: drains 2s
carrier: gets 503 ; lasted 4s ; acks
record: failed target_silent system | attempts: agent target_silent | tried: udp://192.0.2.20:32681 target_silent
spare: drains 1m

== a caller who gives up between two addresses gives up both
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 503 ; gets ACK
spare: gets INVITE ; says 180
carrier: gives up
spare: ceases
record: cancelled caller_cancelled caller | attempts: agent caller_cancelled

== over TCP an address that takes no connection is followed by the next one
with: - name: agent => - name: agent\n    transport: tcp
with: 5060"]} => 5060", "tcp://198.51.100.1:5060"]}
spare: listens
carrier: calls 15075785607 ; gets 180
spare: accepts ; gets INVITE ; busy | tried: tcp://192.0.2.20:32681 target_unreachable`)
}
