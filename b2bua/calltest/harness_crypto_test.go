package calltest

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// The suites of the tests, as spelled in a=crypto.
const (
	cm80  = media.SuiteAESCM128SHA80
	gcm   = media.SuiteAEADAES128GCM
	gcm32 = media.SuiteAEADAES256GCM
)

// cryptoAttr returns an a=crypto line whose key is derived from seed.
func cryptoAttr(tag int, s media.Suite, seed byte) string {
	return fmt.Sprintf("a=crypto:%d %v inline:%s", tag, s, siptest.SRTPKey(s, seed))
}

// securedAt returns a session description of PCMU over SRTP.
func securedAt(host string, port int, lines ...string) string {
	return strings.Replace(siptest.SessionAt(host, port, "0 101", lines...), "RTP/AVP", "RTP/SAVP", 1)
}

// cryptoLine is one a=crypto line.
type cryptoLine struct {
	text string
	Keys media.Keys
}

// cryptoOf returns the a=crypto lines of a message, by tag, and the transport of its
// audio.
func cryptoOf(t testing.TB, m received) (proto string, lines map[string]cryptoLine) {
	t.Helper()
	lines = map[string]cryptoLine{}
	for text := range strings.SplitSeq(string(m.Body()), "\r\n") {
		if rest, ok := strings.CutPrefix(text, "m=audio "); ok && !strings.HasPrefix(rest, "0 ") {
			proto = strings.Fields(rest)[1]
		}
		value, ok := strings.CutPrefix(text, "a=crypto:")
		if !ok {
			continue
		}
		fields := strings.Fields(value)
		suite, _ := media.ParseSuite(fields[1])
		inline, _, _ := strings.Cut(strings.TrimPrefix(fields[2], "inline:"), "|")
		key, err := base64.StdEncoding.DecodeString(inline)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		lines[fields[0]] = cryptoLine{text: text, Keys: media.Keys{Suite: suite, Key: key}}
	}
	return proto, lines
}

// wantCrypto checks that a message has one a=crypto line, with this tag and suite, and
// returns its keys.
func wantCrypto(t testing.TB, m received, tag string, s media.Suite) *media.Keys {
	t.Helper()
	proto, lines := cryptoOf(t, m)
	l, ok := lines[tag]
	if !strings.HasPrefix(proto, "RTP/SAVP") || !ok || len(lines) != 1 || l.Keys.Suite != s {
		t.Fatalf("want SRTP with line %s of %v and no other:\n%s", tag, s, m.raw)
	}
	return &l.Keys
}

// wantPlain checks that a message has audio over RTP and no keys.
func wantPlain(t testing.TB, m received) {
	t.Helper()
	if proto, lines := cryptoOf(t, m); proto != "RTP/AVP" || len(lines) > 0 {
		t.Errorf("want plain RTP:\n%s", m.raw)
	}
}

// wantMedia checks which keys a side's media has: the peer's key, derived from seed, and
// our keys. If ours is nil, the media must be plain RTP.
func (w *world) wantMedia(side media.Side, seed byte, ours *media.Keys) {
	w.t.Helper()
	synctest.Wait()
	s := w.relay.sessions[len(w.relay.sessions)-1]
	got := s.crypto[side]
	if ours == nil {
		if got != (media.Crypto{}) {
			w.t.Errorf("side %v has %+v; want plain RTP", side, got)
		}
		return
	}
	theirs := media.Keys{Suite: ours.Suite, Key: []byte(strings.Repeat(string(rune(seed)), ours.Suite.KeyLen()))}
	if !got.Send.Same(ours) || got.Receive == nil || !got.Receive.Same(&theirs) {
		w.t.Errorf("side %v has other keys than were said: %v", side, got)
	}
	if s.exposed {
		w.t.Error("a side got plain RTP in the place of SRTP")
	}
}
