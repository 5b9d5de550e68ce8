package webrtc

import (
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/sip"
)

var (
	serverAt  = netip.MustParseAddrPort("127.0.5.2:5060")
	browserAt = netip.MustParseAddrPort("127.0.6.3:0")
	phoneAt   = netip.MustParseAddrPort("127.0.6.4:0")
	agentAt   = netip.MustParseAddrPort("127.0.7.2:5060")
)

// patience ends a test that hangs. A test that works takes less time on any machine.
const patience = time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// replaceTo puts the To of an answer into a request.
func replaceTo(text, to string) string {
	begin := strings.Index(text, "\r\nTo: ") + len("\r\nTo: ")
	return text[:begin] + to + text[begin+strings.Index(text[begin:], "\r\n"):]
}

// binary is the server's program, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "webrtc")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "flowbridge")
	build := exec.Command("go", "build", "-o", binary, "./cmd/flowbridge")
	build.Dir, build.Stderr = "../..", os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func newServer(t testing.TB) *flowbridge.Server {
	t.Helper()
	s, err := flowbridge.New(binary, t.TempDir(), namespace.Here)
	must(t, err)
	must(t, s.Configure(strings.NewReplacer(
		"@SERVER@", serverAt.String(), "@HOST@", serverAt.Addr().String(), "@BROWSER@", browserAt.Addr().String(),
		"@PHONE@", phoneAt.Addr().String(), "@AGENT@", agentAt.String(), "@STORE@", s.Store(), "@SOCKET@", s.Socket(),
	).Replace(`sip: {listen: ["udp://@SERVER@"], max_delay: 1m}
media: {listen: ["@HOST@"], ports: 24000-24999, engine: userspace}
trunks:
  - {name: browser, sources: ["@BROWSER@"], media: {srtp: required, srtp_keying: dtls}}
  - {name: phone, sources: ["@PHONE@"], media: {srtp: required}}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@@AGENT@"}
routes:
  - {targets: [agent]}
store: {path: "@STORE@"}
admin: {listen: "unix://@SOCKET@", local: operate}
`)))
	must(t, s.Start())
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			text, _ := os.ReadFile(s.Log())
			t.Logf("%s", text)
		}
	})
	return s
}

// A full agent that offers ICE is answered as by a lite one. Audio flows both ways, over RTP that only its checks have
// found.
func TestCall(t *testing.T) {
	newServer(t)
	a, p := newAgent(t), newPeer(t, nil)
	answer := p.calls()
	p.connects(answer)
	for _, line := range []string{
		"a=ice-lite", "a=mid:0", "a=group:BUNDLE 0", "a=rtcp-mux", "a=setup:passive",
		"a=ice-ufrag:", "a=ice-pwd:", "a=candidate:1 1 UDP 2130706431 127.0.5.2 ",
	} {
		if strings.Count(answer.Body(), "\r\n"+line) != 1 {
			t.Errorf("want one line %q", line)
		}
	}
	p.speaks("from the peer")
	p.hears("from the peer")
	await(t, "audio at the agent", func() bool { return a.heard.Load() > 20 && a.last.Load() == "from the peer" })
}

// talks sets up a call with audio in both directions.
func talks(t *testing.T, s *flowbridge.Server, settings func(*webrtc.SettingEngine)) (*peer, sip.Message) {
	t.Helper()
	newAgent(t)
	p := newPeer(t, settings)
	answer := p.calls()
	p.connects(answer)
	p.speaks("words")
	p.hears("words")
	if live, err := s.Admin.Live(); live != 1 || err != nil {
		t.Fatalf("%d calls, %v", live, err)
	}
	return p, answer
}

// A call outlives the process: the next one answers the checks, with the same credentials and keys.
func TestProcessEnds(t *testing.T) {
	for name, next := range map[string]func(s *flowbridge.Server) error{
		"killed": func(s *flowbridge.Server) error {
			s.Kill()
			return s.Start()
		},
		"upgraded": func(s *flowbridge.Server) error {
			var said struct {
				PID int `json:"pid"`
			}
			text, err := s.Upgrade().Output()
			if err == nil {
				err = json.Unmarshal(text, &said)
			}
			s.PID = said.PID
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			p, _ := talks(t, s, nil)
			must(t, next(s))
			p.hears("words")
			if state := p.ICEConnectionState(); state != webrtc.ICEConnectionStateConnected {
				t.Errorf("the peer's ICE is %v", state)
			}
			must(t, p.Close())
			ends(t, s, "caller_hangup")
		})
	}
}

// ends waits for the record of the only call.
func ends(t *testing.T, s *flowbridge.Server, why string) {
	t.Helper()
	var all []flowbridge.Record
	await(t, "the end of the call", func() bool {
		all, _ = s.Admin.Records()
		return len(all) > 0
	})
	if len(all) != 1 || all[0].Cause != why {
		t.Errorf("records %+v; want one with %s", all, why)
	}
}

// A page that is closed ends its call at once, by the close_notify of DTLS.
func TestPeerCloses(t *testing.T) {
	s := newServer(t)
	p, _ := talks(t, s, nil)
	must(t, p.Close())
	ends(t, s, "caller_hangup")
}

// A peer may restart its ICE: both ends change their credentials, and the audio continues.
func TestRestart(t *testing.T) {
	s := newServer(t)
	p, first := talks(t, s, nil)
	p.offers(&webrtc.OfferOptions{ICERestart: true})
	p.sends("INVITE", 2, first.Header("To"), p.LocalDescription().SDP)
	again := p.final()
	p.connects(again)
	if ufrag(first) == ufrag(again) || ufrag(again) == "" {
		t.Errorf("our credentials are %s, and were %s", ufrag(again), ufrag(first))
	}
	p.hears("words")
}

func ufrag(answer sip.Message) string {
	_, rest, _ := strings.Cut(answer.Body(), "a=ice-ufrag:")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// An ice-lite peer, as Meta's, makes no checks: ours find and nominate its address.
func TestLitePeer(t *testing.T) {
	s := newServer(t)
	p, answer := talks(t, s, func(e *webrtc.SettingEngine) {
		e.SetLite(true)
		e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	})
	if body := answer.Body(); strings.Contains(body, "a=ice-lite") || !strings.Contains(body, "a=setup:active") {
		t.Errorf("answered with\n%s", body)
	}
	s.Kill()
	must(t, s.Start())
	p.hears("words")
}

// A peer whose candidates are all over TCP (RFC 6544) is refused in words: no check would ever come. The same peer with a
// candidate over UDP talks.
func TestTCPCandidates(t *testing.T) {
	newServer(t)
	newAgent(t)
	mux := func(e *webrtc.SettingEngine) {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		e.SetICETCPMux(webrtc.NewICETCPMux(nil, l, 8))
	}
	only := newPeer(t, func(e *webrtc.SettingEngine) {
		mux(e)
		e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	})
	answer := only.calls()
	if offer := only.LocalDescription().SDP; !strings.Contains(offer, " tcp ") || strings.Contains(offer, " udp ") {
		t.Fatalf("offered\n%s", offer)
	}
	const words = "all its candidates of ICE are over TCP, and media goes over UDP only"
	if why := answer.Header("Warning"); answer.Status() != 488 || !strings.HasPrefix(why, "302 ") || !strings.Contains(why, words) {
		t.Errorf("want 488 with a Warning 302 of %q:\n%s", words, answer)
	}
	both := newPeer(t, func(e *webrtc.SettingEngine) {
		mux(e)
		e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4, webrtc.NetworkTypeUDP4})
	})
	both.connects(both.calls())
	if offer := both.LocalDescription().SDP; !strings.Contains(offer, " tcp ") || !strings.Contains(offer, " udp ") {
		t.Fatalf("offered\n%s", offer)
	}
	both.speaks("words")
	both.hears("words")
}
