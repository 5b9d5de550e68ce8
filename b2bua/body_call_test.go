package b2bua

import (
	"strconv"
	"strings"
	"testing"

	"flowbridge/b2bua/message"
)

// RFC 5621, RFC 6442: a body of several parts is understood, and the target
// gets those that it is to get.
func TestMultipartInvite(t *testing.T) {
	const location = "--b\nContent-Type: application/pidf+xml\nContent-ID: <loc@x>\n\n<presence/>\n"
	const isup = "--b\nContent-Type: application/ISUP;version=itu-t92+\nContent-Disposition: signal;handling=optional\n\n\x01\x02\x00\xff\n"
	body := "--b\nContent-Type: application/sdp\n\n" + callerSDP() + "\n" + location + isup + "--b--\n"
	for name, tt := range map[string]struct {
		passes string
		want   bool // the location
	}{
		"passed":  {"[application/pidf+xml]", true},
		"dropped": {"[]", false},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.Replace(testConfig, `{name: spare, kind: sip,`, `{name: spare, kind: sip, pass_parts: `+tt.passes+`,`, 1)
			inWorldWith(t, yaml, func(w *world) {
				d := w.carrier.newCall("+15095785607")
				d.sdp, d.extra = "", ""
				raw := d.request("INVITE")
				head, _, _ := strings.Cut(raw, "Content-Length")
				text := strings.ReplaceAll(body, "\r\n", "\n")
				text = strings.ReplaceAll(text, "\n", "\r\n")
				w.carrier.sendBytes([]byte(strings.ReplaceAll(head, "\n", "\r\n") +
					"Content-Type: multipart/mixed;boundary=b\r\nContent-Length: " + strconv.Itoa(len(text)) + "\r\n\r\n" + text))
				d.learn(w.carrier.expect("SIP/2.0 180"))
				invite := w.agent2.expect("INVITE")
				sdp, others, err := message.BodyOf(invite.req(), nil)
				if err != nil || !strings.Contains(string(sdp), "198.51.100.1") || strings.Contains(invite.raw, "\x01\x02") {
					t.Errorf("INVITE, %v:\n%s", err, invite.raw)
				}
				if got := len(others) == 1 && strings.Contains(invite.raw, "\r\n\r\n<presence/>\r\n--"); got != tt.want || strings.HasPrefix(invite.value("Content-Type"), "multipart/mixed") != tt.want {
					t.Errorf("the location is there: %v; want %v\n%s", got, tt.want, invite.raw)
				}
				w.agent2.takes(invite, "agent2")
				w.carrier.isAnswered(d)
				w.callerHangsUpAt(w.agent2, d)
				w.record()
			})
		})
	}
}
