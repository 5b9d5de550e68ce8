package media

import (
	"net/netip"
	"sync"
	"testing"
)

// The totals never decrease, neither while sessions are being closed nor
// afterwards.
func TestTotalsNeverGoDown(t *testing.T) {
	e, err := Open(Config{Listen: []netip.Addr{relayV4}, PortLow: 21200, PortHigh: 21499})
	must(t, err)
	defer func() { _ = e.Close() }()
	const sessions = 20
	var open []*Session
	for range sessions {
		s, err := e.NewSession(SessionConfig{})
		must(t, err)
		s.relay.ledger.flow[SideA][RTP].RxPackets.Store(10)
		s.relay.ledger.flow[SideA][RTP].ofRTP().Lost.Store(2)
		s.relay.ledger.flow[SideA][RTCP].dropped().Held.Store(1)
		s.relay.ledger.flow[SideB][RTP].TxPackets.Store(7)
		open = append(open, s)
	}
	if got := e.Totals(); got.Sessions != sessions || got.Sides[SideA].RxPackets != 10*sessions || got.Sides[SideA].TxPackets != 7*sessions || got.Sides[SideA].Lost != 0 || got.Sides[SideA].Dropped.Held != sessions {
		t.Errorf("live: %+v", got)
	}
	var group sync.WaitGroup
	for _, s := range open {
		group.Go(func() { s.Close(); s.Close() })
	}
	for range 100 {
		if got := e.Totals().Sides[SideA].RxPackets; got != 10*sessions {
			t.Errorf("while sessions close: %d", got)
		}
	}
	group.Wait()
	if got := e.Totals(); got.Sessions != 0 || got.Sides[SideA].RxPackets != 10*sessions || got.Sides[SideA].Lost != 2*sessions {
		t.Errorf("closed: %+v", got)
	}
}
