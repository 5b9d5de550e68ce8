package gateway

import (
	"strings"
	"testing"
)

// FuzzSession: a description that is read can be answered, and the answer be read.
func FuzzSession(f *testing.F) {
	f.Add("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" +
		"m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n")
	f.Fuzz(func(t *testing.T, body string) {
		s, err := parseSession([]byte(body))
		if err != nil {
			return
		}
		answer, err := describe(s.addr, 1, answerTo(s.mode), s.law, s.event)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseSession(answer); err != nil || back.law != s.law || back.event != s.event ||
			back.addr.Port() != s.addr.Port() {
			t.Fatalf("%+v became %+v, %v: %s", s, back, err, answer)
		}
	})
}

// FuzzDigit: whatever an INFO says, it is a key or nothing.
func FuzzDigit(f *testing.F) {
	f.Add("Signal=5\r\nDuration=160\r\n")
	f.Add("11")
	f.Fuzz(func(t *testing.T, body string) {
		if d := digitIn([]byte(body)); d != 0 && !strings.ContainsRune(digits, rune(d)) {
			t.Fatalf("key %q", d)
		}
	})
}
