package sdp

import (
	"crypto/rand"
	"strconv"

	"flowbridge/config"
	"flowbridge/media"
)

// LegCrypto is one leg's part in SRTP. Each leg is secured by itself, with keys
// of its own.
//
// Our key of a leg stays the same for its life, and with it the numbers of what
// was sent under it, but where the peer wants another suite, or is another
// endpoint: one that has a new address and a new key. For that one our packets
// are a new stream (RFC 3711 section 3.2.3), which begins to count from 0, and
// so has to have another key.
type LegCrypto struct {
	mode    config.SRTPMode
	suites  []media.Suite // that are taken
	offered []CryptoLine  // our lines where nothing is agreed on: each suite with its own key
	Offers  bool          // offers of our own are of SRTP
	current *securing     // in force
	proto   string        // of it
	last    []CryptoLine  // what our last offer had; nil: plain RTP
}

// NewLegCrypto is the part of a leg that a trunk or target is on. offers: the
// first offer is ours, and is of SRTP.
func NewLegCrypto(m config.PeerMedia, offers bool) *LegCrypto {
	l := &LegCrypto{mode: m.SRTP, Offers: offers}
	names := m.SRTPSuites
	if len(names) == 0 {
		names = config.SRTPSuites()
	}
	l.suites = suitesOf(names)
	if offers {
		if len(m.SRTPSuites) == 0 {
			names = config.DefaultSRTPSuites()
		}
		for i, s := range suitesOf(names) {
			l.offered = append(l.offered, CryptoLine{Tag: strconv.Itoa(i + 1), Keys: newKeys(s, nil)})
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

// newKeys are keys that nobody has had.
func newKeys(s media.Suite, mki []byte) media.Keys {
	k := media.Keys{Suite: s, Key: make([]byte, s.KeyLen()), MKI: mki}
	_, _ = rand.Read(k.Key) // never fails (crypto/rand)
	return k
}

// Accept is which streams of the peer's offers are taken.
func (l *LegCrypto) Accept() Accept {
	a := Accept{mode: l.mode, suites: l.suites}
	if l.current != nil {
		a.now = l.current.peer.Suite
	}
	return a
}

// AcceptAnswer is which stream of the answer to our last offer is taken: that
// which was offered, and no other.
func (l *LegCrypto) AcceptAnswer() Accept {
	if l.last == nil {
		return Accept{}
	}
	return Accept{mode: config.SRTPRequired, ours: l.last}
}

// Offering is how the stream is presented in an offer of ours: as it is agreed
// on, with the same key; else with a line for each suite.
func (l *LegCrypto) Offering() StreamTransport {
	switch {
	case l.current != nil:
		l.last = []CryptoLine{{Tag: l.current.tag, Keys: *l.current.own}}
		return StreamTransport{proto: l.proto, lines: l.last}
	case l.Offers:
		l.last = l.offered
		return StreamTransport{proto: ProtoSAVP, lines: l.last}
	}
	l.last = nil
	return StreamTransport{}
}

// Answering is how the stream is presented in our answer to an offer: over the
// same transport (RFC 3264 section 6), with the line of its tag and suite.
func (l *LegCrypto) Answering(offer *Description, elsewhere bool) StreamTransport {
	s := offer.Securing
	if s == nil {
		return StreamTransport{proto: offer.proto()}
	}
	if s.own == nil {
		s.own = l.keysFor(s.peer, elsewhere)
	}
	return StreamTransport{proto: offer.proto(), lines: []CryptoLine{{Tag: s.tag, Keys: *s.own}}}
}

// keysFor are our keys for a peer that has these. elsewhere: its RTP is
// somewhere else than before.
func (l *LegCrypto) keysFor(peer *media.Keys, elsewhere bool) *media.Keys {
	if c := l.current; c != nil && c.own.Suite == peer.Suite && string(c.own.MKI) == string(peer.MKI) && (c.peer.Same(peer) || !elsewhere) {
		return c.own
	}
	k := newKeys(peer.Suite, peer.MKI)
	return &k
}

// Answered notes in an answer to our last offer which of our keys it takes.
func (l *LegCrypto) Answered(answer *Description) {
	s := answer.Securing
	if s == nil {
		return
	}
	for i := range l.last {
		if l.last[i].Tag == s.tag {
			s.own = &l.last[i].Keys
		}
	}
}

// Force notes what is in force from now on.
func (l *LegCrypto) Force(d *Description) {
	l.current, l.proto, l.Offers = d.Securing, d.proto(), d.Securing != nil
}

// Suite is the name of the suite in force, empty where there is none.
func (l *LegCrypto) Suite() string {
	if l == nil || l.current == nil {
		return ""
	}
	return l.current.peer.Suite.String()
}
