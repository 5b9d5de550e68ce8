package calltest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/internal/siptest"
	"flowbridge/store/record"
)

// early has the agent send early media reliably to the carrier, or not.
func (w *world) early(extra string) (d *dialogue, in, m received) {
	w.t.Helper()
	d = w.carrier.newCall("+15075785607")
	d.extra = extra
	w.carrier.invite(d)
	d.extra = ""
	d.learn(w.carrier.expect("SIP/2.0 180"))
	in = w.agent.progresses(183, "Session Progress", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
	return d, in, w.carrier.expect("SIP/2.0 183")
}

// RFC 3262 section 3: the 200 waits for the PRACK of the 183 with SDP; what the
// caller does meanwhile counts.
func TestReliableEarlyMedia(t *testing.T) {
	var invite received // that the agent got
	for name, then := range map[string]func(w *world, d *dialogue, m received){
		"PRACK": func(w *world, d *dialogue, m received) {
			w.carrier.prack(d, m, "")
			if ok := w.carrier.expect("SIP/2.0 200"); len(ok.Body()) > 0 {
				t.Errorf("the 200 repeats the answer:\n%s", ok.raw)
			}
			w.carrier.ack(d)
			synctest.Wait()
			w.callerEnds(w.agent, d)
		},
		"PRACK with an offer": func(w *world, d *dialogue, m received) {
			d.learn(m)
			w.carrier.within(d, "PRACK", siptest.SessionAt("192.0.2.10", 20008, "0 101"), "Content-Type: application/sdp", fmt.Sprintf("RAck: %s 1 INVITE", m.value("RSeq")))
			ok := w.carrier.expect("SIP/2.0 200")
			if !strings.Contains(ok.value("CSeq"), "PRACK") || described(t, ok).Speaks().Name != "PCMU" {
				t.Errorf("PRACK got\n%s", ok.raw)
			}
			w.carrier.isAnswered(d)
			if got := w.relay.sessions[0].peers[0].RTP.Port(); got != 20008 {
				t.Errorf("media goes to port %d", got)
			}
			w.callerEnds(w.agent, d)
		},
		"CANCEL": func(w *world, d *dialogue, _ received) {
			w.carrier.cancel(d)
			c := w.talkOf(d, received{})
			c.carrier.finals("200", "487")
			w.carrier.ackRefused(d)
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			w.wantRecord("cancelled", cause.CallerCancelled, record.EndedByCaller)
		},
		"nothing": func(w *world, d *dialogue, _ received) {
			begin := time.Now()
			for range 6 {
				w.carrier.expect("SIP/2.0 183")
			}
			w.carrier.isRefused(d, "504")
			if got := time.Since(begin); got != 32*time.Second {
				t.Errorf("504 after %v", got)
			}
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			if r := w.wantRecord("failed", cause.NoPRACK, record.EndedBySystem); r.SIPStatus != 504 || !r.AnsweredAt.IsZero() {
				t.Errorf("record %+v", r)
			}
		},
		"the agent hangs up": func(w *world, d *dialogue, _ received) {
			w.talkOf(d, invite).agent.offers("BYE", "")
			w.agent.expect("SIP/2.0 200")
			w.carrier.expect("SIP/2.0 480") // the 200 is too late
			w.carrier.ackRefused(d)
			if r := w.wantRecord("no_answer", cause.AgentHangup, record.EndedByAgent); r.SIPStatus != 480 {
				t.Errorf("record %+v", r)
			}
		},
	} {
		runIn(t, name, talkYAML("", ""), func(w *world) {
			d, in, m := w.early(can100rel)
			if m.value("Require") != "100rel" || m.value("RSeq") == "" {
				w.t.Errorf("not reliable:\n%s", m.raw)
			}
			invite = in
			w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
			then(w, d, m)
		})
	}
}

// RFC 3262 section 3: a caller that never acknowledges is refused while the
// target still rings, too.
func TestNoPRACKWhileRinging(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d, in, _ := w.early(can100rel)
		for range 6 {
			w.carrier.expect("SIP/2.0 183")
		}
		w.carrier.isRefused(d, "504")
		w.agent.takesCancel(in, "agent1")
		if r := w.wantRecord("failed", cause.NoPRACK, record.EndedBySystem); r.SIPStatus != 504 {
			t.Errorf("record %+v", r)
		}
	})
}

// trunks[].rel100: off refuses Require, required wants Supported (RFC 3262
// section 3, RFC 3261 section 8.2.2.3).
func TestTrunkRel100(t *testing.T) {
	for _, tt := range []struct{ mode, header, want, name, value string }{
		{"off", "Require: 100rel", "420", "Unsupported", "100rel"},
		{"required", "Supported: timer", "421", "Require", "100rel"},
	} {
		inWorldWith(t, talkYAML("rel100: "+tt.mode, ""), func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.extra = tt.header + "\n"
			w.carrier.invite(d)
			m := d.learn(w.carrier.expect("SIP/2.0 " + tt.want))
			if m.value(tt.name) != tt.value {
				t.Errorf("%s: %s", tt.mode, m.raw)
			}
			w.carrier.ackRefused(d)
		})
	}
	for mode, reliable := range map[string]bool{"off": false, "supported": false, "required": true} {
		inWorldWith(t, talkYAML("rel100: "+mode, ""), func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.extra = can100rel
			w.carrier.invite(d)
			m := w.carrier.expect("SIP/2.0 180")
			if (m.value("RSeq") != "") != reliable {
				t.Errorf("%s: %s", mode, m.raw)
			}
			d.extra = ""
			if reliable {
				w.carrier.prack(d, m, "")
			}
			w.agent.concludes(w.agent.expect("INVITE"), 486, "Busy", "a", "")
			w.carrier.isRefused(d, "486")
			w.record()
		})
	}
}

// targets[].rel100: what our INVITE says, and the PRACK of what comes (RFC 3262
// section 4).
func TestTargetRel100(t *testing.T) {
	for mode, want := range map[string][2]string{"off": {"timer", ""}, "supported": {"timer, 100rel", ""}, "required": {"timer, 100rel", "100rel"}} {
		inWorldWith(t, talkYAML("", "rel100: "+mode), func(w *world) {
			d, in := w.carrier.callsAt(w.agent, "+15075785607")
			if in.value("Supported") != want[0] || in.value("Require") != want[1] {
				t.Errorf("%s: %s", mode, in.raw)
			}
			for _, tag := range []string{"a", "b"} { // two forks
				w.agent.reply(in, 183, "Session Progress", tag, siptest.SessionAt("192.0.2.20", 30000, "0 101"), "Require: 100rel", "RSeq: 5",
					"Record-Route: <sip:192.0.2.20:32681;lr;"+tag+">")
				prack := w.agent.expect("PRACK")
				if prack.value("RAck") != "5 1 INVITE" || !strings.HasSuffix(prack.value("To"), "tag="+tag) || prack.value("Route") != "<sip:192.0.2.20:32681;lr;"+tag+">" {
					t.Errorf("PRACK\n%s", prack.raw)
				}
				w.agent.reply(in, 183, "Session Progress", tag, siptest.SessionAt("192.0.2.20", 30000, "0 101"), "Require: 100rel", "RSeq: 5")
				w.agent.reply(prack, 200, "OK", "", "")
			}
			w.carrier.expect("SIP/2.0 183")
			w.agent.silent(time.Second)
			w.carrier.isTakenWith(w.agent, in, "b", d, "", "Record-Route: <sip:192.0.2.20:32681;lr;b>")
			w.agent.reply(in, 200, "OK", "a", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
			ack, bye := w.agent.expect("ACK"), w.agent.expect("BYE")
			if !strings.HasSuffix(ack.value("To"), "tag=a") || !strings.HasSuffix(bye.value("To"), "tag=a") {
				t.Errorf("the fork got\n%s%s", ack.raw, bye.raw)
			}
			w.agent.reply(bye, 200, "OK", "", "")
			w.callerEnds(w.agent, d)
		})
	}
}

// RFC 3264, RFC 3261 section 12.1: early media of several forks goes to the one
// that was heard last, and in the end to the one that answers.
func TestEarlyMediaOfForks(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d, in, _ := w.early("")
		c := w.talkOf(d, in)
		for i, tag := range []string{"agent1", "x", "y", "agent1"} {
			port := 30000 + 2*i
			code := 183
			if i == 3 {
				code = 200
			}
			w.agent.reply(in, code, "Whatever", tag, siptest.SessionAt("192.0.2.20", port, "0 101"))
			if got := c.agent.peer().RTP.Port(); int(got) != port {
				t.Errorf("after %s media goes to port %d; want %d", tag, got, port)
			}
		}
		w.agent.expect("ACK")
		w.carrier.isAnswered(d)
		c.hangsUp()
	})
}
