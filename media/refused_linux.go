package media

import (
	"net/netip"
	"time"
)

// refusedEvery is how often another source may be noted as refused. Strangers
// that take turns, or forge their addresses, cost no more than that.
const refusedEvery = time.Second

// refused is the source of RTP that was noted last as not taken.
type refused struct {
	source netip.AddrPort
	at     time.Duration
}

// refuse counts an RTP packet of a source that is not taken, and notes the source
// for those who read the statistics.
func (w *worker) refuse(ep *endpoint, src netip.AddrPort) {
	ep.count.WrongSource.Add(1)
	r := &ep.refused
	if src == r.source || (r.source.IsValid() && w.now-r.at < refusedEvery) {
		return
	}
	*r = refused{source: src, at: w.now}
	noted := src
	ep.relay.ledger.turned[ep.side].Store(&noted)
}
