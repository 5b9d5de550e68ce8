package ice

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	randv2 "math/rand/v2"
	"net/netip"
	"time"
)

// CandidatesMost is how many candidates of a lite side are checked, in their order. More would let an offer make us
// send to many strangers (RFC 8445 §19.5.1).
const CandidatesMost = 4

const (
	// retransmit is the first interval between two requests of a check; it doubles (RFC 8445 §14.3, RFC 8489 §6.2.1).
	retransmit = 500 * time.Millisecond

	// requestsMost is how often a request is sent (RFC 8489 §6.2.1: Rc).
	requestsMost = 7

	// consentLeast and consentMost are the bounds of the time between two requests for consent (RFC 7675 §5.1).
	consentLeast = 4 * time.Second
	consentMost  = 6 * time.Second

	// hostPriority is the priority of a peer-reflexive candidate of ours (RFC 8445 §7.1.1).
	hostPriority = 110<<24 | 65535<<8 | 255
)

// pair is our address with a candidate of a lite side.
type pair struct {
	to   netip.AddrPort
	id   [idLen]byte // of the last request; zero if none waits for its response
	use  bool        // which nominates the pair
	sent int         // requests of the check in progress
	due  time.Duration
}

// Due returns the datagram that is due toward a lite side, or nil. current is the address in use, which may be invalid.
// The datagram is written into room, which needs a capacity of 900 bytes.
func (a *Agent) Due(current netip.AddrPort, room []byte, now time.Duration) (to netip.AddrPort, datagram []byte) {
	if !a.setup.Lite {
		return to, nil
	}
	for i := range a.pairs {
		if p := &a.pairs[i]; p.to.IsValid() && now >= p.due && p.sent < requestsMost {
			p.due = now + retransmit<<p.sent
			p.sent++
			return p.to, a.ask(p, room)
		}
	}
	if !current.IsValid() || now < a.consent {
		return to, nil
	}
	a.consent = now + consentLeast + randv2.N(consentMost-consentLeast)
	p := pair{to: current}
	datagram = a.ask(&p, room)
	a.asked = p.id
	return current, datagram
}

// ask writes a request of a pair. A repeated request is the same transaction.
func (a *Agent) ask(p *pair, room []byte) []byte {
	if p.id == [idLen]byte{} {
		_, _ = rand.Read(p.id[:]) // never fails (crypto/rand)
	}
	b := appendAttribute(begin(room, request, p.id[:]), attrUsername, a.setup.Peer.Ufrag+":"+a.setup.Own.Ufrag)
	var number [8]byte
	binary.BigEndian.PutUint32(number[:], hostPriority)
	b = appendAttribute(b, attrPriority, number[:4])
	binary.BigEndian.PutUint64(number[:], a.tie)
	b = appendAttribute(b, attrControlling, number[:])
	if p.use {
		b = appendAttribute(b, attrUseCandidate, "")
	}
	return finish(b, a.peerKey)
}

// response handles a response to a check of ours. It must come from where the request went (RFC 8445 §7.2.5.2.1). The
// first pair that works is nominated, by a second check (RFC 8445 §8.1.1); answer is that check.
func (a *Agent) response(m *message, src, current netip.AddrPort, room []byte, now time.Duration,
) (answer []byte, v Verdict) {
	if m.kind != success || a.peerKey == nil || m.unknown || m.fingerprint > 0 && !m.isPrinted() {
		return nil, Refused
	}
	if src == current && a.asked != [idLen]byte{} && bytes.Equal(m.id(), a.asked[:]) {
		if !m.isSignedBy(a.peerKey) {
			return nil, Refused
		}
		a.asked = [idLen]byte{}
		a.Hear(now)
		return nil, Checked
	}
	for i := range a.pairs {
		p := &a.pairs[i]
		if p.to != src || p.sent == 0 || p.id == [idLen]byte{} || !bytes.Equal(m.id(), p.id[:]) || !m.isSignedBy(a.peerKey) {
			continue
		}
		a.addSource(src)
		if p.use {
			a.pairs = [CandidatesMost]pair{}
			a.former, a.consent = nil, now+consentLeast
			a.Hear(now)
			return nil, Nominated
		}
		if a.isNominating() {
			return nil, Checked
		}
		*p = pair{to: src, use: true, sent: 1, due: now + retransmit}
		return a.ask(p, room), Checked
	}
	return nil, Refused
}

func (a *Agent) isNominating() bool {
	for i := range a.pairs {
		if a.pairs[i].use {
			return true
		}
	}
	return false
}
