//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// comesUp checks that the next packet of the flow goes up.
func (f *left) comesUp() {
	f.from.t.Helper()
	socket, pkt := newPhone(f.from.t, f.In.String()), rtp(1, 160, 7, 0, "hello")
	f.from.send(f.In, pkt)
	socket.expect(f.Source, pkt)
	f.to.silent()
	_ = socket.conn.Close()
}

// After Silence the next packet of every flow goes up, whichever process has left the flow. Nothing is pinned, and
// another process can use the directory and the ports at once. Later calls of the silent relay do not affect that
// process.
func TestSilence(t *testing.T) {
	for _, way := range []string{"tcx", "clsact"} {
		t.Run(way, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				mount := bpffs(t)
				o := Options{Dir: filepath.Join(mount, "flowbridge-1"), Capacity: 64, noTCX: way == "clsact"}
				other := o
				other.Capacity = 128 // treated like another layout
				adopted, older := l.leave(o, 20000), l.leave(other, 21000)
				r, err := Open(o)
				must(t, err)
				t.Cleanup(r.Close)
				flows := []*left{adopted, older, l.own(r, 22000)}
				for _, f := range flows {
					f.goesOn()
				}
				must(t, r.Silence())
				for _, f := range flows {
					f.comesUp()
				}
				if is := pinned(t, mount); len(is) > 0 {
					t.Errorf("pinned are %v", is)
				}
				run(t, "ip", "link", "add", "more", "type", "veth")
				run(t, "ip", "link", "set", "more", "up")
				must(t, r.attach()) // the watcher does this
				if err := r.Put(flows[2].Flow, State{}); err == nil {
					t.Error("a flow is carried again")
				}
				for _, i := range []string{"lo", "left", "right", "more"} {
					if out, err := exec.Command("tc", "filter", "show", "dev", i, "ingress").CombinedOutput(); err == nil && len(out) > 0 {
						t.Errorf("%s has a filter: %s", i, out)
					}
				}
				startChild(t, childOptions{Options: o, Clsact: o.noTCX, Flows: []childFlow{adopted.child(), older.child()}})
				must(t, r.Silence())
				r.DismissAll()
				r.Close()
				adopted.goesOn()
				older.goesOn()
				if _, err := os.Stat(o.Dir); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Without a directory there is nothing to remove.
func TestSilenceWithoutPins(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t)
		f := l.own(r, 20000)
		f.goesOn()
		must(t, r.Silence())
		f.comesUp()
	})
}

// Flows end before the program is detached from the interfaces, which takes the kernel a while. This includes the flows
// in the first and the last slot.
func TestSilenceBegins(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t, func(o *Options) { o.Capacity = 2*readMost + 7 })
		first := l.own(r, 20000)
		for i := range uint16(r.options.Capacity - 2) {
			f := first.Flow
			f.In = netip.AddrPortFrom(f.In.Addr(), 30000+i)
			must(t, put(r, f, State{}))
		}
		last := l.own(r, 21000)
		if c := r.flows[last.In]; int(c.slot) != r.options.Capacity {
			t.Fatalf("the last flow has slot %d", c.slot)
		}
		first.goesOn()
		last.goesOn()
		must(t, r.emptySlots())
		first.comesUp()
		last.comesUp()
	})
}
