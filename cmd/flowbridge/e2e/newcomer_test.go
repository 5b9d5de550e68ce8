//go:build e2e

package e2e

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/sim"
)

// ownNetwork gives the test a network namespace in which the machine has an address of a LAN. Programs that the test
// starts are in it, too.
func ownNetwork(t *testing.T, lan netip.Addr) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and the namespace with the thread
	networks.Store(t, true)
	must(t, unix.Unshare(unix.CLONE_NEWNET))
	for _, line := range []string{
		"link set lo up", "link add lan type veth peer name switch", "address add " + lan.String() + "/24 dev lan",
		"link set lan up", "link set switch up",
	} {
		out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %s: %v\n%s", line, err, out)
		}
	}
}

// TestSoftphoneOfTheFirstMinutes makes a softphone call the demo as a new user would: the softphone has the machine's
// address in the LAN, and dials each of the addresses that the demo prints.
func TestSoftphoneOfTheFirstMinutes(t *testing.T) {
	runIn(t, cores)
	lan := netip.MustParseAddr("192.168.77.5")
	ownNetwork(t, lan)
	s := &stage{T: t}
	cmd := exec.Command(program, "demo", "--hold")
	cmd.Env = append(os.Environ(), raceEnv)
	demo := start(t, "flowbridge demo", cmd)
	eventually(t, "the demo says how to call it", func() bool { _, ok := demo.find("To look at it"); return ok })
	for _, at := range []string{"127.0.0.1", lan.String()} {
		t.Log(at)
		port, ok := demo.find("  sip:" + called + "@" + at + ":")
		if !ok {
			t.Fatalf("the demo does not say how to call it at %s", at)
		}
		phone := s.startBaresipAs(caller, s.freePort(lan), slices.Repeat(sim.Words(4711), 24))
		phone.command("dial", "sip:"+called+"@"+at+":"+port)
		phone.await("CALL_ESTABLISHED")
		answer := len(sim.Greeting(""))/frame + 50
		eventually(t, "an answer is heard", func() bool { return phone.loud() >= answer })
		phone.hangUp()
	}
	demo.signal(unix.SIGTERM)
	if code := demo.exit(); code != 0 {
		t.Errorf("the demo ended with exit code %d", code)
	}
}

// TestReadme runs the commands of the README unchanged, one block after the other, in a copy of the repository.
func TestReadme(t *testing.T) {
	runIn(t, cores)
	ownNetwork(t, netip.MustParseAddr("192.168.78.5"))
	text, err := os.ReadFile("../../../README.md")
	must(t, err)
	script := "set -e\ntrap 'kill $(jobs -p)' EXIT\n"
	for i, block := range strings.Split(string(text), "```sh\n")[1:] {
		commands, _, ended := strings.Cut(block, "```\n")
		if !ended {
			t.Fatalf("block %d has no end", i+1)
		}
		script += commands
	}
	dir := t.TempDir()
	if out, err := exec.Command("sh", "-c", `cd ../../.. && git ls-files -coz --exclude-standard | tar c --null -T - | tar x -C "$1"`, "sh", dir).
		CombinedOutput(); err != nil {
		t.Fatalf("a copy of the repository: %v\n%s", err, out)
	}
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = dir
	readme := start(t, "the README", cmd)
	if code := readme.exit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, want := range []string{"all of it held", "1 trunk, 1 target, 1 route: valid", "answered     caller_hangup"} {
		if _, ok := readme.find(want); !ok {
			t.Errorf("%q is missing", want)
		}
	}
}

// TestPublicAddress starts Flowbridge in a cloud, behind its NAT. The metadata service knows the public address, and an
// INVITE must have it. At the next start the address is different, which must cause a warning.
func TestPublicAddress(t *testing.T) {
	runIn(t, cores)
	lan := netip.MustParseAddr("10.77.0.5")
	ownNetwork(t, lan)
	must(t, exec.Command("ip", "address", "add", "169.254.169.254/32", "dev", "lo").Run())
	public := "203.0.113.9"
	listener, err := net.Listen("tcp", "169.254.169.254:80")
	must(t, err)
	metadata := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hetzner/v1/metadata/public-ipv4" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, public)
	})}
	go func() { _ = metadata.Serve(listener) }()
	defer metadata.Close()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "flowbridge.yaml"), []byte(`
sip: {listen: ["udp://0.0.0.0:5060"], advertise: auto, local_networks: [127.0.0.0/8]}
media: {advertise: auto}
trunks: [{name: carrier, sources: [local]}]
targets: [{name: agent, kind: sip, uri: "sip:{{.To.Number}}@10.77.0.5:5070"}]
routes: [{trunk: carrier, targets: [agent]}]
admin: {listen: "127.0.0.1:0"}
`), 0o600))
	out, err := exec.Command(program, "check", "--config", filepath.Join(dir, "flowbridge.yaml")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "advertise: 203.0.113.9, from Hetzner's metadata") {
		t.Errorf("check: %v\n%s", err, out)
	}
	for _, want := range []string{public, "203.0.113.10"} {
		public = want
		agent, err := net.ListenPacket("udp", "10.77.0.5:5070")
		must(t, err)
		defer agent.Close()
		cmd := exec.Command(program, "serve")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), raceEnv)
		b := start(t, "flowbridge", cmd)
		eventually(t, "it listens", func() bool { _, ok := b.find("sip listening"); return ok })
		call := start(t, "flowbridge call", exec.Command(program, "call", "--to", "sip:+15075785607@127.0.0.1", "--seconds", "1"))
		buffer := make([]byte, 2000)
		must(t, agent.SetReadDeadline(time.Now().Add(patience)))
		invite := ""
		for !strings.HasPrefix(invite, "INVITE ") { // the second process cancels the calls that the first one left
			n, _, err := agent.ReadFrom(buffer)
			must(t, err)
			invite = string(buffer[:n])
		}
		for _, line := range []string{"Contact: <sip:" + want + ":5060>", "c=IN IP4 " + want, "Via: SIP/2.0/UDP " + want + ":5060"} {
			if !strings.Contains(invite, line) {
				t.Errorf("%q is not in\n%s", line, invite)
			}
		}
		call.kill()
		_, warned := b.find(`"before":"203.0.113.9"`)
		if _, changed := b.find("another one than at the last start"); changed != warned || changed != (want == "203.0.113.10") {
			t.Errorf("%s: warned of another address: %v", want, changed)
		}
		agent.Close()
		b.signal(unix.SIGTERM)
		b.signal(unix.SIGTERM)
		b.exit()
	}
}
