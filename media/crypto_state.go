package media

import (
	"time"
)

// formerKeysFor is how long the former keys are still accepted after the first packet under new keys.
const formerKeysFor = 2 * time.Second

// cryptoChange holds the contexts of a Crypto; nil means plain RTP.
type cryptoChange struct {
	in  *opener
	out *sealer
}

// secure holds the keys of one side. It is a value without clock or I/O, owned by the worker. It keeps the replaced
// sending context: if a change is withdrawn and the old key returns, the used numbers are still known.
type secure struct {
	in          *opener // nil if the side sends plain RTP
	former      *opener // under the former keys
	formerUntil time.Duration
	out         *sealer // nil if the side gets plain RTP
	earlier     *sealer
}

// set replaces the keys. Unchanged keys keep their contexts.
func (s *secure) set(c cryptoChange) {
	var datagrams *Datagrams
	if s.in != nil {
		datagrams = s.in.datagrams
	}
	switch {
	case c.in == nil:
		s.in, s.former = nil, nil
	case s.in != nil && s.in.keys.Same(&c.in.keys):
	case !s.in.keyed() || !c.in.keyed():
		s.in, s.former = c.in, nil
	case s.former != nil && s.former.keys.Same(&c.in.keys):
		s.in, s.former, s.formerUntil = s.former, s.in, never
	default:
		c.in.before = s.in.streams
		s.in, s.former, s.formerUntil = c.in, s.in, never
	}
	if s.in != nil {
		s.in.datagrams = datagrams
	}
	switch {
	case c.out != nil && s.out != nil && s.out.keys.Same(&c.out.keys):
	case c.out != nil && s.earlier != nil && s.earlier.keys.Same(&c.out.keys):
		s.out, s.earlier = s.earlier, s.out
	default:
		if s.out.keyed() {
			s.earlier = s.out
		}
		s.out = c.out
	}
}

// open decrypts a packet into dst and returns it, or returns why the packet was rejected.
func (s *secure) open(dst, pkt []byte, kind Kind, now time.Duration) ([]byte, fault) {
	plain, why := s.in.open(dst, pkt, kind)
	if s.former == nil {
		return plain, why
	}
	switch {
	case why == faultNone && s.formerUntil == never:
		s.formerUntil = now + formerKeysFor
	case now >= s.formerUntil:
		s.former = nil
	case why != faultNone:
		return s.former.open(dst, pkt, kind)
	}
	return plain, why
}

// shift returns the number that is added to the packet numbers of a source when its packets are sent to the side.
func (s *secure) shift(ssrc uint32) uint16 {
	if s.out != nil && s.out.streams[ssrc] != nil {
		return s.out.streams[ssrc].shift
	}
	return 0
}

// unprotect decrypts a packet that arrived at ep. It returns nil for a packet that it rejects and counts.
func (w *worker) unprotect(ep *endpoint, pkt []byte) []byte {
	s := &ep.relay.secure[ep.side]
	if s.in == nil {
		return pkt
	}
	plain, why := s.open(w.opened[:0], pkt, ep.kind, w.now)
	if s.in.stale {
		s.in.stale = false
		ep.relay.outdated()
	}
	switch why {
	case faultNone:
		ep.relay.party[ep.side].hearsOf(w.now)
		return plain
	case faultMalformed:
		if w.takesDatagram(ep, pkt) {
			return nil
		}
		ep.count.dropped().Malformed.Add(1)
	case faultUnauthentic:
		ep.count.dropped().Unauthentic.Add(1)
	case faultReplayed:
		ep.count.dropped().Replayed.Add(1)
	}
	return nil
}

// protect encrypts a packet if the side that it is sent to uses SRTP. It returns false for a packet that must not be
// sent, and counts it.
func (w *worker) protect(ep *endpoint, pkt []byte) ([]byte, bool) {
	s := ep.relay.secure[ep.out.side].out
	if s == nil {
		return pkt, true
	}
	sealed, ok := s.seal(w.sealed[:0], pkt, ep.kind)
	if s.stale {
		s.stale = false
		ep.relay.outdated()
		if !ok {
			ep.relay.awaited(w.now)
		}
	}
	if !ok {
		ep.count.dropped().Unprotected.Add(1)
	}
	return sealed, ok
}
