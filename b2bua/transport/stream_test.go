package transport

import (
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// A peer that does not read from its connection delays no request over UDP.
func TestUnreadConnectionHoldsNobodyUp(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		agent2 := p.socket(siptest.Agent2)
		p.listener(siptest.Agent)
		flow, err := p.connect(siptest.Agent)
		must(t, err)
		for range 90 { // more than a connection buffers
			p.asks(leg.Hop{Transport: config.TransportTCP, Addr: siptest.Agent}, flow, 1000)
		}
		synctest.Wait()
		begin := time.Now()
		p.asks(leg.Hop{Addr: siptest.Agent2}, nil, 0)
		p.gets(agent2)
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Errorf("a request over UDP took %v to get through", took)
		}
	})
}
