package peers

import (
	"time"

	"flowbridge/b2bua/message"
)

// WithinRate counts a new request for its sender's address, or its IPv6 /64, whose
// addresses are all one peer's to choose from. It reports whether the address keeps to the
// rate of its trunk. If the address may belong to several, the trunk that allows most counts. A
// sender without a trunk's address or certificate has no rate.
func (p *Snapshot) WithinRate(from Sender, now time.Time) bool {
	most := p.sourceRate(from)
	if most == 0 {
		return true
	}
	key := message.NetworkOf(from.Addr.Addr()).As16()
	return p.sources.Allow(key[:], most, now)
}

// strangerRegisters is how many REGISTERs with credentials a second a stranger's address may send: the phones of a
// large office behind one NAT, after a power cut, and fewer digests than would be felt.
const strangerRegisters = 50

// MayRegister counts a REGISTER with credentials from a stranger's address, or its IPv6 /64, before they are checked.
func (p *Snapshot) MayRegister(from Sender, now time.Time) bool {
	key := message.NetworkOf(from.Addr.Addr()).As16()
	return p.sources.Allow(key[:], strangerRegisters, now)
}

// leastSourceRate is how many new requests a second an address of any trunk may send: more than a process takes calls,
// with the repetitions of some.
const leastSourceRate = 4000

// sourceRate returns how many new requests a second a sender's address may send: twice the calls of its trunk, at least
// leastSourceRate. 0 means it has no trunk.
func (p *Snapshot) sourceRate(from Sender) (most int) {
	for _, t := range p.Trunks {
		if t.Has(from) {
			most = max(most, leastSourceRate, 2*t.Caller.MaxCPS)
		}
	}
	return most
}
