//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// left is a flow, usually of a process that has ended, with sockets at both ends.
type left struct {
	Flow
	from, to *phone
}

// own adds a flow to a relay of this process.
func (l *lab) own(r *Relay, port int) *left {
	l.t.Helper()
	f := &left{from: l.a.phone(fmt.Sprintf("10.81.1.2:%d", port)), to: l.b.phone(fmt.Sprintf("10.81.2.2:%d", port))}
	f.Flow = Flow{In: ap(fmt.Sprintf("10.81.1.1:%d", port)), Source: f.from.addr, Out: ap(fmt.Sprintf("10.81.2.1:%d", port+2)), Dest: f.to.addr, SSRC: 7}
	must(l.t, put(r, f.Flow, State{}))
	return f
}

// leave adds a flow to a relay, and then ends the relay as if its process had ended.
func (l *lab) leave(o Options, port int) *left {
	l.t.Helper()
	r, err := Open(o)
	must(l.t, err)
	f := l.own(r, port)
	r.Leave()
	return f
}

// goesOn checks that the flow is relayed.
func (f *left) goesOn() {
	f.from.t.Helper()
	pkt := rtp(1, 160, 7, 0, "hello")
	f.from.send(f.In, pkt)
	f.to.expect(f.Out, pkt)
}

// isOver checks that packets of the flow go up.
func (f *left) isOver() {
	f.from.t.Helper()
	socket := newPhone(f.from.t, f.In.String())
	await(f.from.t, "packets to go up", func() bool { // the kernel removes the program after a while
		f.from.send(f.In, rtp(1, 160, 7, 0, "hello"))
		_, _, up := socket.hear(20 * time.Millisecond)
		return up
	})
	_ = socket.conn.Close()
}

// A start that fails ends none of the flows that it found.
func TestFailedStartEndsNothing(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		o := Options{Dir: filepath.Join(bpffs(t), "flowbridge-1"), Capacity: 64}
		f := l.leave(o, 20000)
		other := o
		other.Capacity = 128
		inTheWay := filepath.Join(o.Dir, fmt.Sprintf("v%d-128", layout), "in", "the-way")
		must(t, os.MkdirAll(inTheWay, 0o700))
		if r, err := Open(other); err == nil {
			r.Close()
			t.Fatal("the start did not fail")
		}
		f.goesOn()
		must(t, os.Remove(inTheWay))
		r, err := Open(o)
		must(t, err)
		defer r.Close()
		if r.Adopted() != 1 {
			t.Errorf("%d flows are adopted; want 1", r.Adopted())
		}
		f.goesOn()
	})
}

// A process that stops ends only its own flows, and not those that it has adopted. A relay of another capacity, which
// is treated like another layout, continues until the calls are restored, and then ends.
func TestCloseEndsItsOwn(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		o := Options{Dir: filepath.Join(bpffs(t), "flowbridge-1"), Capacity: 64}
		other := o
		other.Capacity = 128
		of, older := l.leave(o, 20000), l.leave(other, 21000)
		r, err := Open(o)
		must(t, err)
		own := l.own(r, 22000)
		own.goesOn()
		r.Close()
		of.goesOn()
		older.goesOn()
		own.isOver()
		o.Timeout = time.Second
		r, err = Open(o)
		must(t, err)
		if r.Adopted() != 1 {
			t.Errorf("%d flows are adopted; want 1", r.Adopted())
		}
		await(t, "it to be silent", func() bool { return r.Adopted() == 0 })
		of.isOver()
		older.goesOn()
		r.DismissAll()
		older.isOver()
		r.Close()
		if _, err := os.Stat(o.Dir); !os.IsNotExist(err) {
			t.Errorf("the directory is still there: %v", err)
		}
	})
}

// A sender that never stops does not keep an unknown flow alive for ever.
func TestAdoptedFlowGetsTooOld(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		o := Options{Dir: filepath.Join(bpffs(t), "flowbridge-1"), Capacity: 64}
		of := l.leave(o, 20000)
		o.Timeout, o.MaxAge = time.Hour, time.Nanosecond
		r, err := Open(o)
		must(t, err)
		defer r.Close()
		await(t, "it to be too old", func() bool { return r.Adopted() == 0 })
		of.isOver()
	})
}

// RemoveLeftovers ends the flows of an instance that now has another directory, but not those of another process.
func TestLeftovers(t *testing.T) {
	for _, clsact := range []bool{false, true} {
		t.Run(fmt.Sprintf("clsact %v", clsact), func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				base := bpffs(t)
				gone, taken := Options{Dir: filepath.Join(base, "flowbridge-1"), Capacity: 64, noTCX: clsact}, Options{Dir: filepath.Join(base, "flowbridge-2"), Capacity: 64, noTCX: clsact}
				f, kept := l.leave(gone, 20000), l.leave(taken, 21000)
				r, err := Open(taken) // so its directory is in use
				must(t, err)
				defer r.Close()
				f.goesOn()
				RemoveLeftovers(filepath.Join(base, "flowbridge-*"))
				f.isOver()
				if _, err := os.Stat(gone.Dir); !os.IsNotExist(err) {
					t.Errorf("the directory is still there: %v", err)
				}
				kept.goesOn()
			})
		})
	}
}
