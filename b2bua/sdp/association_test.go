package sdp

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"flowbridge/config"
	"flowbridge/media"
)

var dtlsMedia = config.PeerMedia{SRTP: config.SRTPRequired, Keying: config.KeyingDTLS} //nolint:gochecknoglobals // a constant

const ourPrint = "sha-256 AA"

// printOf returns an a=fingerprint line for SHA-256 in which all bytes are these two digits.
func printOf(digits string) string {
	return "a=fingerprint:sha-256 " + strings.TrimSuffix(strings.Repeat(digits+":", 32), ":")
}

// dtlsText returns a DTLS-SRTP description with these additional lines in the stream.
func dtlsText(lines ...string) []byte {
	return []byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 UDP/TLS/RTP/SAVP 0\r\n" + strings.Join(lines, "\r\n") + "\r\n")
}

func TestAssociation(t *testing.T) {
	const id = "abcdefghijklmnopqrst+/-_09"
	for name, c := range map[string]struct {
		answer bool
		lines  []string
		want   *association
	}{
		"an offer":        {false, []string{printOf("ab"), "a=setup:actpass", "a=tls-id:" + id}, &association{setup: "actpass", id: id}},
		"an answer":       {true, []string{printOf("AB"), "a=setup:active"}, &association{setup: "active"}},
		"no setup":        {true, []string{printOf("AB")}, &association{setup: "passive"}},
		"no setup, offer": {false, []string{printOf("AB")}, &association{setup: "active"}},
		"a bad id":        {false, []string{printOf("AB"), "a=setup:actpass", "a=tls-id:short"}, &association{setup: "actpass"}},
		"more prints":     {false, []string{"a=fingerprint:md5 AB", printOf("AB"), printOf("ab"), "a=setup:active"}, &association{setup: "active"}},
		"actpass answer":  {true, []string{printOf("AB"), "a=setup:actpass"}, nil},
		"holdconn":        {false, []string{printOf("AB"), "a=setup:holdconn"}, nil},
		"no print":        {false, []string{"a=setup:actpass"}, nil},
		"colons":          {false, []string{strings.ReplaceAll(printOf("AB"), "B:A", "BCA"), "a=setup:actpass"}, nil},
		"digits":          {false, []string{printOf("AG"), "a=setup:actpass"}, nil},
		"another hash":    {false, []string{strings.Replace(printOf("AB"), "256", "512", 1), "a=setup:actpass"}, nil},
	} {
		got := readAssociation("", strings.Join(c.lines, "\r\n")+"\r\n", c.answer)
		if (got == nil) != (c.want == nil) {
			t.Errorf("%s: %+v; want %+v", name, got, c.want)
		} else if got != nil && (got.setup != c.want.setup || got.id != c.want.id || !slices.Equal(got.fingerprints, []string{strings.ToLower(printOf("")[14:21]) + " " + printOf("AB")[22:]})) {
			t.Errorf("%s: %+v; want %+v", name, got, c.want)
		}
	}
	session := readAssociation(printOf("AB")+"\r\na=setup:active\r\n", printOf("CD")+"\r\n", false)
	if session.setup != "active" || !strings.HasSuffix(session.fingerprints[0], "CD") {
		t.Errorf("the stream's attributes come before the session's: %+v", session)
	}
}

// A leg's DTLS association continues or ends depending on the peer's new description.
func TestAssociationGoesOn(t *testing.T) {
	l := NewLegCrypto(dtlsMedia, ourPrint, false)
	at := netip.MustParseAddrPort("198.51.100.1:5000")
	offered := func(lines ...string) (answer string, again bool) {
		t.Helper()
		d, err := Read(dtlsText(lines...), l.Accept())
		must(t, err)
		answer = string(d.Answering(d, at, l.Answering(d, false), d.Formats(), AsIs))
		l.Apply(d)
		h, needed := l.Handshake()
		if needed {
			l.Agreed(media.Crypto{Receive: &media.Keys{}, Send: &media.Keys{}})
		}
		if _, twice := l.Handshake(); twice || needed && !l.IsCurrent(h) {
			t.Error("a handshake is needed twice, or is not the current one")
		}
		return answer, needed
	}
	for i, c := range []struct {
		lines []string
		setup string
		again bool
	}{
		{[]string{printOf("AB"), "a=setup:actpass"}, "active", true},
		{[]string{printOf("AB"), "a=setup:actpass"}, "active", false},
		{[]string{printOf("AB"), "a=setup:passive"}, "active", false},
		{[]string{printOf("AB"), "a=setup:active"}, "passive", true}, // the roles changed
		{[]string{printOf("AB"), "a=setup:actpass"}, "passive", false},
		{[]string{printOf("CD"), "a=setup:actpass"}, "active", true}, // the certificate changed
		{[]string{printOf("CD"), "a=setup:actpass", "a=tls-id:aaaaaaaaaaaaaaaaaaaaaaaa"}, "active", false},
		{[]string{printOf("CD"), "a=setup:actpass", "a=tls-id:bbbbbbbbbbbbbbbbbbbbbbbb"}, "active", true}, // another tls-id
	} {
		answer, again := offered(c.lines...)
		if again != c.again || !strings.Contains(answer, "a=setup:"+c.setup+"\r\n") || !strings.Contains(answer, "a=fingerprint:"+ourPrint+"\r\n") {
			t.Errorf("%d: a handshake is %v; want %v, with %s:\n%s", i, again, c.again, c.setup, answer)
		}
	}
	restored := RestoreLegCrypto(dtlsMedia, ourPrint, new(l.State()))
	if got, want := string(offerOf(t, restored, at)), string(offerOf(t, l, at)); got != want {
		t.Errorf("restored, the leg offers\n%s; want\n%s", got, want)
	}
}

func offerOf(t *testing.T, l *LegCrypto, at netip.AddrPort) []byte {
	t.Helper()
	d, err := Synthetic([]string{"PCMU"})
	must(t, err)
	return d.ForTarget(at, l.Offering(), d.Formats(), SendRecv)
}

// FuzzAssociation checks that for any DTLS attributes of a peer, our answer can be read, and contains none of these
// attributes.
func FuzzAssociation(f *testing.F) {
	f.Add(printOf("AB") + "\r\na=setup:actpass\r\na=tls-id:aaaaaaaaaaaaaaaaaaaaaaaa\r\na=rtcp-mux")
	f.Add("a=fingerprint:sha-256\r\na=setup:\r\na=tls-id")
	f.Add(printOf("AB") + "\r\n" + printOf("CD") + "\r\na=setup: active ")
	at := netip.MustParseAddrPort("198.51.100.1:5000")
	f.Fuzz(func(t *testing.T, lines string) {
		l := NewLegCrypto(dtlsMedia, ourPrint, false)
		d, err := Read(dtlsText(lines), l.Accept())
		if err != nil {
			return
		}
		answer := d.Answering(d, at, l.Answering(d, false), d.Formats(), AsIs)
		if strings.Count(string(answer), "a=fingerprint:") != 1 || strings.Count(string(answer), "a=setup:") != 1 {
			t.Errorf("answered with\n%s", answer)
		}
		l.Apply(d)
		if h, needed := l.Handshake(); !needed || len(h.With.Fingerprints) == 0 || len(h.With.Fingerprints) > maxFingerprints || !l.Awaits() || !l.Crypto().Awaited {
			t.Errorf("no handshake: %+v", h)
		}
	})
}

// A description without DTLS ends the association. If a handshake is in progress, its result is ignored, and DTLS later
// restarts with a new tls-id.
func TestAssociationLeft(t *testing.T) {
	for name, keyed := range map[string]bool{"in its handshake": false, "with keys": true} {
		t.Run(name, func(t *testing.T) {
			m := dtlsMedia
			m.SRTP = config.SRTPOptional
			l := NewLegCrypto(m, ourPrint, false)
			apply := func(sdp []byte) (Handshake, bool) {
				t.Helper()
				d, err := Read(sdp, l.Accept())
				must(t, err)
				l.Answering(d, false)
				l.Apply(d)
				return l.Handshake()
			}
			over := dtlsText(printOf("AB"), "a=setup:actpass", "a=tls-id:aaaaaaaaaaaaaaaaaaaaaaaa")
			plain := []byte(strings.Replace(string(dtlsText()), "UDP/TLS/RTP/SAVP", "RTP/AVP", 1))
			first, _ := apply(over)
			id := l.dtls.id
			if keyed {
				l.Agreed(media.Crypto{Receive: &media.Keys{}, Send: &media.Keys{}})
			}
			if l.Agrees() == keyed {
				t.Errorf("a handshake is under way: %v", !keyed)
			}
			if _, needed := apply(plain); needed || l.IsCurrent(first) || l.Agrees() || l.Crypto() != (media.Crypto{}) {
				t.Error("the association goes on without DTLS")
			}
			second, needed := apply(over)
			if !needed || l.IsCurrent(first) || !l.IsCurrent(second) || !l.Crypto().Awaited || l.dtls.id == id {
				t.Error("no handshake of another association")
			}
		})
	}
}

// If a new association is in its handshake when the process ends, the next process restarts the handshake, and does not
// use the keys from before.
func TestAssociationRestoredInItsHandshake(t *testing.T) {
	l := NewLegCrypto(dtlsMedia, ourPrint, false)
	for _, digits := range []string{"AB", "CD"} {
		d, err := Read(dtlsText(printOf(digits), "a=setup:actpass"), l.Accept())
		must(t, err)
		l.Apply(d)
		if _, needed := l.Handshake(); !needed {
			t.Fatal("no handshake")
		}
		if digits == "AB" {
			key := newKeys(media.SuiteAEADAES128GCM, nil)
			l.Agreed(media.Crypto{Receive: &key, Send: &key})
		}
	}
	if !l.Agrees() || l.Awaits() {
		t.Error("the keys before are not in force in the handshake")
	}
	restored := RestoreLegCrypto(dtlsMedia, ourPrint, new(l.State()))
	if _, needed := restored.Handshake(); !needed || !restored.Agrees() {
		t.Error("the handshake does not begin again")
	}
}
