package b2bua

import (
	"fmt"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/internal/siptest"
	"flowbridge/store/record"
)

// testLimits are the limits of a configuration that has none.
var testLimits = config.Limits{Message: 16 << 10, Headers: 128, Header: 4 << 10, Body: 12 << 10, SDP: 8 << 10}

// withLimits is testConfig with limits of its own.
func withLimits(limits string) string {
	return strings.Replace(testConfig, `5060"]}`, `5060"], limits: {`+limits+`}}`, 1)
}

// padSDP makes a description this long.
func padSDP(sdp string, size int) string {
	for len(sdp) < size {
		n := min(size-len(sdp), 200)
		if rest := size - len(sdp) - n; rest > 0 && rest < 6 {
			n -= 6
		}
		sdp += "a=x" + strings.Repeat("y", n-5) + "\r\n"
	}
	return sdp
}

// sized is an INVITE of this many bytes.
func sized(d *dialogue, size int) string {
	text := func(pad string) string {
		return strings.ReplaceAll(strings.Replace(d.request("INVITE"), "Max-Forwards", "Subject: "+pad+"\nMax-Forwards", 1), "\r\n", "\n")
	}
	return text(strings.Repeat("s", size-len(siptest.CRLF(text("")))))
}

// Every limit holds to the byte: what is at it is taken, one more is refused
// in words.
func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		limits string
		limit  int
		status string
		text   func(d *dialogue, size int) string
	}{
		{"message: 2000", 2000, "513 Message Longer Than 2000 Bytes", sized},
		{"message: 32768, header: 32768", 32768, "513 Message Longer Than 32768 Bytes", sized},
		{"headers: 16", 16, "400 More Than 16 Headers", func(d *dialogue, n int) string {
			text := d.request("INVITE")
			head, _, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
			more := strings.Repeat("X-A: b\n", n-strings.Count(head, "\n"))
			return strings.Replace(text, "Max-Forwards", more+"Max-Forwards", 1)
		}},
		{"header: 300", 300, "400 Header Longer Than 300 Bytes", func(d *dialogue, n int) string {
			return strings.Replace(d.request("INVITE"), "Max-Forwards", "Subject: s\n "+strings.Repeat("s", n-len("Subject: s\r\n "))+"\nMax-Forwards", 1)
		}},
		{"body: 1000", 1000, "513 Body Longer Than 1000 Bytes", func(d *dialogue, n int) string {
			d.sdp = padSDP(d.sdp, n)
			return d.request("INVITE")
		}},
		{"sdp: 1000", 1000, "400 Session Description Longer Than 1000 Bytes", func(d *dialogue, n int) string {
			d.sdp = padSDP(d.sdp, n)
			return d.request("INVITE")
		}},
		{"message: 32768, body: 31000, sdp: 25000", 25000, "400 Session Description Longer Than 25000 Bytes", func(d *dialogue, n int) string {
			d.sdp = padSDP(d.sdp, n)
			return d.request("INVITE")
		}},
	} {
		t.Run(tt.limits, func(t *testing.T) {
			inWorldWith(t, withLimits(tt.limits), func(w *world) {
				d := w.carrier.newCall("+15075785607")
				w.carrier.send(tt.text(d, tt.limit+1))
				d.learn(w.carrier.expect("SIP/2.0 " + tt.status + "\r\n"))
				w.carrier.ackRefused(d)
				d = w.carrier.newCall("+15075785607")
				w.carrier.send(tt.text(d, tt.limit))
				w.carrier.expect("SIP/2.0 180")
				w.agent.expect("INVITE")
				w.settle()
			})
		})
	}
}

// The answer of a target is held to the same limit as an offer: over it, it
// can't be used, and the target is hung up.
func TestLimitOfAnswers(t *testing.T) {
	for _, size := range []int{1000, 1001} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			inWorldWith(t, withLimits("sdp: 1000"), func(w *world) {
				d := w.carrier.newCall("+15075785607")
				w.carrier.invite(d)
				d.learn(w.carrier.expect("SIP/2.0 180"))
				invite := w.agent.expect("INVITE")
				w.agent.reply(invite, 200, "OK", "a", padSDP(agentSDP(), size))
				w.agent.expect("ACK")
				if size <= 1000 {
					w.carrier.expect("SIP/2.0 200")
					w.carrier.ack(d)
					w.callerHangsUp(d)
					w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
					return
				}
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
				w.carrier.expect("SIP/2.0 503")
				w.carrier.ackRefused(d)
				if r := w.record(); r.Cause != string(cause.BadAnswer) {
					t.Errorf("cause %s; want %s", r.Cause, cause.BadAnswer)
				}
			})
		})
	}
}
