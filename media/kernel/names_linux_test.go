//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A directory's name identifies the instance, and a BPF file system accepts it.
func TestDir(t *testing.T) {
	seen := map[string]string{OldDir(10000): "an earlier version"}
	for addr, want := range map[string]string{
		"0.0.0.0": "0-0-0-0", "::": "--", "10.0.0.5": "10-0-0-5", "2001:db8::5": "2001-db8--5", "::10:0:0:5": "--10-0-0-5", "fe80::1%eth0.7": "fe80--1_eth0-7", "fe80::1:7": "fe80--1-7", "fe80::1%7": "fe80--1_7",
	} {
		dir := Dir(netip.MustParseAddr(addr), 10000)
		if want := "/sys/fs/bpf/flowbridge-" + want + "-10000"; dir != want {
			t.Errorf("%s: %s; want %s", addr, dir, want)
		}
		if other := seen[dir]; other != "" {
			t.Errorf("%s has the directory of %s", addr, other)
		}
		seen[dir] = addr
	}
	for dir := range seen {
		if ok, err := filepath.Match(Dirs, dir); !ok || err != nil || strings.Contains(dir, ".") {
			t.Errorf("%s: %v, %v", dir, ok, err)
		}
	}
}

// An upgrade from a version with another name of the directory continues with the old directory, without losing a
// packet.
func TestHeirOfOldDir(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		mount := bpffs(t)
		o := Options{Dir: filepath.Join(mount, "flowbridge-1"), Capacity: 64}
		old, err := Open(o)
		must(t, err)
		t.Cleanup(old.Close)
		f := l.own(old, 20000)
		stream := newStream(l)
		must(t, put(old, stream.Flow, State{}))
		stream.begin()
		o.Dir, o.OldDir = filepath.Join(mount, "flowbridge-new"), o.Dir
		for range 2 { // also from a process that uses the old name
			next, err := Open(replacing(t, old, o))
			must(t, err)
			t.Cleanup(next.Close)
			must(t, next.Inherit())
			for _, is := range []Flow{f.Flow, stream.Flow} {
				if _, err := next.Adopt(is); err != nil {
					t.Error(err)
				}
			}
			old.Leave()
			old = next
			RemoveLeftovers(filepath.Join(mount, "flowbridge-*"))
			f.goesOn()
		}
		stream.end(t)
		old.Close()
		if is := pinned(t, mount); len(is) > 0 {
			t.Errorf("pinned are %v", is)
		}
	})
}

// Flows that a killed process has left in a directory with the old name are not adopted. They are carried until all
// calls are restored, and then end.
func TestOldDir(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		mount := bpffs(t)
		o := Options{Dir: filepath.Join(mount, "flowbridge-1"), Capacity: 64}
		f := l.leave(o, 20000)
		o.Dir, o.OldDir = filepath.Join(mount, "flowbridge-new"), o.Dir
		r, err := Open(o)
		must(t, err)
		t.Cleanup(r.Close)
		own := l.own(r, 21000)
		f.goesOn()
		if r.Adopted() != 0 || r.Uses(f.In.Port()) {
			t.Error("it is adopted")
		}
		RemoveLeftovers(filepath.Join(mount, "flowbridge-*"))
		f.comesUp()
		own.goesOn()
		if is := pinned(t, mount); slices.Contains(is, o.OldDir) || !slices.Contains(is, o.Dir) {
			t.Errorf("pinned are %v", is)
		}
	})
}

// If only a directory with the old name was made for a user, the user's process uses it, and adopts the flows in it.
func TestOldDirOfUser(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		const nobody = 65534
		mount := bpffs(t)
		o := Options{Dir: filepath.Join(mount, "flowbridge-new"), OldDir: filepath.Join(mount, "flowbridge-1"), Capacity: 64}
		must(t, errors.Join(os.Mkdir(o.OldDir, 0o700), os.Chown(o.OldDir, nobody, nobody)))
		as := func(c *exec.Cmd) {
			c.SysProcAttr = &syscall.SysProcAttr{
				Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
				AmbientCaps: []uintptr{unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_PERFMON},
			}
		}
		f := &left{from: l.a.phone("10.81.1.2:4000"), to: l.b.phone("10.81.2.2:5000")}
		f.Flow = Flow{In: ap("10.81.1.1:20000"), Source: f.from.addr, Out: ap("10.81.2.1:20002"), Dest: f.to.addr, SSRC: 7}
		p := startChild(t, childOptions{Options: o, Flows: []childFlow{f.child()}}, as)
		p.kill(t)
		f.goesOn()
		if p = startChild(t, childOptions{Options: o}, as); strings.HasPrefix(p.said, "error") {
			t.Errorf("the next process: %s", p.said)
		}
		f.goesOn()
		if is := pinned(t, mount); !slices.Contains(is, o.OldDir) || slices.Contains(is, o.Dir) {
			t.Errorf("pinned are %v", is)
		}
	})
}
