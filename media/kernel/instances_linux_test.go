//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Without tcx, and without a directory in which a later process finds the filters, the error says what to do.
func TestOldKernelNeedsADirectory(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r, err := Open(Options{Capacity: 64, noTCX: true})
		if err == nil {
			r.Close()
			t.Fatal("opened")
		}
		if !strings.Contains(err.Error(), "before Linux 6.6") {
			t.Errorf("got %v", err)
		}
		filters, err := exec.Command("tc", "filter", "show", "dev", "left", "ingress").CombinedOutput()
		if err != nil || len(filters) > 0 {
			t.Errorf("left has %s, %v", filters, err)
		}
	})
}

// Two instances with the same ports, but different addresses and directories, relay side by side. When the second one
// ends, the first continues.
func TestTwoInstances(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		run(t, "ip", "addr", "add", "10.81.1.9/24", "dev", "left")
		mount := bpffs(t)
		at := func(addr string) func(*Options) {
			return func(o *Options) { o.Dir = filepath.Join(mount, filepath.Base(Dir(ap(addr).Addr(), ap(addr).Port()))) }
		}
		one, other := open(t, at("10.81.1.1:20000")), open(t, at("10.81.1.9:20000"))
		a, b := l.a.phone("10.81.1.2:4000"), l.b.phone("10.81.2.2:5000")
		flow := func(in, out string) Flow {
			return Flow{In: ap(in), Source: a.addr, Out: ap(out), Dest: b.addr, SSRC: 7}
		}
		first, second := flow("10.81.1.1:20000", "10.81.2.1:20002"), flow("10.81.1.9:20000", "10.81.2.1:20006")
		for r, f := range map[*Relay]Flow{one: first, other: second} {
			must(t, put(r, f, State{}))
		}
		seq := uint16(0)
		talk := func(f Flow) {
			seq++
			a.reaches(b, f, rtp(seq, 160*uint32(seq), 7, 0, "hello"))
		}
		for range 10 {
			talk(first)
			talk(second)
		}
		if s, ok := other.Remove(second.In); !ok || s.Packets != 10 {
			t.Errorf("the second has relayed %d packets, %v; want 10", s.Packets, ok)
		}
		other.Close()
		talk(first)
		if s, ok := one.Remove(first.In); !ok || s.Packets != 11 {
			t.Errorf("the first has relayed %d packets, %v; want 11", s.Packets, ok)
		}
	})
}
