package b2bua

import (
	"strconv"
	"strings"
	"testing"

	"flowbridge/internal/siptest"
	"flowbridge/media"
)

// TestCaptureOfSecuredCall: the SIP of an SRTP call is well formed in the capture,
// as Wireshark reads it: each body is as long as Content-Length says, and keys are
// as many asterisks as they had characters.
func TestCaptureOfSecuredCall(t *testing.T) {
	yaml := strings.Replace(recordingYAML("record: always", bothSecured), `country: "1"`, `country: "1", `+bothSecured, 1)
	inRecordedWorld(t, yaml, func(w *recorded) {
		c, toA, _ := securedTalk(t, w.world)
		w.talks(20)
		w.callerHangsUp(c.d)
		sip, _ := w.capture(w.record().Recordings[1])
		keys := 0
		for _, m := range sip {
			head, body, _ := strings.Cut(m.data, "\r\n\r\n")
			_, length, _ := strings.Cut(head, "\r\nContent-Length: ")
			length, _, _ = strings.Cut(length, "\r\n")
			if n, err := strconv.Atoi(length); err != nil || n != len(body) {
				t.Errorf("Content-Length is %q, the body has %d bytes:\n%s", length, len(body), m.data)
			}
			for _, after := range strings.Split(body, "inline:")[1:] {
				keys++
				key, _, _ := strings.Cut(after, "\r\n")
				if n := len(key); strings.Trim(key, "*") != "" || n < len(siptest.SRTPKey(media.SuiteAESCM128SHA80, 0)) || n > len(siptest.SRTPKey(toA.Suite, 0))+20 {
					t.Errorf("a key is shown as %q", key)
				}
			}
		}
		if keys < 5 {
			t.Errorf("the capture has %d keys", keys)
		}
	})
}
