//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"flowbridge/internal/pgtest"
	"flowbridge/sim"
)

// text returns an answer of the admin API as text.
func (s *server) text(path string) string {
	s.t.Helper()
	res, err := client.Get(s.admin + path)
	must(s.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s: %v", path, res.Status, err)
	}
	return string(body)
}

// TestKernelRelay makes the kernel relay both directions of a call. Before and after that the process relays them, with
// no packet lost. The record must count all packets.
func TestKernelRelay(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	if health := b.text("/healthz"); !strings.Contains(health, "media: kernel: ") {
		t.Skip("needs a kernel that can relay: ", health)
	}
	n := s.relayed(5*8000, func() {
		eventually(t, "the kernel relays both directions", func() bool {
			return strings.Contains(b.text("/metrics"), "\nflowbridge_media_streams{path=\"kernel\"} 2\n")
		})
	})
	s.counts(b.finish(hungUpByCaller)[0], n)
}

// pinsEnv tells a process of these tests that it has a separate mount namespace, and where the program is.
const pinsEnv = "FLOWBRIDGE_E2E_PINS"

// withPins gives a test a BPF file system that no other process has. It reports whether the test must continue. If not,
// the test has already run, in a process with a separate mount namespace.
func withPins(t *testing.T) bool {
	t.Helper()
	if os.Getenv(pinsEnv) != "" {
		if err := unix.Mount("bpf", "/sys/fs/bpf", "bpf", 0, ""); err != nil {
			t.Skipf("needs a BPF file system: %v", err)
		}
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a mount namespace")
	}
	runIn(t, seats)
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), pinsEnv+"="+program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM):
		t.Skipf("needs the right to a mount namespace: %v", err)
	case err != nil || !bytes.Contains(out, []byte("--- ")):
		t.Errorf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" ")):
		t.Skipf("the test in a mount namespace of its own was skipped, for the reason that it gives:\n%s", out)
	}
	return false
}

// freePorts returns a range of n ports for RTP. The first port is free. The B2BUA skips ports in use.
func (s *stage) freePorts(n uint16) string {
	s.Helper()
	for {
		if first := s.freePort(s.b2bua).Port() &^ 1; first < 65535-n {
			return fmt.Sprintf("%d-%d", first, first+n-1)
		}
	}
}

// TestKilledWhileTheKernelRelays kills the B2BUA in a call whose RTP the kernel relays, and starts it again. No packet
// may be lost, neither while there is no process nor when the next one takes over, and the record must count all of
// them.
func TestKilledWhileTheKernelRelays(t *testing.T) {
	if !withPins(t) {
		return
	}
	s := newPreparedStage(t)
	of := setup{listen: []string{"udp://" + s.freePort(s.b2bua).String()}, media: ", ports: " + s.freePorts(100)}
	b := s.serve(of)
	if health := b.text("/healthz"); !strings.Contains(health, "media: kernel: ") {
		t.Skip("needs a kernel that can relay: ", health)
	}
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	carrier := s.sippCarrier("caller_hangup", one.key()...)
	ids := carrier.answered(1)
	agent.confirmed(1)
	toA := carrier.rtpOf("SIP/2.0 200", 1)
	toB := agent.rtpOf("INVITE ", 1)
	words := sim.Words(7)
	for len(words) < 8*8000 {
		words = append(words, words...)
	}
	ways := []*way{
		{from: one, to: two, at: toA, expectFrom: toB, name: "to the agent", packets: speech(words[:8*8000], 0xa1)},
		{from: two, to: one, at: toB, expectFrom: toA, name: "to the carrier", packets: speech(words[:8*8000], 0xb2)},
	}
	var speaking sync.WaitGroup
	for _, w := range ways {
		speaking.Go(func() { w.from.talk(w.packets, w.at) })
	}
	eventually(t, "the kernel relays both directions", func() bool {
		return strings.Contains(b.text("/metrics"), "\nflowbridge_media_streams{path=\"kernel\"} 2\n")
	})
	again := s.restart(of)
	speaking.Wait()
	for _, w := range ways {
		eventually(t, "RTP has come "+w.name, func() bool { w.gotRTP = w.to.heard(); return len(w.gotRTP) >= len(w.packets) })
		w.compareRTP(t)
	}
	carrier.leaves(agent, ids...)
	r := again.finish(hungUpByCaller)[0]
	s.counts(r, int64(len(ways[0].packets)))
	if r.Restored != 1 {
		t.Errorf("restored %d times; want once", r.Restored)
	}
}

// TestSeatGoesOverInTheKernel: when a node gets the seat, its kernel also relays the calls that it takes over from the
// other node.
func TestSeatGoesOverInTheKernel(t *testing.T) {
	if !withPins(t) {
		return
	}
	s := newPreparedStage(t)
	s.newSeat(pgtest.Start(t))
	o := setup{listen: []string{"udp://" + s.freePort(s.b2bua).String()}, media: ", engine: kernel, ports: " + s.freePorts(100)}
	s.serve(o)
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", append(two.key(), "-aa")...)
	carrier := s.sippCarrier("caller_hangup", append(one.key(), "-aa")...)
	talk := s.talking(one, two, carrier, agent)
	inKernel := func() {
		eventually(t, "the kernel relays both directions", func() bool {
			talk.says(one, two)
			talk.says(two, one)
			return strings.Contains(s.server.text("/metrics"), "\nflowbridge_media_streams{path=\"kernel\"} 2\n")
		})
	}
	inKernel()
	s.restart(o)
	inKernel()
	carrier.leaves(agent, talk.id(carrier))
	if r := s.server.finish(hungUpByCaller)[0]; r.Restored != 1 {
		t.Errorf("restored %d times", r.Restored)
	}
	nothingPinned(t)
}

// nothingPinned checks that no process has left maps or programs in the kernel.
func nothingPinned(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("/sys/fs/bpf", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) != ".debug" { // the kernel creates .debug files there
			t.Errorf("left in the kernel: %s", path)
		}
		return err
	})
	must(t, err)
}
