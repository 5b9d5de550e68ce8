package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/cmd/flowbridge/node"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// writeYAML writes a configuration and returns the name of its file.
func writeYAML(t *testing.T, format string, args ...any) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "flowbridge.yaml")
	must(t, os.WriteFile(file, fmt.Appendf(nil, format, args...), 0o600))
	return file
}

// apart is a loopback address that no other test uses, so that no other test takes a port that was just found free.
const apart = "127.0.0.71"

// freePort returns a free port of that address.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", apart+":0")
	must(t, err)
	defer l.Close()
	at, err := netip.ParseAddrPort(l.Addr().String())
	must(t, err)
	return at.Port()
}

// The command also calls over TCP and TLS. A B2BUA passes the call to an agent, and the BYE uses the same connection.
func TestCallOverConnections(t *testing.T) {
	s, err := setStage(t.Context(), loopback) // provides the platform and its agent
	must(t, err)
	defer s.close()
	t.Setenv("DEMO_TOKEN", s.platform.Token())
	ca := siptest.NewAuthority(t, "ca")
	_, _, cert := ca.Sign("server", []string{apart})
	tcp, tls := freePort(t), freePort(t)
	file := writeYAML(t, `
sip: {listen: ["udp://127.0.0.1:0", "tcp://127.0.0.71:%d", "tls://127.0.0.71:%d"], tls: {cert: %q, key: %q}}
media: {listen: [127.0.0.1]}
trunks: [{name: carrier, sources: [127.0.0.0/8]}]
targets:
  - {name: agent, kind: synthflow, uri: "sip:{{.To.Number}}@%s", prepare: {api: %q, token_env: DEMO_TOKEN, model_id: m, workspace_id: w}, headers: {X-EI: "S.{{.Prepare.CallID}};"}}
routes: [{trunk: carrier, targets: [agent]}]
store: {path: %q}
admin: {listen: "127.0.0.1:0"}
`, tcp, tls, cert, cert+".key", s.platform.SIPAddr(), s.platform.APIURL(), filepath.Join(t.TempDir(), "a.db"))
	cfg, err := config.Load(file)
	must(t, err)
	n, err := node.Start(t.Context(), cfg, zerolog.Nop(), node.Options{})
	must(t, err)
	defer n.Close()
	for to, flags := range map[string][]string{
		fmt.Sprintf("sip:%s@127.0.0.71:%d;transport=tcp", demoCalled, tcp): nil,
		fmt.Sprintf("sip:%s@127.0.0.71:%d;transport=tls", demoCalled, tls): {"--ca", ca.File},
		fmt.Sprintf("sip:%s@127.0.0.71:%d;transport=TLS", demoCalled, tls): {"--insecure"},
	} {
		out, code := run(t, append([]string{"call", "--to", to, "--seconds", "1"}, flags...)...)
		if code != 0 || !strings.Contains(out, "our BYE got 200") || !strings.Contains(out, "we hear the other side") || !strings.Contains(out, "- INVITE sip:") {
			t.Errorf("%s: exit code %d\n%s", to, code, out)
		}
	}
	to := fmt.Sprintf("sip:%s@127.0.0.71:%d;transport=tls", demoCalled, tls)
	if out, code := run(t, "call", "--to", to); code != 1 || !strings.Contains(out, "certificate") {
		t.Errorf("an unknown authority: exit code %d\n%s", code, out)
	}
	var got struct {
		OK       bool
		Status   int `json:"sip_status"`
		RTP      struct{ Received uint64 }
		Messages []struct{ Line string }
	}
	out, code := run(t, "call", "--to", fmt.Sprintf("sip:%s@127.0.0.71:%d;transport=tcp", demoCalled, tcp), "--seconds", "1", "--json")
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || !got.OK || got.Status != 200 || got.RTP.Received == 0 || len(got.Messages) < 4 {
		t.Errorf("--json: exit code %d, %v\n%s", code, err, out)
	}
}

// If nothing listens at the address, the message is the same for each transport. It also says if sip.listen of the
// configuration lacks the address.
func TestCallWhereNothingListens(t *testing.T) {
	nobody := fmt.Sprintf("%s:%d", apart, freePort(t))
	file := writeYAML(t, "sip: {listen: [\"udp://127.0.0.71:5999\"]}\ntargets: [{name: a, kind: synthflow, prepare: {token_env: NOT_SET_ANYWHERE}}]\n")
	for network, says := range map[string]string{
		"udp": "no udp at " + nobody + ", but udp://127.0.0.71:5999; call that, or add udp://" + nobody + " there and restart Flowbridge",
		"tcp": "no tcp, but udp://127.0.0.71:5999; call that, or add tcp://" + nobody,
		"tls": "no tls, but udp://127.0.0.71:5999; call that, or add tls://" + nobody,
	} {
		to := "sip:100@" + nobody + ";transport=" + network
		out, code := run(t, "call", "--to", to, "--config", file)
		if code != 1 || !strings.Contains(out, "not answered: unreachable: nothing listens there") || !strings.Contains(out, says) || strings.Contains(out, "dial tcp") {
			t.Errorf("%s: exit code %d\n%s", network, code, out)
		}
		out, code = run(t, "call", "--to", to)
		if code != 1 || !strings.Contains(out, "nothing listens there") || !strings.Contains(out, "does the callee run?") || strings.Contains(out, "sip.listen") {
			t.Errorf("%s without a configuration: exit code %d\n%s", network, code, out)
		}
		var got struct{ Error, Hint string }
		out, _ = run(t, "call", "--to", to, "--config", file, "--json")
		if json.NewDecoder(strings.NewReader(out)).Decode(&got) != nil || !strings.Contains(got.Error, "nothing listens") || !strings.Contains(got.Hint, says) {
			t.Errorf("%s with --json: %s", network, out)
		}
	}
}

// A caller that is not in the sources of any trunk gets no answer from Flowbridge. The command says so, and what to
// write.
func TestCallFromNoTrunk(t *testing.T) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	must(t, err)
	defer conn.Close()
	at := conn.LocalAddr().String()
	_, port, _ := strings.Cut(at, ":")
	for name, tt := range map[string]struct{ yaml, says string }{
		"another network": {
			`trunks: [{name: carrier, sources: [203.0.113.0/24]}]`,
			"in trunks[0] (carrier): sources: [203.0.113.0/24, 127.0.0.1], then: flowbridge reload",
		},
		"no trunk": {"", "add: trunks: [{name: test, sources: [127.0.0.1]}]"},
	} {
		file := writeYAML(t, "sip: {listen: [\"udp://0.0.0.0:%s\"]}\ntargets: [{name: a, kind: synthflow, prepare: {token_env: NOT_SET_ANYWHERE}}]\n%s\n", port, tt.yaml)
		began := time.Now()
		out, code := run(t, "call", "--to", "sip:100@"+at, "--config", file)
		if code != 1 || !strings.Contains(out, "127.0.0.1 is in no trunk's sources in "+file) || !strings.Contains(out, tt.says) {
			t.Errorf("%s: exit code %d\n%s", name, code, out)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: it takes %v", name, took)
		}
		var got struct {
			OK    bool
			Hint  string
			Error string
		}
		out, _ = run(t, "call", "--to", "sip:100@"+at, "--config", file, "--json")
		object, _, _ := strings.Cut(out, "\nflowbridge: ")
		if err := json.Unmarshal([]byte(object), &got); err != nil || got.OK || !strings.Contains(got.Hint, tt.says) || got.Error == "" {
			t.Errorf("%s: --json: %v\n%s", name, err, out)
		}
	}
}

// If nothing listens, the command ends at once.
func TestCallNobodyThere(t *testing.T) {
	at := fmt.Sprintf("%s:%d", apart, freePort(t))
	began := time.Now()
	for _, transport := range []string{"udp", "tcp"} {
		out, code := run(t, "call", "--to", "sip:100@"+at+";transport="+transport)
		if code != 1 || !strings.Contains(out, "nothing listens there") && !strings.Contains(out, "refused") {
			t.Errorf("%s: exit code %d\n%s", transport, code, out)
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it takes %v", took)
	}
}
