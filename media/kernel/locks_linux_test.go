//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"sync/atomic"
	"testing"
)

// While routes are looked up again, which may take long, no other caller waits, because a worker that waits would delay
// all its calls.
func TestNobodyWaitsForRoutes(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		var slow atomic.Bool
		looked, goOn := make(chan struct{}, 1), make(chan struct{})
		r := open(t, func(o *Options) {
			o.ipsec = func() bool {
				if slow.Load() {
					select {
					case looked <- struct{}{}:
					default:
					}
					<-goOn
				}
				return false
			}
		})
		a, b, f := l.relays(r, false)
		other := f
		other.In, other.Dest = ap("10.81.1.1:20010"), ap("10.81.2.7:5000")
		if err := r.Put(other, State{}); !errors.Is(err, ErrUnknown) {
			t.Errorf("a flow whose route is not known: %v", err)
		}
		slow.Store(true)
		<-looked
		if err := r.Put(other, State{}); !errors.Is(err, ErrUnknown) {
			t.Errorf("a flow whose route is not known: %v", err)
		}
		if _, err := r.Local(ap("10.81.9.9:1").Addr()); !errors.Is(err, ErrUnknown) {
			t.Errorf("our address, whose route is not known: %v", err)
		}
		other.Dest = f.Dest
		if err := r.Put(other, State{}); err != nil {
			t.Errorf("a flow whose route is known: %v", err)
		}
		if _, ok := r.State(f.In); !ok {
			t.Error("the flow is gone")
		}
		must(t, r.Read())
		must(t, r.Steer(ap("10.81.1.1:20011"), 0, 1))
		r.Unsteer(ap("10.81.1.1:20011"))
		_, _, _ = r.Uses(1), r.Adopted(), r.Path()
		if _, ok := r.Remove(other.In); !ok {
			t.Error("the flow can't be removed")
		}
		a.reaches(b, f, rtp(1, 160, 7, 0, "hello"))
		slow.Store(false)
		close(goOn)
		// A flow that was added during the look-up is rerouted by its result, too.
		lost := make(chan error, 1)
		f.Lost = func(why error) { lost <- why }
		must(t, r.Change(f))
		run(t, "ip", "link", "set", "right", "down")
		if why := <-lost; !errors.Is(why, ErrUnfit) {
			t.Errorf("lost: %v", why)
		}
	})
}
