//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestMinSE has an agent that wants a longer session timer than it is asked
// for (RFC 4028 section 7.4).
func TestMinSE(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{target: ", session_expires: 90s"})
	agent, carrier := s.sippAgent("min_se"), s.sippCarrier("caller_hangup")
	ids := carrier.answered(1)
	agent.confirmed(2)
	carrier.proceed(ids...)
	carrier.finish()
	agent.finish()
	invites := agent.received("INVITE ", 2)
	for i, want := range [][3]string{{"1 INVITE", "90", ""}, {"2 INVITE", "120", "120"}} {
		m := invites[i]
		if got := [3]string{m.header("CSeq"), m.header("Session-Expires"), m.header("Min-SE")}; got != want {
			t.Errorf("INVITE %d has CSeq, Session-Expires and Min-SE %q; want %q", i+1, got, want)
		}
	}
	b.finish(hungUpByCaller)
}

// sessionTimer is a call of three minutes with session timers of 90 s.
type sessionTimer struct {
	carrier string // who refreshes there: uac is the carrier, uas we
	agent   string // uac is we, uas the agent
}

// TestSessionTimers has two calls of three minutes: in one the carrier and we
// toward the agent refresh the sessions, in the other we toward the carrier and
// the agent.
func TestSessionTimers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]sessionTimer{
		"carrier_and_we": {"uac", "uac"},
		"we_and_agent":   {"uas", "uas"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newLongStage(t)
			s.prepareCalls()
			b := s.serve(setup{target: ", session_expires: 90s", media: ", start_timeout: 300s"})
			const patient = "200s"
			agent := s.agentPlays("session_timer", []string{"-timeout", patient}, "@REFRESHER@", c.agent, "@PAUSE@", "50000")
			carrier := s.carrierPlays("session_timer", []string{"-timeout", patient}, "@REFRESHER@", c.carrier, "@PAUSE@", "45500") // not at the moment of our refresh
			carrier.answered(1)
			agent.confirmed(1)
			if got := carrier.final(1, "INVITE").header("Session-Expires"); got != "90;refresher="+c.carrier {
				t.Errorf("the carrier was answered %q", got)
			}
			carrier.finishWithin(200 * time.Second)
			agent.finishWithin(patience)
			r := b.finish(hungUpByCaller)[0]
			if r.DurationMS < 179000 || r.DurationMS > 185000 {
				t.Errorf("the call lasted %d ms; want three minutes", r.DurationMS)
			}
			c.check(t, carrier, agent)
		})
	}
}

// check looks at the refreshes of a call.
func (c sessionTimer) check(t *testing.T, carrier, agent *sipp) {
	t.Helper()
	if c.agent == "uac" {
		updates := agent.count(true, "UPDATE ")
		if len(updates) != 3 && len(updates) != 4 {
			t.Errorf("the agent got %d refreshes; want one each 45 s", len(updates))
		}
		for _, m := range updates {
			if m.header("Session-Expires") != "90;refresher=uac" || m.body() != "" {
				t.Errorf("a refresh:\n%s", m.raw)
			}
		}
	}
	if c.carrier == "uas" {
		for _, m := range carrier.received("INVITE ", 4) {
			if m.header("Session-Expires") != "90;refresher=uac" || !strings.Contains(m.body(), "m=audio ") {
				t.Errorf("a refresh:\n%s", m.raw)
			}
		}
		return
	}
	for _, m := range []message{carrier.final(2, "INVITE"), carrier.final(3, "UPDATE"), carrier.final(4, "UPDATE")} {
		if m.header("Session-Expires") != "90;refresher=uac" || m.header("Require") != "timer" {
			t.Errorf("a refresh is answered\n%s", m.raw)
		}
	}
}

// TestUnrefreshed has a carrier that was to refresh the session, and does not:
// it gets BYE a third of the interval before its end.
func TestUnrefreshed(t *testing.T) {
	s := newLongStage(t)
	s.prepareCalls()
	b := s.serve(setup{media: ", start_timeout: 300s"})
	agent := s.sippAgent("caller_hangup", "-timeout", "80s")
	carrier := s.sippCarrier("unrefreshed", "-timeout", "80s")
	carrier.finishWithin(80 * time.Second)
	agent.finishWithin(patience)
	r := b.finish(want{"answered", "session_expired", "system", 200, []try{{"", 200, 200}}})[0]
	if r.DurationMS < 59000 || r.DurationMS > 62000 {
		t.Errorf("ended after %d ms; want 60000", r.DurationMS)
	}
}
