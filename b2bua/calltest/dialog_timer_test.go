package calltest

import (
	"strings"
	"testing"
	"time"

	"flowbridge/sim/siptest"
)

// A call lasts an hour with session timers of 90 s on both legs, in both roles. The refresher sends UPDATE if the peer
// allows it, otherwise re-INVITE, and the o= line never changes (RFC 4028 sections 7.4, 9 and 10). Each leg negotiates
// its timer separately.
func TestAnHourOfSessionTimers(t *testing.T) {
	for _, tt := range []struct {
		name         string
		ours, update bool
	}{
		{"we refresh by UPDATE", true, true}, {"we refresh by re-INVITE", true, false}, {"the peers refresh", false, true},
	} {
		runIn(t, tt.name, talkYAML("", "session_expires: 90s"), func(w *world) {
			refresherA, refresherB, allow := "uac", "uas", "INVITE, ACK, BYE"
			if tt.ours {
				refresherA, refresherB = "uas", "uac"
			}
			if tt.update {
				allow += ", UPDATE"
			}
			c := w.talk([]string{"Supported: timer", "Session-Expires: 120;refresher=" + refresherA, "Allow: " + allow},
				[]string{"Supported: timer", "Require: timer", "Session-Expires: 90;refresher=" + refresherB, "Allow: " + allow})
			if got := c.invite.value("Session-Expires"); got != "90" {
				w.t.Errorf("the target is asked for %q", got)
			}
			if got := c.ok.value("Session-Expires"); got != "120;refresher="+refresherA {
				w.t.Errorf("the carrier gets %q", got)
			}
			begin := time.Now()
			counts := map[*end]int{}
			next := map[*end]time.Time{c.carrier: begin.Add(55 * time.Second), c.agent: begin.Add(40 * time.Second)}
			last := map[*end]string{}
			for time.Since(begin) < time.Hour {
				time.Sleep(400 * time.Millisecond) // sooner than any retransmission
				for _, e := range []*end{c.carrier, c.agent} {
					if tt.ours {
						counts[e] += refreshed(w.t, e, tt.update, last)
						continue
					}
					if time.Now().After(next[e]) {
						role := "uac" // each message names the refresher
						ok := e.changes([]string{"INVITE", "UPDATE"}[counts[e]%2], siptest.SessionAt(e.address, map[bool]int{true: 20000, false: 30000}[e == c.carrier], "0 101"), "200", "Supported: timer", "Session-Expires: 90;refresher="+role)
						if ok.value("Session-Expires") != "90;refresher=uac" || ok.value("Require") != "timer" {
							w.t.Errorf("refresh got\n%s", ok.raw)
						}
						counts[e]++
						next[e] = time.Now().Add(45 * time.Second)
					}
				}
			}
			for e, n := range counts {
				if n < 55 || n > 85 {
					w.t.Errorf("%s: %d refreshes", e.address, n)
				}
				e.p.rest() // the last ACK
			}
			c.hangsUp()
		})
	}
}

// refreshed makes an end answer the refreshes that it got, and returns their number.
func refreshed(t testing.TB, e *end, update bool, last map[*end]string) (n int) {
	for _, m := range e.p.rest() {
		method := string(m.req().Method)
		if method == "ACK" {
			continue
		}
		if (method == "UPDATE") != update || (method == "INVITE") == update {
			t.Fatalf("got\n%s", m.raw)
		}
		role := "refresher=uac"
		if !strings.HasSuffix(m.value("Session-Expires"), role) {
			t.Errorf("refresh with Session-Expires %q", m.value("Session-Expires"))
		}
		body := string(m.Body())
		if last[e] != "" && body != last[e] {
			t.Errorf("the description changed:\n%s\n%s", last[e], body)
		}
		last[e] = body
		sdp := ""
		if !update {
			sdp = siptest.SessionAt(e.address, 20000, "0 101")
		}
		e.p.reply(m, 200, "OK", "", sdp, "Require: timer", "Session-Expires: "+m.value("Session-Expires"))
		n++
	}
	return n
}

// These tests cover session timers, except refreshes over a longer time.
func TestSessionTimers(t *testing.T) {
	stories := `
== too short a session is refused with what is taken; a target's refusal has the INVITE sent again (RFC 4028 sections 7.3, 9)
with: 192.0.2.20:32681" => 192.0.2.20:32681", session_expires: 90s
carrier: calls 15075785607 | Supported: timer | Session-Expires: 60 ; gets 422 | Min-SE: 90 ; acks
carrier: calls 15075785607 | Supported: timer | Session-Expires: 120 ; gets 180
agent: gets INVITE ; says 422 | Min-SE: 300 ; gets ACK
agent: gets INVITE | Session-Expires: 300 | Min-SE: 300 | CSeq: 2 INVITE ; takes | Session-Expires: 300;refresher=uas
carrier: gets 200 | Session-Expires: 120;refresher=uac ; acks ; hangs up on agent

== a refresh whose answer is on its way is not the answer to a change that the other side wants
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; takes | Session-Expires: 90;refresher=uac | Allow: INVITE
carrier: gets 200 ; acks ; +44s
agent: gets INVITE
carrier: says INVITE (8 101 :42000)
agent: silent 100ms ; takes | Session-Expires: 90;refresher=uac
agent: gets INVITE (8 101) ; takes (8 101) | Session-Expires: 90;refresher=uac
carrier: gets 200 (8 101) ; acks ; hangs up on agent

== an UPDATE before the answer starts no timer: its end would be a BYE before the final answer
with: sources: ["192.0.2.10"] => sources: ["192.0.2.10"], session_expires: 90s
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 180
carrier: says UPDATE ; gets 200 | Session-Expires:
agent: +59s ; says 180 ; busy
`
	// RFC 4028 section 10: without the peer's refresh, our BYE comes a third of the interval before its end, at most 32 s.
	for _, tt := range []struct{ interval, wait, after string }{{"90", "59s", "1m0s"}, {"1800", "1767s", "1768s"}} {
		stories += strings.NewReplacer("INTERVAL", tt.interval, "WAIT", tt.wait, "AFTER", tt.after).Replace(`
== a caller does not refresh after INTERVAL seconds
carrier: calls 15075785607 | Supported: timer | Session-Expires: INTERVAL;refresher=uac ; gets 180
agent: gets INVITE | Session-Expires: ; takes | Supported: timer
carrier: gets 200 | Session-Expires: * ; acks ; +WAIT ; gets BYE | Reason: ~session_expired ; took AFTER ; says 200
agent: is left for session_expired
record: answered session_expired system | Q850: 102

== a target does not refresh after INTERVAL seconds
carrier: calls 15075785607 | Supported: timer ; gets 180
agent: gets INVITE | Session-Expires: ; takes | Supported: timer | Session-Expires: INTERVAL;refresher=uas
carrier: gets 200 | Session-Expires: ; acks
agent: +WAIT ; gets BYE | Reason: ~session_expired ; took AFTER ; says 200
carrier: is left for session_expired
record: answered session_expired system | Q850: 102
`)
	}
	tell(t, talkYAML("", ""), stories)
}
