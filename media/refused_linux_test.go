package media

import (
	"net/netip"
	"testing"
	"time"

	"flowbridge/media/latch"
)

// The statistics name the source that was refused, for each side.
func TestRefusedSource(t *testing.T) {
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.SetPeer(SideA, Peer{RTP: br.a.addr, Latch: latch.Strict})
	br.a.send(br.Local(SideA), sourcePacket(t, 1, 1))
	br.b.read()
	if st := br.Stats(); st.A.Refused.IsValid() || st.B.Refused.IsValid() {
		t.Errorf("refused %v and %v where nothing was", st.A.Refused, st.B.Refused)
	}
	stranger := newClient(t, "127.0.9.1:0")
	for seq := range uint16(3) {
		stranger.send(br.Local(SideA), sourcePacket(t, 2, seq))
	}
	await(t, "the stranger's", func() bool { return br.Stats().A.Dropped.WrongSource == 3 })
	if st := br.Close(); st.A.Refused != stranger.addr || st.B.Refused.IsValid() {
		t.Errorf("refused %v and %v; want %v and none", st.A.Refused, st.B.Refused, stranger.addr)
	}
}

// A refused source is recorded at most once a second, and nothing is allocated
// in between.
func TestRefusedSourcesTakeTurns(t *testing.T) {
	r := newRelay(1, [2]netip.AddrPort{}, [2]sockets{}, nil)
	w, ep := &worker{}, r.heard(SideB)
	one, two := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[2001:db8::2]:2")
	for _, step := range []struct {
		now  time.Duration
		src  netip.AddrPort
		want netip.AddrPort
	}{
		{time.Millisecond, one, one},
		{2 * time.Millisecond, two, one},
		{time.Second, two, one},
		{1001 * time.Millisecond, two, two},
		{2 * time.Second, one, two},
		{2001 * time.Millisecond, one, one},
	} {
		w.now = step.now
		w.refuse(ep, step.src)
		if got := r.ledger.side(SideB, time.Time{}).Refused; got != step.want {
			t.Errorf("at %v: %v; want %v", step.now, got, step.want)
		}
	}
	if n := allocations(100, func() { w.refuse(ep, one); w.refuse(ep, two) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
