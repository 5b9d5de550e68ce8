package b2bua

import (
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/message"
)

func TestStatusText(t *testing.T) {
	for code := 400; code < 700; code++ {
		if text := message.StatusText(code); text == "" || strings.ContainsAny(text, "\r\n") {
			t.Errorf("%d: %q", code, text)
		}
	}
	for code, want := range map[int]string{503: "Service Unavailable", 599: "Server Failure", 499: "Request Failure", 699: "Global Failure"} {
		if got := message.StatusText(code); got != want {
			t.Errorf("%d: %q; want %q", code, got, want)
		}
	}
}

// RFC 3326 section 2: what the caller's CANCEL says goes on with ours, in our
// own words.
func TestReasonOfCancel(t *testing.T) {
	for said, want := range map[string]string{
		`SIP;cause=200;text="Call completed elsewhere at 10.1.2.3"`: `SIP;cause=200;text="Call completed elsewhere"`,
		`Q.850;cause=16;text="x", SIP;cause=487`:                    `Q.850;cause=16;text="caller_cancelled"`,
		`SIP;cause=603`:                                             `Q.850;cause=21;text="caller_cancelled"`,
		"":                                                          "",
	} {
		inWorld(t, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			w.carrier.invite(d)
			d.learn(w.carrier.expect("SIP/2.0 180"))
			invite := w.agent.expect("INVITE")
			w.agent.reply(invite, 180, "Ringing", "x", "")
			synctest.Wait()
			d.extra = "Reason: " + said + "\n"
			w.carrier.cancel(d)
			d.extra = ""
			w.carrier.expect("SIP/2.0 200")
			w.carrier.expect("SIP/2.0 487")
			w.carrier.ackRefused(d)
			cancel := w.agent.expect("CANCEL")
			if got := cancel.value("Reason"); got != want {
				t.Errorf("%q: CANCEL has %q; want %q", said, got, want)
			}
			w.agent.reply(cancel, 200, "OK", "x", "")
			w.agent.reply(invite, 487, "Request Terminated", "x", "")
			w.agent.expect("ACK")
			w.record()
		})
	}
}
