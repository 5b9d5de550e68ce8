package b2bua

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/internal/siptest"
	"flowbridge/store"
)

// What comes out of a sequence, and when.
func TestSequence(t *testing.T) {
	for name, tt := range map[string]struct {
		first uint32
		come  string // methods with CSeq, in the order in which they come
		now   string // what is let through at once
		later string // and what when the time is over
	}{
		"in order":             {2, "INFO2 INFO3 BYE4", "INFO2 INFO3 BYE4", ""},
		"two changed places":   {2, "INFO3 INFO2 BYE4", "INFO2 INFO3 BYE4", ""},
		"all turned round":     {2, "BYE4 INFO3 INFO2", "INFO2 INFO3 BYE4", ""},
		"one is lost":          {2, "INFO3 BYE4", "", "INFO3 BYE4"},
		"one comes again":      {2, "INFO2 INFO2 INFO3", "INFO2 INFO2 INFO3", ""},
		"ACK waits for none":   {2, "ACK1 INFO3 ACK9", "ACK1 ACK9", "INFO3"},
		"unknown begin":        {0, "INFO7 INFO8", "INFO7 INFO8", ""},
		"unknown begin, REFER": {0, "BYE8 REFER7", "REFER7 BYE8", ""},
		"unknown begin, BYE":   {0, "BYE8", "", "BYE8"},
		"far behind a gap":     {2, "INFO9 INFO2 INFO3", "INFO2 INFO3", "INFO9"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sequence{next: tt.first}
			show := func(all []RequestIn) (out []string) {
				for _, in := range all {
					out = append(out, fmt.Sprint(in.Req.Method, in.Req.CSeq().SeqNo))
				}
				return out
			}
			var now []string
			for one := range strings.SplitSeq(tt.come, " ") {
				i := strings.IndexAny(one, "0123456789")
				var seq uint32
				fmt.Sscan(one[i:], &seq)
				now = append(now, show(s.take(legStart, inDialog(t, one[:i], seq)))...)
			}
			if got := strings.Join(now, " "); got != tt.now {
				t.Errorf("at once %q; want %q", got, tt.now)
			}
			if s.until.IsZero() != (tt.later == "") {
				t.Errorf("until %v", s.until)
			}
			if got := strings.Join(show(s.flush()), " "); got != tt.later {
				t.Errorf("later %q; want %q", got, tt.later)
			}
		})
	}
}

// Requests that have changed places on their way all get what they ask for.
func TestReorderedRequests(t *testing.T) {
	inWorldWith(t, digitsConfig("relay"), func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.carrier.send(d.inDialog("INFO", 3, "", "Info-Package: second"))
		w.carrier.send(d.inDialog("INFO", 2, "", "Info-Package: first"))
		for _, want := range []string{"first", "second"} {
			info := w.agent2.expect("INFO")
			if info.value("Info-Package") != want {
				t.Errorf("want the %s:\n%s", want, info.raw)
			}
			w.agent2.reply(info, 200, "OK", "", "")
		}
		w.carrier.expect("SIP/2.0 200")
		w.carrier.expect("SIP/2.0 200")
		d.later = 2
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
	inWorldWith(t, transferConfig, func(w *world) { // the agent's BYE overtakes its REFER
		_, invite := w.established()
		w.agent.agentRequest("BYE", invite, "agent1", 11)
		w.agent.agentRequest("REFER", invite, "agent1", 10, "Refer-To: <tel:4711>", "Refer-Sub: false")
		for range 2 {
			w.agent.expect("SIP/2.0 20")
		}
		called := w.agent2.expect("INVITE")
		w.agent2.reply(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		w.agent2.expect("ACK")
		time.Sleep(time.Second)
		w.agent2.agentRequest("BYE", called, "human", 5)
		w.agent2.expect("SIP/2.0 200")
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.wantRecord(store.DispositionAnswered, CauseAgentHangup, store.EndedByAgent)
	})
}

// An agent that hangs up before its 200 gets no call (RFC 3261 section 15): it is
// the next target's turn. One whose BYE has overtaken the 200 had one.
func TestByeBeforeAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15085785607")
		w.carrier.invite(d)
		invite := w.agent.expect("INVITE")
		w.agent.reply(invite, 180, "Ringing", "agent1", "")
		d.learn(w.carrier.expect("SIP/2.0 180"))
		w.agent.agentRequest("BYE", invite, "agent1", 2)
		w.agent.expect("SIP/2.0 200")
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.agent.reply(w.agent.expect("BYE"), 481, "No Such Call", "", "")
		w.agent2.reply(w.agent2.expect("INVITE"), 486, "Busy Here", "b", "")
		w.agent2.expect("ACK")
		w.carrier.expect("SIP/2.0 486")
		w.carrier.ackRefused(d)
		r := w.record()
		if r.Attempts[0].Cause != string(CauseAgentHangup) {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		w.agent.agentRequest("BYE", invite, "agent1", 2)
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.agent.expect("SIP/2.0 200")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.wantRecord(store.DispositionAnswered, CauseAgentHangup, store.EndedByAgent)
	})
}

// When a call is over, what was passed on is not sent again.
func TestRelayedRequestsEndWithTheCall(t *testing.T) {
	inWorldWith(t, digitsConfig("relay"), func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.carrier.within(d, "INFO", "", "Info-Package: x")
		w.agent2.expect("INFO")
		w.carrier.bye(d)
		for range 2 { // of INFO and BYE
			w.carrier.expect("SIP/2.0 ")
		}
		w.agent2.reply(w.agent2.expect("BYE"), 200, "OK", "", "")
		synctest.Wait()
		w.agent2.silent(40 * time.Second)
		w.record()
	})
}

// An address that media can't go to is refused, and the session stands.
func TestReofferOfOtherFamily(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		seq := w.carrier.reinvite(d, strings.ReplaceAll(sdpAt("2001:db8::9", 20000), "IN IP4", "IN IP6"))
		w.carrier.expect("SIP/2.0 488")
		ack := strings.Replace(d.inDialog("INVITE", seq, ""), "INVITE sip:", "ACK sip:", 1)
		w.carrier.send(strings.Replace(ack, fmt.Sprintf("CSeq: %d INVITE", seq), fmt.Sprintf("CSeq: %d ACK", seq), 1))
		if got := w.relay.sessions[0].peers[0].RTP.String(); got != "192.0.2.10:20000" {
			t.Errorf("media goes to %s", got)
		}
		w.callerHangsUp(d)
		w.record()
	})
}

// A request behind a gap that comes when its dialog has ended waits for nothing:
// nobody would look at it again.
func TestRequestBehindAGapAfterBye(t *testing.T) {
	lt := uasIn(t, "hung up")
	c := &Call{server: &Server{registry: newRegistry()}}
	l := &legOnWire{leg: lt.leg, sequence: sequence{next: 12}, wire: &wire{stack: &stack{}}}
	c.input(l, inDialog(t, "NOTIFY", 30))
	if len(l.sequence.held) > 0 || len(c.due) > 0 {
		t.Error("it is held")
	}
}

// A re-INVITE that waits behind a gap and is cancelled meanwhile is refused, not
// answered a moment later.
func TestCancelledBehindAGap(t *testing.T) {
	inTalk(t, "", "reinvite: relay", func(c *talk) {
		c.d.later = 1 // one that has come, or the next would be the first
		c.carrier.offers("UPDATE", "")
		c.carrier.p.expect("SIP/2.0 200")
		c.d.later++ // and one that was lost on the way
		seq := c.carrier.offers("INVITE", siptest.SessionAt(c.carrier.address, 42000, "0 101"))
		c.carrier.p.expect("SIP/2.0 100")
		c.carrier.cancels(seq)
		c.carrier.p.expect("SIP/2.0 200")
		c.carrier.ackRefusal(c.carrier.p.expect("SIP/2.0 487"))
		in := c.agent.p.expect("INVITE") // it was asked already
		c.agent.p.reply(in, 100, "Trying", "", "")
		time.Sleep(10 * time.Second) // longer than the transaction of the cancelled one lasts
		c.agent.p.reply(in, 200, "OK", "", siptest.SessionAt(c.agent.address, 44000, "0 101"))
		c.agent.p.expect("ACK")
		c.agent.takes(siptest.SessionAt(c.agent.address, 30000, "0 101")) // and has the session back
		c.carrier.p.silent(time.Second)
	})
}
