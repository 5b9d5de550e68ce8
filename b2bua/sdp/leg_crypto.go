package sdp

import (
	"crypto/rand"
	"strconv"

	"flowbridge/config"
	"flowbridge/media"
)

// LegCrypto is the SRTP of one leg. Each leg has its own keys.
//
// The sending key of a leg stays the same for the leg's life, and with it the packet
// numbers that were used with the key. There is a new key only if the peer wants another
// suite or is another endpoint, with a new address and a new key. For the new endpoint
// our packets are a new stream (RFC 3711 section 3.2.3), which counts from 0 and must not
// share a key.
type LegCrypto struct {
	mode    config.SRTPMode
	suites  []media.Suite // accepted suites
	offered []cryptoLine  // the offered lines until one is agreed on: each suite with its own key
	Offers  bool          // this side offers SRTP
	current *securing     // the SRTP in force
	proto   string        // transport of current
	last    []cryptoLine  // lines in this side's last offer; nil for plain RTP or DTLS

	dtls *legAssociation // nil if the keys are in SDP
}

// unsecured is shared by all legs that never have SRTP. It never changes.
var unsecured LegCrypto //nolint:gochecknoglobals // a constant

// NewLegCrypto returns the SRTP of a leg with the settings of its peer. offers says that
// this side makes the first offer, with SRTP. fingerprint is our DTLS fingerprint.
func NewLegCrypto(m config.PeerMedia, fingerprint string, offers bool) *LegCrypto {
	if !offers && (m.SRTP == config.SRTPOff || m.SRTP == "") {
		return &unsecured
	}
	l := &LegCrypto{mode: m.SRTP, Offers: offers, dtls: newLegAssociation(m, fingerprint)}
	names := m.SRTPSuites
	if len(names) == 0 {
		names = config.SRTPSuites()
	}
	if l.suites = suitesOf(names); offers && l.dtls == nil {
		if len(m.SRTPSuites) == 0 {
			names = config.DefaultSRTPSuites()
		}
		for i, s := range suitesOf(names) {
			l.offered = append(l.offered, cryptoLine{tag: strconv.Itoa(i + 1), keys: newKeys(s, nil)})
		}
	}
	return l
}

func suitesOf(names []string) (suites []media.Suite) {
	for _, n := range names {
		if s, ok := media.ParseSuite(n); ok {
			suites = append(suites, s)
		}
	}
	return suites
}

// newKeys returns fresh keys.
func newKeys(s media.Suite, mki []byte) media.Keys {
	k := media.Keys{Suite: s, Key: make([]byte, s.KeyLen()), MKI: mki}
	_, _ = rand.Read(k.Key) // never fails (crypto/rand)
	return k
}

// Accept returns the rule for accepting streams in the peer's offers.
func (l *LegCrypto) Accept() Accept {
	a := Accept{mode: l.mode, suites: l.suites, dtls: l.dtls != nil}
	if l.current != nil && l.current.peer != nil {
		a.now = l.current.peer.Suite
	}
	return a
}

// AcceptAnswer returns the rule for accepting the answer to this side's last offer: only
// the offered kind of stream.
func (l *LegCrypto) AcceptAnswer() Accept {
	overDTLS := l.dtls != nil && l.dtls.offered
	if l.last == nil && !overDTLS {
		return Accept{}
	}
	return Accept{mode: config.SRTPRequired, answer: true, ours: l.last, dtls: overDTLS}
}

// Offering returns the transport for an offer: the agreed transport with the same key, or
// else a transport with a line for each suite.
func (l *LegCrypto) Offering() StreamTransport {
	switch {
	case l == &unsecured:
		return StreamTransport{}
	case l.current != nil && l.current.association != nil:
		return l.dtls.offering(l.proto)
	case l.current != nil:
		l.last = []cryptoLine{{tag: l.current.tag, keys: *l.current.own}}
		return StreamTransport{proto: l.proto, lines: l.last}
	case l.Offers && l.dtls != nil:
		return l.dtls.offering("")
	case l.Offers:
		l.last = l.offered
		return StreamTransport{proto: protoSAVP, lines: l.last}
	}
	if l.last = nil; l.dtls != nil {
		l.dtls.offered = false
	}
	return StreamTransport{}
}

// Answering returns the transport for the answer to an offer: the offer's transport (RFC
// 3264 section 6), with a line that has its tag and suite. elsewhere says that the peer's
// RTP has moved to another address.
func (l *LegCrypto) Answering(offer *Description, elsewhere bool) StreamTransport {
	s := offer.securing
	if s == nil {
		return StreamTransport{proto: offer.proto}
	}
	if s.association != nil {
		return l.dtls.answering(offer)
	}
	if s.own == nil {
		s.own = l.keysFor(s.peer, elsewhere)
	}
	return StreamTransport{proto: offer.proto, lines: []cryptoLine{{tag: s.tag, keys: *s.own}}}
}

// keysFor returns our sending keys for a peer with these keys. elsewhere says that the
// peer's RTP has moved to another address.
func (l *LegCrypto) keysFor(peer *media.Keys, elsewhere bool) *media.Keys {
	if c := l.current; c != nil && c.own.Suite == peer.Suite && string(c.own.MKI) == string(peer.MKI) &&
		(c.peer.Same(peer) || !elsewhere) {
		return c.own
	}
	k := newKeys(peer.Suite, peer.MKI)
	return &k
}

// Answered records in an answer to this side's last offer which of the offered keys the
// peer has chosen.
func (l *LegCrypto) Answered(answer *Description) {
	s := answer.securing
	if s == nil {
		return
	}
	for i := range l.last {
		if l.last[i].tag == s.tag {
			s.own = &l.last[i].keys
		}
	}
}

// Apply puts the SRTP of a description into force.
func (l *LegCrypto) Apply(d *Description) {
	if l == &unsecured {
		return
	}
	l.current, l.proto, l.Offers = d.securing, d.proto, d.securing != nil
	if d.OverDTLS() {
		l.dtls.apply(d.securing.association)
	} else if l.dtls != nil && l.dtls.peer != nil {
		l.dtls.reset()
	}
}

// Crypto returns the keys in force, which are empty for plain RTP.
func (l *LegCrypto) Crypto() media.Crypto {
	switch {
	case l.current == nil:
		return media.Crypto{}
	case l.current.association != nil:
		return l.dtls.crypto()
	}
	return media.Crypto{Receive: l.current.peer, Send: l.current.own}
}

// Suite returns the name of the suite in force, or "" if there is none.
func (l *LegCrypto) Suite() string {
	if l == nil {
		return ""
	}
	if keys := l.Crypto(); keys.Receive != nil {
		return keys.Receive.Suite.String()
	}
	return ""
}
