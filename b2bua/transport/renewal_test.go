package transport

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/config"
	"flowbridge/internal/siptest"
)

// The library knows every address that a listener heard from for as long as it
// listens. From time to time it begins anew; nobody notices.
func TestSourcesAreForgotten(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		const most = 50
		p.stack.maxSources = most
		agent, carrier := p.socket(siptest.Agent), p.socket(siptest.Carrier)
		for i := range 1000 {
			from := p.socket(netip.AddrPortFrom(siptest.Carrier.Addr(), uint16(20000+i)))
			p.sends(from, fmt.Sprintf("ACK sip:x@h SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK%d\n\n", i))
			if i%100 == 99 {
				time.Sleep(20 * time.Millisecond) // a quiet moment
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := p.stack.tp.Pool("udp").Size(); n > most+renewalEvery {
			t.Errorf("the library knows %d addresses", n)
		}
		p.sends(carrier, optionsFrom("192.0.2.10:5060", "UDP", 1, 0))
		if got := p.gets(carrier); !strings.HasPrefix(got, "SIP/2.0 200 ") {
			t.Errorf("the carrier gets\n%s", got)
		}
		p.asks(leg.Hop{Addr: siptest.Agent}, nil, 0)
		if got := p.gets(agent); !strings.HasPrefix(got, "OPTIONS ") {
			t.Errorf("the agent gets\n%s", got)
		}
	})
}

// A peer that does not read what comes over its connection holds up neither
// UDP nor the renewal of its listener.
func TestUnreadConnectionHoldsNobodyUp(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		p.stack.maxSources = 1
		carrier, agent2 := p.socket(siptest.Carrier), p.socket(siptest.Agent2)
		other := p.socket(netip.AddrPortFrom(siptest.Carrier.Addr(), 5061))
		p.listener(siptest.Agent)
		flow, err := p.connect(siptest.Agent)
		if err != nil {
			t.Fatal(err)
		}
		for range 90 { // more than a connection holds
			p.asks(leg.Hop{Transport: config.TransportTCP, Addr: siptest.Agent}, flow, 1000)
		}
		for i := range renewalEvery {
			p.sends(carrier, optionsFrom("192.0.2.10:5060", "UDP", i, 0))
			p.sends(other, optionsFrom("192.0.2.10:5061", "UDP", 1000+i, 0))
		}
		synctest.Wait()
		time.Sleep(100 * time.Millisecond) // the renewal begins
		if n := p.stack.tp.Pool("udp").Size(); n > 1 {
			t.Errorf("the listener was not renewed: %d addresses", n)
		}
		begin := time.Now()
		p.asks(leg.Hop{Addr: siptest.Agent2}, nil, 0)
		p.gets(agent2)
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Errorf("a request over UDP took %v to get through", took)
		}
	})
}
