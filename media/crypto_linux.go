package media

// setCrypto takes a side's keys.
func (r *relay) setCrypto(side Side, c cryptoChange) { r.secure[side].set(c) }

// unprotect takes the protection off a packet that came to ep from a side that is
// secured; nil: it is not taken, and counted.
func (w *worker) unprotect(ep *endpoint, pkt []byte) []byte {
	plain, why := ep.relay.secure[ep.side].open(w.opened[:0], pkt, ep.kind, w.now)
	switch why {
	case faultNone:
		return plain
	case faultMalformed:
		ep.count.Malformed.Add(1)
	case faultUnauthentic:
		ep.count.Unauthentic.Add(1)
	case faultReplayed:
		ep.count.Replayed.Add(1)
	}
	return nil
}

// protect gives a packet as it leaves for a side that may be secured. False: it
// must not leave, and is counted.
func (w *worker) protect(ep *endpoint, pkt []byte) ([]byte, bool) {
	s := ep.relay.secure[ep.out.side].out
	if s == nil {
		return pkt, true
	}
	sealed, ok := s.seal(w.sealed[:0], pkt, ep.kind)
	if !ok {
		ep.count.Unprotected.Add(1)
	}
	return sealed, ok
}
