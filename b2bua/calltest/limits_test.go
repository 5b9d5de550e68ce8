package calltest

import (
	"fmt"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/sim/siptest"
)

// maxMessage is the maximum size of a message in bytes.
const maxMessage = 16 << 10

// padSDP pads a session description to this many bytes.
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

// sized returns an INVITE of this many bytes.
func sized(d *dialogue, size int) string {
	text := func(pad int) string {
		lines := ""
		for ; pad > 2000; pad -= 1000 { // split the padding, so that no header is too long
			lines += "X-Pad: " + strings.Repeat("p", 1000-len("X-Pad: \r\n")) + "\n"
		}
		lines += "Subject: " + strings.Repeat("s", pad) + "\n"
		return strings.ReplaceAll(strings.Replace(d.request("INVITE"), "Max-Forwards", lines+"Max-Forwards", 1), "\r\n", "\n")
	}
	return text(size - len(siptest.CRLF(text(0))))
}

// Every size limit holds to the byte: a message at the limit is accepted, and one more byte
// is refused with a reason.
func TestLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		limit  int
		status string
		text   func(d *dialogue, size int) string
	}{
		"message": {maxMessage, "513 Message Longer Than 16384 Bytes", sized},
		"headers": {128, "400 More Than 128 Headers", func(d *dialogue, n int) string {
			text := d.request("INVITE")
			head, _, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
			more := strings.Repeat("X-A: b\n", n-strings.Count(head, "\n"))
			return strings.Replace(text, "Max-Forwards", more+"Max-Forwards", 1)
		}},
		"header": {4096, "400 Header Longer Than 4096 Bytes", func(d *dialogue, n int) string {
			return strings.Replace(d.request("INVITE"), "Max-Forwards", "Subject: s\n "+strings.Repeat("s", n-len("Subject: s\r\n "))+"\nMax-Forwards", 1)
		}},
		"body": {12 << 10, "513 Body Longer Than 12288 Bytes", func(d *dialogue, n int) string {
			const first, second = "--b\r\nContent-Type: application/sdp\r\n\r\n", "\r\n--b\r\nContent-Type: text/plain\r\nContent-Disposition: render;handling=optional\r\n\r\n"
			const last = "\r\n--b--\r\n"
			d.sdp = first + d.sdp + second + strings.Repeat("x", n-len(first+d.sdp+second+last)) + last
			return strings.Replace(d.request("INVITE"), "application/sdp\n", "multipart/mixed;boundary=b\n", 1)
		}},
		"session description": {8 << 10, "400 Session Description Longer Than 8192 Bytes", func(d *dialogue, n int) string {
			d.sdp = padSDP(d.sdp, n)
			return d.request("INVITE")
		}},
	} {
		runIn(t, name, testConfig, func(w *world) {
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
	}
}

// An answer of a target has the same limit as an offer. If it is larger, it is unusable,
// and the target gets BYE, also if a request could not be as long.
func TestLimitOfAnswers(t *testing.T) {
	for _, size := range []int{8192, 8193, 12<<10 + 1, maxMessage, 60_000} {
		runIn(t, fmt.Sprint(size), testConfig, func(w *world) {
			d, invite := w.carrier.callsAt(w.agent, "+15075785607")
			w.agent.concludes(invite, 200, "OK", "a", padSDP(agentSDP(), size))
			if size <= 8192 {
				w.carrier.isAnswered(d)
				w.callerEnds(w.agent, d)
				return
			}
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			w.carrier.isRefused(d, "503")
			if r := w.record(); r.Cause != string(cause.BadAnswer) || r.Attempts[0].Cause != string(cause.BadAnswer) ||
				r.Attempts[0].Error != sdp.ErrTooLong.Error() {
				w.t.Errorf("cause %s, %+v; want %s", r.Cause, r.Attempts, cause.BadAnswer)
			}
		})
	}
}

// The same is true over TCP: the connection stays, and no call is blamed on a silent target.
func TestLimitOfAnswersOverTCP(t *testing.T) {
	for _, size := range []int{8193, maxMessage, 60_000} {
		runIn(t, fmt.Sprint(size), streamConfig, func(w *world) {
			targets, caller := w.streamAgent(agentAddr), w.connect(carrierAddr.Addr())
			d := caller.newCall("+15075785607")
			caller.invitesTillRung(d)
			target := targets.accept()
			target.concludes(target.expect("INVITE"), 200, "OK", "a", padSDP(agentSDP(), size))
			target.reply(target.expect("BYE"), 200, "OK", "", "")
			caller.isRefused(d, "503")
			if r := w.record(); r.Attempts[0].Cause != string(cause.BadAnswer) {
				w.t.Errorf("%+v; want %s", r.Attempts, cause.BadAnswer)
			}
		})
	}
}

// Other responses keep the limit of a body, because they are passed on with headers of our own. A target that repeats its
// answer within the limit is heard.
func TestLimitOfPassedResponses(t *testing.T) {
	const limit = 12 << 10
	for _, size := range []int{limit, limit + 1, 60_000} {
		runIn(t, fmt.Sprint(size), testConfig, func(w *world) {
			d, _ := w.established()
			w.carrier.within(d, "INFO", "x", "Content-Type: text/plain")
			body := strings.Repeat("x", size)
			w.agent.reply(w.agent.expect("INFO"), 200, "OK", "", body)
			if size > limit {
				body = "small"
				w.agent.reply(w.agent.expect("INFO"), 200, "OK", "", body)
			}
			if got := w.carrier.expect("SIP/2.0 200").res().Body(); string(got) != body {
				w.t.Errorf("a body of %d bytes was passed on; want %d", len(got), len(body))
			}
			w.callerEnds(w.agent, d)
		})
	}
}
