package transport

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// knows reports whether a refusal is remembered.
func (r *refusals) knows(tag string) bool {
	return r.has(func() (m message.Minted) {
		copy(m[:], tag)
		return m
	})
}

func (r *refusals) refuse(tag string) {
	var m message.Minted
	copy(m[:], tag)
	r.note(m[:])
}

// A refusal is remembered for as long as its INVITE may be repeated, and forgotten after that.
func TestRefusedAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefusals()
		if r.knows("a") {
			t.Error("something is known at the beginning")
		}
		r.refuse("a")
		time.Sleep(20 * time.Second)
		r.refuse("b")
		for _, step := range []struct {
			after time.Duration
			a, b  bool
		}{{0, true, true}, {14 * time.Second, true, true}, {time.Second, false, true}, {19 * time.Second, false, true}, {time.Second, false, false}} {
			time.Sleep(step.after)
			if a, b := r.knows("a"), r.knows("b"); a != step.a || b != step.b {
				t.Errorf("%v: a %v, b %v", step, a, b)
			}
		}
		if r.sets.Load() != nil {
			t.Error("its memory is not given back")
		}
		r.refuse("c")
		time.Sleep(17 * time.Second)
		r.refuse("c") // a second refusal restarts its time
		time.Sleep(refusedFor * time.Second)
		if !r.knows("c") || r.knows("a") {
			t.Error("c is forgotten, or a is known")
		}
	})
}

// In a flood, at least the newest refusals are remembered. Many goroutines may read and write at the same time.
func TestRefusedInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefusals()
		var all sync.WaitGroup
		for g := range 4 {
			all.Go(func() {
				for i := range 30_000 {
					r.refuse(fmt.Sprint(g, " ", i))
					r.knows(fmt.Sprint(i, " ", g))
				}
			})
		}
		all.Wait()
		time.Sleep(time.Second)
		for i := range 100 {
			r.refuse(fmt.Sprint("last ", i))
		}
		for i := range 100 {
			if !r.knows(fmt.Sprint("last ", i)) {
				t.Errorf("%d is not known", i)
			}
		}
		for i := range 10_000 {
			if r.knows(fmt.Sprint("never ", i)) {
				t.Errorf("%d was never refused", i)
			}
		}
	})
}

// An INVITE comes twice at once. If one copy is refused and the other becomes a call, the INVITE belongs to the call:
// the transaction answers further copies (RFC 3261 section 17.2.1).
func TestRefusedAndTaken(t *testing.T) {
	h := newHost(t, judgeConfig, Network{}, Unplugged)
	sc := h.stack.newScreen(config.TransportUDP, nil)
	invite, from := newCall("INVITE", ""), netip.MustParseAddrPort("192.0.2.11:5060")
	if v := sc.noRoom(scanned(t, invite), peers.Sender{Addr: from}); v.status == "" {
		t.Fatal("it is not refused")
	}
	if v := sc.judge(invite, from); !strings.HasPrefix(v.status, "503 ") {
		t.Errorf("it comes again, and gets %q", v.status)
	}
	h.pending = true
	if v := sc.judge(invite, from); !v.admitted {
		t.Errorf("it is a call, and gets %q", v.status)
	}
}

func scanned(t *testing.T, text []byte) message.Scanned {
	t.Helper()
	msg, ok := message.Scan(text)
	if !ok {
		t.Fatal("it can't be read")
	}
	return msg
}
