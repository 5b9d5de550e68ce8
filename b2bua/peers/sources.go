package peers

import (
	"time"

	"flowbridge/b2bua/message"
)

// WithinRate counts a new request for its sender's address, or for its IPv6 /64, because one peer can use all
// addresses of a /64. It reports whether the address is within its trunk's rate. If the address may belong to several
// trunks, the highest rate counts. For an unknown sender it returns true.
func (p *Snapshot) WithinRate(from Sender, now time.Time) bool {
	most := p.sourceRate(from)
	if most == 0 {
		return true
	}
	key := message.NetworkOf(from.Addr.Addr()).As16()
	return p.sources.Allow(key[:], most, now)
}

// strangerRegisters is how many REGISTERs with credentials an unknown address may send per second. It is enough for
// the phones of a large office behind one NAT after a power cut, and few enough that checking the digests costs
// little.
const strangerRegisters = 50

// MayRegister counts a REGISTER with credentials from an unknown address, or its IPv6 /64, and reports whether the
// address is within its rate. It is called before the credentials are checked.
func (p *Snapshot) MayRegister(from Sender, now time.Time) bool {
	key := message.NetworkOf(from.Addr.Addr()).As16()
	return p.sources.Allow(key[:], strangerRegisters, now)
}

// leastSourceRate is how many new requests per second each address of any trunk may send: more than the calls that a
// process can take, plus some retransmissions.
const leastSourceRate = 4000

// sourceRate returns how many new requests per second a sender's address may send: twice the call rate of its trunk,
// but at least leastSourceRate. It returns 0 if the sender belongs to no trunk.
func (p *Snapshot) sourceRate(from Sender) (most int) {
	for _, t := range p.Trunks {
		if t.Has(from) {
			most = max(most, leastSourceRate, 2*t.Caller.MaxCPS)
		}
	}
	return most
}
