package webrtc

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
)

var (
	serverAt  = netip.MustParseAddrPort("127.0.5.2:5060")
	browserAt = netip.MustParseAddrPort("127.0.6.3:0")
	agentAt   = netip.MustParseAddrPort("127.0.7.2:5060")
)

// patience ends a test that hangs. A test that works takes less time on any machine.
const patience = time.Minute

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, ok func() bool) {
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

func newServer(t *testing.T) *flowbridge.Server {
	t.Helper()
	s, err := flowbridge.New(binary, t.TempDir(), namespace.Here)
	must(t, err)
	must(t, s.Configure(strings.NewReplacer(
		"@SERVER@", serverAt.String(), "@HOST@", serverAt.Addr().String(), "@BROWSER@", browserAt.Addr().String(),
		"@AGENT@", agentAt.String(), "@STORE@", s.Store(), "@SOCKET@", s.Socket(),
	).Replace(`sip: {listen: ["udp://@SERVER@"]}
media: {listen: ["@HOST@"], ports: 24000-24999, engine: userspace}
trunks:
  - {name: browser, sources: ["@BROWSER@"], media: {srtp: required, srtp_keying: dtls}}
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
	for _, line := range []string{"a=ice-lite", "a=mid:0", "a=group:BUNDLE 0", "a=rtcp-mux", "a=setup:passive", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:1 1 UDP 2130706431 127.0.5.2 "} {
		if strings.Count(answer.Body(), "\r\n"+line) != 1 {
			t.Errorf("want one line %q", line)
		}
	}
	p.speaks("from the peer")
	p.hears("from the peer")
	await(t, "audio at the agent", func() bool { return a.heard.Load() > 20 && a.last.Load() == "from the peer" })
}
