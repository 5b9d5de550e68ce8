package calltest

import (
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/internal/siptest"
	"flowbridge/store/record"
)

// An hour on both legs with timers of 90 s, in both roles: whoever has to
// refreshes, by UPDATE where the peer allows it, and the o= line never changes
// (RFC 4028 sections 7.4, 9 and 10). What one leg agreed on is not passed to the
// other.
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
				time.Sleep(400 * time.Millisecond) // before a request comes again
				for _, e := range []*end{c.carrier, c.agent} {
					if tt.ours {
						counts[e] += refreshed(w.t, e, tt.update, last)
						continue
					}
					if time.Now().After(next[e]) {
						role := "uac" // each time it says who refreshes
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
				e.p.rest() // the ACK of the last
			}
			c.hangsUp()
		})
	}
}

// refreshed answers the refreshes that an end got, and says how many.
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

// RFC 4028 section 10: a peer that was to refresh and does not is hung up a
// third of the time, at most 32 s, before its end; the other side, too.
func TestPeerStopsRefreshing(t *testing.T) {
	for _, tt := range []struct {
		interval string
		after    time.Duration
	}{{"90", 60 * time.Second}, {"1800", 1768 * time.Second}} {
		for _, who := range []string{"carrier", "agent"} {
			inWorldWith(t, talkYAML("", ""), func(w *world) {
				invite, ok := []string{"Supported: timer"}, []string{"Supported: timer"}
				if who == "carrier" {
					invite = append(invite, "Session-Expires: "+tt.interval+";refresher=uac")
				} else {
					ok = append(ok, "Session-Expires: "+tt.interval+";refresher=uas")
				}
				c := w.talk(invite, ok)
				if got := c.ok.value("Session-Expires"); (got != "") != (who == "carrier") {
					t.Errorf("Session-Expires went from one leg to the other: %s", got)
				}
				if got := c.invite.value("Session-Expires"); got != "" {
					t.Errorf("Session-Expires went from one leg to the other: %s", got)
				}
				time.Sleep(tt.after - time.Second)
				e := c.carrier
				if who == "agent" {
					e = c.agent
				}
				begin := time.Now()
				e.byeTo(cause.SessionExpired)
				if d := time.Since(begin); d != time.Second {
					t.Errorf("BYE after %v", tt.after-time.Second+d)
				}
				c.other(e).byeTo(cause.SessionExpired)
				if r := w.wantRecord("answered", cause.SessionExpired, record.EndedBySystem); r.Q850 != 102 {
					t.Errorf("q850 %d", r.Q850)
				}
			})
		}
	}
}

// RFC 4028 sections 7.3 and 9: too short a session is refused with what is
// taken; the target's refusal has the INVITE sent again.
func TestSessionTooShort(t *testing.T) {
	inWorldWith(t, talkYAML("", "session_expires: 90s"), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.extra = "Supported: timer\nSession-Expires: 60\n"
		w.carrier.invite(d)
		m := d.learn(w.carrier.expect("SIP/2.0 422"))
		if m.value("Min-SE") != "90" {
			t.Errorf("422\n%s", m.raw)
		}
		w.carrier.ackRefused(d)

		d = w.carrier.newCall("+15075785607")
		d.extra = "Supported: timer\nSession-Expires: 120\n"
		in := w.carrier.ringsAt(w.agent, d)
		w.agent.concludes(in, 422, "Session Interval Too Small", "x", "", "Min-SE: 300")
		in = w.agent.expect("INVITE")
		if in.value("Session-Expires") != "300" || in.value("Min-SE") != "300" || in.value("CSeq") != "2 INVITE" {
			t.Errorf("again\n%s", in.raw)
		}
		w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"), "Session-Expires: 300;refresher=uas")
		if ok := w.carrier.expect("SIP/2.0 200"); ok.value("Session-Expires") != "120;refresher=uac" {
			t.Errorf("200\n%s", ok.raw)
		}
		w.carrier.ack(d)
		d.extra = ""
		w.callerEnds(w.agent, d)
	})
}

// A refresh by re-INVITE whose answer is on its way is not the answer to a
// change that the other side wants.
func TestRefreshBesideAnExchange(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, []string{"Session-Expires: 90;refresher=uac", "Allow: INVITE"})
		time.Sleep(44 * time.Second)
		refresh := w.agent.expect("INVITE")
		seq := c.carrier.offers("INVITE", c.carrier.pcma())
		w.agent.silent(time.Second / 10)
		w.agent.concludes(refresh, 200, "OK", "", siptest.SessionAt("192.0.2.20", 30000, "0 101"), "Session-Expires: 90;refresher=uac")
		in := w.agent.expect("INVITE")
		if described(t, in).Speaks().Name != "PCMA" {
			t.Errorf("asked for\n%s", in.raw)
		}
		w.agent.concludes(in, 200, "OK", "", siptest.SessionAt("192.0.2.20", 30000, "8 101"), "Session-Expires: 90;refresher=uac")
		if ok := w.carrier.expect("SIP/2.0 200"); described(t, ok).Speaks().Name != "PCMA" {
			t.Errorf("answer\n%s", ok.raw)
		}
		c.carrier.acks(seq, "")
		c.hangsUp()
	})
}

// RFC 4028: an UPDATE before the answer starts no session timer, which would
// have us send BYE to who has no final answer.
func TestEarlyUpdateStartsNoTimer(t *testing.T) {
	yaml := strings.Replace(testConfig, `{name: carrier,`, `{name: carrier, session_expires: 90s,`, 1)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.dialsTillRung("+15095785607")
		invite := w.agent2.progresses(180, "Ringing", "b", "")
		w.carrier.within(d, "UPDATE", "")
		if ok := w.carrier.expect("SIP/2.0 200"); ok.value("Session-Expires") != "" {
			t.Errorf("the UPDATE gets\n%s", ok.raw)
		}
		time.Sleep(59 * time.Second)
		w.agent2.reply(invite, 180, "Ringing", "b", "")
		w.carrier.isBusyAt(w.agent2, invite, "b", d)
		w.record()
	})
}
