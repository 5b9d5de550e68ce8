package sdp

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"flowbridge/media/ice"
)

var ourMedia = netip.MustParseAddrPort("198.51.100.1:20000")

// browserText returns an offer as browsers make it. Further lines are of the stream; those with a "s:" before them are
// of the session.
func browserText(ufrag string, more ...string) []byte {
	session, stream := "a=group:BUNDLE 0\r\n", ""
	for _, line := range more {
		if text, ok := strings.CutPrefix(line, "s:"); ok {
			session += text + "\r\n"
		} else {
			stream += line + "\r\n"
		}
	}
	return []byte("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" + session +
		"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:" + ufrag +
		"\r\na=ice-pwd:browser-password+browser\r\na=ice-options:trickle\r\na=setup:actpass\r\n" +
		printOf("AB") + "\r\n" + stream)
}

// ICE characters have no hyphen.
func browser(ufrag string, more ...string) []byte {
	return []byte(strings.ReplaceAll(string(browserText(ufrag, more...)), "browser-password", "browserpassword"))
}

// answerOf applies an offer to a leg, and returns our answer.
func answerOf(t *testing.T, l *LegCrypto, offer []byte) (*Description, string) {
	t.Helper()
	d, err := Read(offer, l.Accept())
	if err != nil {
		t.Fatal(err)
	}
	text := string(d.Answering(d, ourMedia, l.Answering(d, false), d.Formats(), AsIs))
	l.Apply(d)
	return d, text
}

func linesOf(text, prefix string) (all []string) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, prefix); ok {
			all = append(all, strings.TrimSpace(value))
		}
	}
	return all
}

func one(t *testing.T, text, prefix string) string {
	t.Helper()
	all := linesOf(text, prefix)
	if len(all) != 1 {
		t.Fatalf("%d lines %s; want 1:\n%s", len(all), prefix, text)
	}
	return all[0]
}

// A browser's offer is answered as by an ICE-lite agent. The other side sees none of its ICE.
func TestICEAnswer(t *testing.T) {
	l := NewLegCrypto(dtlsMedia, ourPrint, false)
	d, text := answerOf(t, l, browser("abcd", "a=rtcp-mux",
		"a=candidate:1 1 udp 2113937151 9b36eaac.local 51472 typ host"))
	session, stream, _ := strings.Cut(text, "m=audio ")
	if !strings.Contains(session, "a=ice-lite\r\n") || !strings.Contains(session, "a=group:BUNDLE 0\r\n") ||
		strings.Count(text, "a=candidate:") != 1 {
		t.Errorf("got\n%s", text)
	}
	for prefix, want := range map[string]string{
		"a=candidate:": "1 1 UDP 2130706431 198.51.100.1 20000 typ host", "a=mid:": "0", "a=setup:": "passive",
		"a=rtcp-mux": "", "a=end-of-candidates": "",
	} {
		if got := one(t, stream, prefix); got != want {
			t.Errorf("%s%s; want %s", prefix, got, want)
		}
	}
	setup := l.Checks(d)
	own := ice.Credentials{Ufrag: one(t, stream, "a=ice-ufrag:"), Password: one(t, stream, "a=ice-pwd:")}
	want := &ice.Setup{Own: own, Peer: ice.Credentials{Ufrag: "abcd", Password: "browserpassword+browser"}}
	if !reflect.DeepEqual(setup, want) || len(own.Ufrag) < 4 || len(own.Password) < 22 {
		t.Errorf("%+v; want %+v", setup, want)
	}
	if d.Held() || d.PassedOn() != AsIs && d.PassedOn() != SendRecv {
		t.Errorf("0.0.0.0 with ICE counts as a hold: %s", d.PassedOn())
	}
	shown := string(d.ForTarget(ourMedia, StreamTransport{}, d.Formats(), AsIs))
	for _, word := range []string{"ice-", "candidate", "mid:", "group", "abcd"} {
		if strings.Contains(shown, word) {
			t.Errorf("the other side is shown %s:\n%s", word, shown)
		}
	}
}

// Our credentials last as long as the peer's do, in the answers, in offers of ours, and in the next process. An offer
// without ICE ends them.
func TestICERestart(t *testing.T) {
	l := NewLegCrypto(dtlsMedia, ourPrint, false)
	ufrag := func(offer []byte) string {
		_, text := answerOf(t, l, offer)
		return strings.Join(linesOf(text, "a=ice-ufrag:"), " ")
	}
	first := ufrag(browser("abcd", "a=rtcp-mux"))
	if again := ufrag(browser("abcd", "a=rtcp-mux", "a=sendonly")); again != first {
		t.Errorf("%s after %s without a restart", again, first)
	}
	st := l.State()
	l = RestoreLegCrypto(dtlsMedia, ourPrint, &st)
	if again := ufrag(browser("abcd", "a=rtcp-mux")); again != first {
		t.Errorf("%s after %s in the next process", again, first)
	}
	ours := string(offerOf(t, l, ourMedia))
	if one(t, ours, "a=ice-ufrag:") != first || one(t, ours, "a=mid:") != "0" || one(t, ours, "a=ice-lite") != "" {
		t.Errorf("our offer:\n%s", ours)
	}
	answer, err := Read(browser("wxyz", "a=rtcp-mux"), l.AcceptAnswer())
	if err == nil {
		t.Errorf("an answer with actpass is taken: %+v", answer)
	}
	answer, err = Read([]byte(strings.Replace(string(browser("abcd", "a=rtcp-mux")), "actpass", "active", 1)),
		l.AcceptAnswer())
	if err != nil {
		t.Fatal(err)
	}
	l.Answered(answer)
	l.Apply(answer)
	if c := l.Checks(answer); c == nil || c.Own.Ufrag != first {
		t.Errorf("after the answer to our offer: %+v", c)
	}
	second := ufrag(browser("efgh", "a=rtcp-mux"))
	if second == first || second == "" {
		t.Errorf("%s after %s with a restart", second, first)
	}
	d, text := answerOf(t, l, dtlsText(printOf("AB"), "a=setup:actpass"))
	if strings.Contains(text, "ice") || l.Checks(d) != nil {
		t.Errorf("an offer without ICE:\n%s", text)
	}
	if third := ufrag(browser("efgh", "a=rtcp-mux")); third == second || third == "" {
		t.Errorf("%s after %s, an offer without it between", third, second)
	}
}

// A lite peer is checked: its candidates for RTP over UDP, in the order of their priority. We are the DTLS client.
func TestICELite(t *testing.T) {
	l := NewLegCrypto(dtlsMedia, ourPrint, false)
	d, text := answerOf(t, l, browser("abcd", "s:a=ice-lite", "a=rtcp-mux", "a=candidate:1 1 tcp 9 192.0.2.9 9 typ host",
		"a=candidate:1 2 udp 9 192.0.2.9 9 typ host",
		"a=candidate:2 1 udp 5 192.0.2.5 5 typ host", "a=candidate:3 1 UDP 7 192.0.2.7 7 typ host generation 0",
		"a=candidate:4 1 udp 6 224.0.0.1 6 typ host",
		"a=candidate:5 1 udp 4 2001:db8::4 4 typ host", "a=candidate:6 1 udp 3 192.0.2.3 0 typ host", "a=candidate:bad"))
	var got []string
	for _, c := range l.Checks(d).Candidates {
		got = append(got, c.String())
	}
	if want := []string{"192.0.2.7:7", "192.0.2.5:5", "[2001:db8::4]:4"}; !slices.Equal(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
	if strings.Contains(text, "a=ice-lite") || one(t, text, "a=setup:") != "active" {
		t.Errorf("got\n%s", text)
	}
}

// ICE that can't be used is answered as if it were not there.
func TestUnusableICE(t *testing.T) {
	for name, tt := range map[string]struct {
		offer    []byte
		mismatch bool
	}{
		"no rtcp-mux":    {browser("abcd"), false},
		"short ufrag":    {browser("abc", "a=rtcp-mux"), false},
		"long ufrag":     {browser(strings.Repeat("a", 257), "a=rtcp-mux"), false},
		"bad characters": {browserText("abcd", "a=rtcp-mux"), false},
		"another address": {[]byte(strings.Replace(string(browser("abcd", "a=rtcp-mux",
			"a=candidate:1 1 udp 9 192.0.2.9 9 typ host")),
			"c=IN IP4 0.0.0.0", "c=IN IP4 192.0.2.8", 1)), true},
	} {
		l := NewLegCrypto(dtlsMedia, ourPrint, false)
		d, text := answerOf(t, l, tt.offer)
		if l.Checks(d) != nil || strings.Contains(text, "a=ice-ufrag") ||
			strings.Contains(text, "a=ice-mismatch\r\n") != tt.mismatch {
			t.Errorf("%s: %+v\n%s", name, l.Checks(d), text)
		}
	}
	for _, candidate := range []string{
		"a=candidate:1 1 udp 9 192.0.2.8 9 typ host",
		"a=candidate:1 1 udp 9 x.local 9 typ host",
	} {
		l := NewLegCrypto(dtlsMedia, ourPrint, false)
		d, _ := answerOf(t, l, []byte(strings.Replace(string(browser("abcd", "a=rtcp-mux", candidate)), "c=IN IP4 0.0.0.0",
			"c=IN IP4 192.0.2.8", 1)))
		if l.Checks(d) == nil {
			t.Errorf("no ICE with %s", candidate)
		}
	}
}

// An offer whose candidates are all over TCP is refused in words: no packet would ever come over UDP.
func TestICEOverTCP(t *testing.T) {
	const (
		tcp = "a=candidate:1 1 tcp 1518280447 192.0.2.9 9 typ host tcptype active"
		udp = "a=candidate:2 1 UDP 1 192.0.2.9 4000 typ host"
	)
	l := NewLegCrypto(dtlsMedia, ourPrint, false)
	for _, lite := range []string{"s:a=ice-lite", "s:a=x"} {
		if _, err := Read(browser("abcd", lite, "a=rtcp-mux", tcp), l.Accept()); !errors.Is(err, ErrTCP) {
			t.Errorf("%s: got %v", lite, err)
		}
		if _, err := Read(browser("abcd", lite, "a=rtcp-mux", tcp, udp), l.Accept()); err != nil {
			t.Errorf("%s: with UDP, too: %v", lite, err)
		}
	}
	if _, err := Read(browser("abcd", tcp), l.Accept()); err != nil { // without rtcp-mux: no ICE
		t.Error(err)
	}
}
