//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A process replaces another one without a packet between. If it does not get ready, the other one goes on.
func TestHeir(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		o := Options{Dir: filepath.Join(bpffs(t), "flowbridge-1"), Capacity: 64}
		old, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(old.Close)
		a, b, f := l.relays(old, false)
		seq := uint16(0)
		talk := func() {
			t.Helper()
			for range 10 {
				seq++
				pkt := rtp(seq, 160*uint32(seq), 7, 0, "there")
				a.send(f.In, pkt)
				b.expect(f.Out, pkt)
			}
		}
		heir := func() *Relay {
			t.Helper()
			fd, err := unix.Dup(int(old.Directory().Fd()))
			if err != nil {
				t.Fatal(err)
			}
			o.Heir = os.NewFile(uintptr(fd), "heir")
			r, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		talk()
		next := heir()
		talk()
		if _, ok := next.Inherited(f.In); ok || next.Put(Flow{In: ap("10.81.1.1:20004"), Source: f.Source, Out: f.Out, Dest: f.Dest}, State{}) == nil {
			t.Error("the heir has flows before it inherits")
		}
		next.Close() // it does not get ready
		talk()
		next = heir()
		if err := next.Inherit(); err != nil {
			t.Fatal(err)
		}
		if _, err := next.Adopt(f); err != nil {
			t.Fatal(err)
		}
		next.Abandon() // it gets ready, and the other one goes on all the same
		talk()
		next = heir()
		if err := next.Inherit(); err != nil {
			t.Fatal(err)
		}
		is, ok := next.Inherited(f.In)
		if !ok || is.Source != f.Source || is.Dest != f.Dest || is.SSRC != f.SSRC || is.Out != f.Out || is.Rewrite != f.Rewrite {
			t.Errorf("inherited %+v, %v; want %+v", is, ok, f)
		}
		f.Rewrite.SeqOffset = 5
		state, err := next.Adopt(f)
		if err != nil || state.Packets != uint64(seq) {
			t.Errorf("adopted with %d packets, %v; want %d", state.Packets, err, seq)
		}
		old.Leave()
		t.Cleanup(next.Close)
		if _, err := Open(Options{Dir: o.Dir, Capacity: 64}); err == nil {
			t.Error("a third process has the directory")
		}
		a.send(f.In, rtp(seq+1, 160, 7, 0, "there"))
		b.expect(f.Out, rtp(seq+6, 160, 7, 0, "there"))
		if _, err := next.Adopt(f); err == nil {
			t.Error("a flow is adopted twice")
		}
		next.DismissAll()
		if s, ok := next.Remove(f.In); !ok || s.Packets != uint64(seq)+1 {
			t.Errorf("removed with %+v, %v", s, ok)
		}
	})
}
