package calltest

import (
	"strings"
	"testing"
)

// A target may repeat its answers, and several forks may answer.
func TestTargetsRepeat(t *testing.T) {
	tell(t, testConfig, `
== two forks answer: one is the call, the other is acknowledged and hung up
up: agent
agent: says 200 fork2 (0 101) to INVITE ; gets ACK | To: ~tag=fork2 ; gets BYE | To: ~tag=fork2 ; says 200
agent: says 200 (0 101) to INVITE ; gets ACK | To: ~tag=agent1 ; silent 1s # our ACK was lost
carrier: hangs up on agent
agent: +20s ; says 200 fork3 (0 101) to INVITE ; gets ACK ; gets BYE ; says 200 # nobody knows the call any more
agent: +20s ; says 200 fork4 (0 101) to INVITE ; silent 1m # 64*T1 are over: no UAS waits for an ACK any more

== a refusal that is repeated is acknowledged each time, also long after the call (RFC 3261 section 17.1.1.3)
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 486 ; gets ACK | URI: sip:+15075785607@192.0.2.20:32681 | To: ~;tag=agent1`+
		strings.Repeat(" ; says 486 ; gets ACK again", 49)+`
carrier: gets 486 ; acks
record: busy target_busy agent
agent: +30s ; says 486 ; gets ACK again ; +30s ; says 486 ; silent 1s

== a header that is configured stands for ours of its name
with: X-Empty: "{{.Header \"X-None\"}}" => User-Agent: "Contact Centre 7"
with: x-Caller: "{{.From.Number}}" => P-Asserted-Identity: "<sip:+18005550199@example.com>"
carrier: calls 15075785607 ; gets 180
agent: gets INVITE | P-Asserted-Identity: <sip:+18005550199@example.com> | User-Agent: Contact Centre 7 ; busy`)
	// Early media is passed on in every mode, but only once. If the carrier already got a 180, or should not get one, a
	// 180 becomes 183.
	for _, tt := range []struct{ ringing, first, then, code string }{
		{"immediate", " ; gets 180", "183", "180"},
		{"immediate", " ; gets 180", "183", "183"},
		{"on-target", "", "180", "180"},
		{"none", "", "183", "180"},
	} {
		tell(t, testConfig, strings.NewReplacer("RINGING", tt.ringing, "FIRST", tt.first, "THEN", tt.then, "CODE", tt.code).Replace(`
== early media, ringing RINGING
with: targets: [agent]} => targets: [agent], ringing: RINGING}
carrier: calls 15075785607FIRST
agent: gets INVITE ; says CODE (0 101) ; says CODE (0 101) ; says CODE (0 101)
carrier: gets THEN (:10000)
agent: says 180
carrier: silent 1s
agent: takes
carrier: gets 200 same ; acks ; hangs up on agent`))
	}
}

// If a target's answer has streams or formats that were not offered, the carrier does not get these. Declined streams
// keep their position in our answer, whatever attributes the target's answer has.
func TestAnswerIsHeldToTheOffer(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = strings.Replace(sdpAt("192.0.2.10", 20000), "m=audio", "m=video 20002 RTP/AVP 99\r\nm=audio", 1)
		invite := w.carrier.ringsAt(w.agent, d)
		answer := strings.NewReplacer("RTP/AVP 0 8 101", "RTP/AVP 18 0 101", "t=0 0\r\n", "t=0 0\r\na=lang:m=1\r\n").Replace(agentSDP())
		w.agent.concludes(invite, 200, "OK", "a", answer)
		ok := w.carrier.expect("SIP/2.0 200")
		if !strings.Contains(ok.raw, "a=lang:m=1\r\nm=video 0 RTP/AVP 99\r\nm=audio 10000 RTP/AVP 0 101\r\n") {
			t.Errorf("answer to the carrier:\n%s", ok.raw)
		}
		w.carrier.ack(d)
		w.callerHangsUp(d)
		if r := w.record(); r.Codec != "PCMU" {
			t.Errorf("codec %q", r.Codec)
		}
	})
}
