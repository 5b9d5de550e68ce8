package calltest

import (
	"strconv"
	"strings"
	"testing"
)

// RFC 5621: a body of several parts is accepted, and the target gets its session
// description.
func TestMultipartInvite(t *testing.T) {
	const isup = "--b\nContent-Type: application/ISUP;version=itu-t92+\nContent-Disposition: signal;handling=optional\n\n\x01\x02\x00\xff\n"
	body := "--b\nContent-Type: application/sdp\n\n" + callerSDP() + "\n" + isup + "--b--\n"
	inWorld(t, func(w *world) {
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
		if invite.value("Content-Type") != "application/sdp" || !strings.Contains(invite.raw, "198.51.100.1") || strings.Contains(invite.raw, "\x01\x02") {
			t.Errorf("INVITE:\n%s", invite.raw)
		}
		w.shortCall(w.agent2, invite, "agent2", d)
	})
}
