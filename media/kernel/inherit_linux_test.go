//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A process replaces another one without losing a packet. If the new process does not get ready, the old one continues.
func TestHeir(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		o := Options{Dir: filepath.Join(bpffs(t), "flowbridge-1"), Capacity: 64}
		old, err := Open(o)
		must(t, err)
		t.Cleanup(old.Close)
		a, b, f := l.relays(old, false)
		seq := uint16(0)
		talk := func() {
			t.Helper()
			for range 10 {
				seq++
				a.reaches(b, f, rtp(seq, 160*uint32(seq), 7, 0, "there"))
			}
		}
		heir := func() *Relay {
			t.Helper()
			fd, err := unix.Dup(int(old.Directory().Fd()))
			must(t, err)
			o.Heir = os.NewFile(uintptr(fd), "heir")
			r, err := Open(o)
			must(t, err)
			return r
		}
		talk()
		next := heir()
		talk()
		if _, ok := next.Inherited(f.In); ok || next.Put(Flow{In: ap("10.81.1.1:20004"), Source: f.Source, Out: f.Out, Dest: f.Dest}, State{}) == nil {
			t.Error("the heir has flows before it inherits")
		}
		next.Close() // the new process does not get ready
		talk()
		next = heir()
		must(t, next.Inherit())
		if _, err := next.Adopt(f); err != nil {
			t.Fatal(err)
		}
		next.Abandon() // the new process gets ready, but the old one continues after all
		talk()
		next = heir()
		must(t, next.Inherit())
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

// replacing returns the options with which a process replaces the process of another relay.
func replacing(t *testing.T, old *Relay, o Options) Options {
	t.Helper()
	fd, err := unix.Dup(int(old.Directory().Fd()))
	must(t, err)
	o.Heir = os.NewFile(uintptr(fd), "heir")
	return o
}

// pinned returns all pins and their directories in a BPF file system.
func pinned(t *testing.T, mount string) []string {
	t.Helper()
	pins, err1 := filepath.Glob(filepath.Join(mount, "flowbridge-*", "*", "*"))
	dirs, err2 := filepath.Glob(filepath.Join(mount, "flowbridge-*"))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return append(pins, dirs...)
}

// A process whose directory is not that of the process to be replaced is refused, even if the directory exists, because
// it then belongs to a third process.
func TestHeirOfAnotherDirectory(t *testing.T) {
	inLab(t, func(t *testing.T, _ *lab) {
		mount := bpffs(t)
		var open [2]*Relay
		for i, name := range []string{"flowbridge-1", "flowbridge-2"} {
			var err error
			open[i], err = Open(Options{Dir: filepath.Join(mount, name), Capacity: 64})
			must(t, err)
			t.Cleanup(open[i].Close)
		}
		pins := pinned(t, mount)
		next, err := Open(replacing(t, open[0], Options{Dir: filepath.Join(mount, "flowbridge-2"), Capacity: 64}))
		if err == nil {
			next.Abandon()
			t.Error("it has the directory of a third process")
		}
		if is := pinned(t, mount); !slices.Equal(is, pins) {
			t.Errorf("pinned are %v; want %v", is, pins)
		}
	})
}

// A process with another capacity opens its own maps. If it does not get ready, the old process loses nothing, and
// nothing of the new one remains.
func TestHeirOfAnotherCapacity(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		t.Chdir(t.TempDir())
		must(t, os.WriteFile("heir", nil, 0o600))
		mount := bpffs(t)
		o := Options{Dir: filepath.Join(mount, "flowbridge-1"), Capacity: 64}
		old, err := Open(o)
		must(t, err)
		t.Cleanup(old.Close)
		pins := pinned(t, mount)
		o.Capacity = 128
		heir := func(inherits bool) *Relay {
			t.Helper()
			next, err := Open(replacing(t, old, o))
			if err == nil && inherits {
				err = next.Inherit()
			}
			must(t, err)
			return next
		}
		for _, inherits := range []bool{false, true} {
			next := heir(inherits)
			next.reap(Now()) // the old process has no flow at the moment
			next.Abandon()
			if is := pinned(t, mount); !slices.Equal(is, pins) {
				t.Fatalf("pinned are %v; want %v", is, pins)
			}
		}
		a, b, f := l.relays(old, false)
		a.send(f.In, rtp(1, 160, 7, 0, "there"))
		b.expect(f.Out, rtp(1, 160, 7, 0, "there"))

		next := heir(true)
		old.Leave()
		next.DismissAll()
		next.reap(Now())
		if n := next.Adopted(); n != 0 {
			t.Errorf("%d flows of the process that has gone are carried", n)
		}
		next.Close()
		if is := pinned(t, mount); len(is) > 0 {
			t.Errorf("pinned are %v; want none", is)
		}
		if _, err := os.Stat("heir"); err != nil {
			t.Errorf("a file of the working directory: %v", err)
		}
	})
}
