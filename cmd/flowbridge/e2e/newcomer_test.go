//go:build e2e

package e2e

import (
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ownNetwork gives the test a network namespace whose machine has an address of a LAN. What the test starts is there, too.
func ownNetwork(t *testing.T, lan netip.Addr) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	runtime.LockOSThread() // for good: the thread ends with the test, and the namespace with it
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

// TestSoftphoneOfTheFirstMinutes has a softphone call the demo as a newcomer does: it has the machine's address in the LAN,
// and dials each of the addresses that the demo prints.
func TestSoftphoneOfTheFirstMinutes(t *testing.T) {
	t.Parallel()
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
		phone := s.startBaresipAs(caller, s.freePort(lan), softWords(4711))
		phone.command("dial", "sip:"+called+"@"+at+":"+port)
		phone.await("CALL_ESTABLISHED")
		phone.hearsEcho()
		phone.hangUp()
	}
	demo.signal(unix.SIGTERM)
	if code := demo.exit(); code != 0 {
		t.Errorf("the demo ended with exit code %d", code)
	}
}

// TestReadme runs the commands of the README as they stand, one block after the other, in a copy of the repository.
func TestReadme(t *testing.T) {
	t.Parallel()
	ownNetwork(t, netip.MustParseAddr("192.168.78.5"))
	text, err := os.ReadFile("../../../README.md")
	must(t, err)
	script := "set -e\ntrap 'kill $(jobs -p) || true' EXIT\n"
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
