package transport

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"

	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// A peer that registered over a connection is reached over that connection, and not over another one from the same
// address.
func TestWayBack(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		s, at := p.stack.streams, netip.MustParseAddrPort("198.51.100.1:5070")
		l := p.listener(at)
		peer, err := p.sw.DialStream(context.Background(), siptest.Carrier.Addr(), at)
		must(t, err)
		conn, err := l.Accept()
		must(t, err)
		c := s.newStream(conn, config.TransportTCP, siptest.Carrier, nil)
		if !s.reserveAccepted(c, &listenerConns{}) || s.admit(c) != nil {
			t.Fatal("the connection is not taken")
		}
		by := Registered{Transport: config.TransportTCP, From: siptest.Carrier, Flow: c.ID()}
		if flow, dest, err := p.stack.WayBack(t.Context(), &by, config.TargetTLS{}); flow != c || dest != siptest.Carrier || err != nil {
			t.Errorf("the way is %v to %v, %v", flow, dest, err)
		}
		for _, other := range []uint64{0, c.ID() + 1} {
			by.Flow = other
			if flow, _, err := p.stack.WayBack(t.Context(), &by, config.TargetTLS{}); flow != nil || !errors.Is(err, ErrFlowGone) {
				t.Errorf("by another connection the way is %v, %v", flow, err)
			}
		}
		peer.Close()
		synctest.Wait()
	})
}
