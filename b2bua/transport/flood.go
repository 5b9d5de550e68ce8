package transport

import (
	"net/netip"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
)

// refuseFlood refuses a new request if its address, which is a trunk's, sends more of
// them than the trunk allows each address. Requests within a dialog do not count, nor
// does the CANCEL of a pending INVITE: without them calls would go on unwanted. A pending
// INVITE that comes again gets no refusal, because it has been taken.
func (s *screen) refuseFlood(msg message.Scanned, from netip.AddrPort, who peers.Standing) (v verdict, flooded bool) {
	if !who.Known || who.PerSource == 0 {
		return v, false
	}
	method := string(msg.Method)
	if method == "CANCEL" && s.server.InProgress(s.tagFor(msg)) {
		return v, false
	}
	if s.withinRate(from.Addr(), who.PerSource) {
		return v, false
	}
	s.rejected(&s.count.Flood, from, "source_rate")
	if method == "INVITE" && s.server.InProgress(s.tagFor(msg)) {
		return v, true
	}
	return s.refuseForNow(msg), true
}

// withinRate counts a request for its address, or its IPv6 /64, whose addresses are all
// one peer's to choose from.
func (s *screen) withinRate(from netip.Addr, perSecond int) bool {
	from = from.Unmap()
	key := from.As16()
	bytes := len(key)
	if from.Is6() {
		bytes = 8
	}
	return s.sources.Allow(key[:bytes], perSecond, time.Now())
}
