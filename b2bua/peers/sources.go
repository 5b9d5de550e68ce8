package peers

import (
	"time"

	"flowbridge/b2bua/message"
)

// WithinRate counts a new request for its sender's address, or for its IPv6 /64, because
// one peer can use all addresses of that. It reports whether the address is within the
// rate of its trunk. If the address may belong to several trunks, the highest rate
// counts. A sender without a trunk's address or certificate has no limit.
func (p *Snapshot) WithinRate(from Sender, now time.Time) bool {
	most := p.sourceRate(from)
	if most == 0 {
		return true
	}
	key := message.NetworkOf(from.Addr.Addr()).As16()
	return p.sources.Allow(key[:], most, now)
}

// strangerRegisters is the number of REGISTERs with credentials that a stranger's address may send a second. It is
// enough for the phones of a large office behind one NAT after a power cut, and few enough that computing the digests
// costs little.
const strangerRegisters = 50

// MayRegister counts a REGISTER with credentials from a stranger's address, or its IPv6 /64, and reports whether it is
// within the rate. It is called before the credentials are checked.
func (p *Snapshot) MayRegister(from Sender, now time.Time) bool {
	key := message.NetworkOf(from.Addr.Addr()).As16()
	return p.sources.Allow(key[:], strangerRegisters, now)
}

// leastSourceRate is the number of new requests a second that an address of any trunk may send: more than the calls
// that a process can take, plus some retransmissions.
const leastSourceRate = 4000

// sourceRate returns the number of new requests a second that a sender's address may send: twice the call rate of its
// trunk, but at least leastSourceRate, or 0 if it has no trunk.
func (p *Snapshot) sourceRate(from Sender) (most int) {
	for _, t := range p.Trunks {
		if t.Has(from) {
			most = max(most, leastSourceRate, 2*t.Caller.MaxCPS)
		}
	}
	return most
}
