package media

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// If two peers name each other's port at our address, packets must not
// circulate for ever.
func TestNoLoopThroughOurselves(t *testing.T) {
	for name, listen := range map[string]netip.Addr{
		"bound to an address": netip.MustParseAddr("127.0.0.1"), "wildcard": netip.IPv4Unspecified(),
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Open(Config{Listen: []netip.Addr{listen}, PortLow: 21000, PortHigh: 21099})
			must(t, err)
			defer e.Close()
			s, err := e.NewSession(SessionConfig{})
			must(t, err)
			loopback := netip.MustParseAddr("127.0.0.1")
			at := func(side Side) netip.AddrPort { return netip.AddrPortFrom(loopback, s.Local(side).Port()) }
			s.SetPeer(SideA, Peer{RTP: at(SideB)})
			s.SetPeer(SideB, Peer{RTP: at(SideA)})
			caller, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at(SideA)))
			must(t, err)
			defer caller.Close()
			if _, err := caller.Write(rtpPacket(t, 0, 1, "x")); err != nil {
				t.Fatal(err)
			}
			tick, late := time.NewTicker(time.Millisecond), time.After(patience)
			defer tick.Stop()
			for s.Stats().A.DroppedTotal == 0 {
				select {
				case <-tick.C:
				case <-late:
					t.Fatal("the packet was neither refused nor dropped")
				}
			}
			if st := s.Close(); st.A.TxPackets+st.B.TxPackets != 0 || st.A.DroppedTotal != 1 {
				t.Errorf("A %+v\nB %+v", st.A, st.B)
			}
		})
	}
}

// A port may be free when a peer names it, and be leased to another session
// later. It is not a valid source then, either.
func TestOwnPortIsNoSource(t *testing.T) {
	e, err := Open(Config{Listen: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, PortLow: 21100, PortHigh: 21199})
	must(t, err)
	defer e.Close()
	free := netip.MustParseAddrPort("127.0.0.1:21999")
	if e.own(free) {
		t.Fatal("a free port counts as ours")
	}
	var all []*Session
	for range 10 {
		s, err := e.NewSession(SessionConfig{})
		must(t, err)
		all = append(all, s)
	}
	for _, s := range all {
		for _, side := range []Side{SideA, SideB} {
			rtp := s.Local(side)
			if !e.own(rtp) || !e.own(portAbove(rtp)) {
				t.Errorf("%v is not known as ours", rtp)
			}
		}
	}
	all[0].Close()
	if e.own(all[0].Local(SideA)) {
		t.Error("a released port counts as ours")
	}
}
