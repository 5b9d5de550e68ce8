package peers

import "time"

// WithinRate counts a new request for its sender's address, or its IPv6 /64, whose
// addresses are all one peer's to choose from. It reports whether the address keeps to the
// rate of its trunk, which is that of the trunk that allows most if it may be several. A
// sender without a trunk's address or certificate has no rate.
func (p *Snapshot) WithinRate(from Sender, now time.Time) bool {
	most := p.sourceRate(from)
	if most == 0 {
		return true
	}
	addr := from.Addr.Addr().Unmap()
	key := addr.As16()
	bytes := len(key)
	if addr.Is6() {
		bytes = 8
	}
	return p.sources.Allow(key[:bytes], most, now)
}

// sourceRate is how many new requests a second a sender's address may send. 0: no limit.
func (p *Snapshot) sourceRate(from Sender) (most int) {
	for _, t := range p.Trunks {
		if len(t.Caller.Sources)+len(t.Caller.Certificates) == 0 || !t.couldBe(from) {
			continue
		}
		n := t.Caller.Limits.PerSourceRate
		if n == 0 {
			return 0
		}
		most = max(most, n)
	}
	return most
}
