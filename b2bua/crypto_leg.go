package b2bua

import (
	"crypto/rand"
	"errors"
	"strconv"

	"flowbridge/config"
	"flowbridge/media"
)

// cryptoLeg is one leg's part in SRTP. Each leg is secured by itself, with keys
// of its own.
//
// Our key of a leg stays the same for its life, and with it the numbers of what
// was sent under it, but where the peer wants another suite, or is another
// endpoint: one that has a new address and a new key. For that one our packets
// are a new stream (RFC 3711 section 3.2.3), which begins to count from 0, and
// so has to have another key.
type cryptoLeg struct {
	mode    config.SRTPMode
	suites  []media.Suite // that are taken
	offered []cryptoLine  // our lines where nothing is agreed on: each suite with its own key
	offers  bool          // offers of our own are of SRTP
	current *securing     // in force
	proto   string        // of it
	last    []cryptoLine  // what our last offer had; nil: plain RTP
}

// newCryptoLeg is the part of a leg that a trunk or target is on. offers: the
// first offer is ours, and is of SRTP.
func newCryptoLeg(m config.PeerMedia, offers bool) *cryptoLeg {
	l := &cryptoLeg{mode: m.SRTP, offers: offers}
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

// newKeys are keys that nobody has had.
func newKeys(s media.Suite, mki []byte) media.Keys {
	k := media.Keys{Suite: s, Key: make([]byte, s.KeyLen()), MKI: mki}
	_, _ = rand.Read(k.Key) // never fails (crypto/rand)
	return k
}

// accept is which streams of the peer's offers are taken.
func (l *cryptoLeg) accept() cryptoAccept {
	a := cryptoAccept{mode: l.mode, suites: l.suites}
	if l.current != nil {
		a.now = l.current.peer.Suite
	}
	return a
}

// acceptAnswer is which stream of the answer to our last offer is taken: that
// which was offered, and no other.
func (l *cryptoLeg) acceptAnswer() cryptoAccept {
	if l.last == nil {
		return cryptoAccept{}
	}
	return cryptoAccept{mode: config.SRTPRequired, ours: l.last}
}

// offering is how the stream is presented in an offer of ours: as it is agreed
// on, with the same key; else with a line for each suite.
func (l *cryptoLeg) offering() streamTransport {
	switch {
	case l.current != nil:
		l.last = []cryptoLine{{tag: l.current.tag, keys: *l.current.own}}
		return streamTransport{proto: l.proto, lines: l.last}
	case l.offers:
		l.last = l.offered
		return streamTransport{proto: protoSAVP, lines: l.last}
	}
	l.last = nil
	return streamTransport{}
}

// answering is how the stream is presented in our answer to an offer: over the
// same transport (RFC 3264 section 6), with the line of its tag and suite.
func (l *cryptoLeg) answering(offer *description, elsewhere bool) streamTransport {
	s := offer.securing
	if s == nil {
		return streamTransport{proto: offer.proto()}
	}
	if s.own == nil {
		s.own = l.keysFor(s.peer, elsewhere)
	}
	return streamTransport{proto: offer.proto(), lines: []cryptoLine{{tag: s.tag, keys: *s.own}}}
}

// keysFor are our keys for a peer that has these. elsewhere: its RTP is
// somewhere else than before.
func (l *cryptoLeg) keysFor(peer *media.Keys, elsewhere bool) *media.Keys {
	if c := l.current; c != nil && c.own.Suite == peer.Suite && string(c.own.MKI) == string(peer.MKI) && (c.peer.Same(peer) || !elsewhere) {
		return c.own
	}
	k := newKeys(peer.Suite, peer.MKI)
	return &k
}

// answered notes in an answer to our last offer which of our keys it takes.
func (l *cryptoLeg) answered(answer *description) {
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

// force notes what is in force from now on.
func (l *cryptoLeg) force(d *description) {
	l.current, l.proto, l.offers = d.securing, d.proto(), d.securing != nil
}

// suite is the name of the suite in force, empty where there is none.
func (l *cryptoLeg) suite() string {
	if l == nil || l.current == nil {
		return ""
	}
	return l.current.peer.Suite.String()
}

// secured is whose keys the media of a side has.
type secured struct {
	leg   *cryptoLeg
	plain bool
}

// crypto is the part in SRTP of the leg that is on a side.
func (c *Call) crypto(side media.Side) *cryptoLeg {
	if side == media.SideA {
		return c.a.crypto
	}
	l, _ := c.attemptLine()
	return l.crypto
}

// offering is how our offer to a leg presents the audio stream.
func (c *Call) offering(l *legOnWire) streamTransport { return l.crypto.offering() }

// answering is how our answer to a leg's offer presents it.
func (c *Call) answering(l *legOnWire, offer *description) streamTransport {
	before := c.description[c.side(l)]
	return l.crypto.answering(offer, before != nil && before.rtp() != offer.rtp())
}

// secure gives the media the keys of what a side has described, before its
// address. Where another leg takes the side over, or what was SRTP is to be
// RTP, nothing goes out in between, and of the former keys nothing stays.
func (c *Call) secure(side media.Side, d *description) error {
	l := c.crypto(side)
	before := c.secured[side]
	l.force(d)
	c.secured[side] = secured{leg: l, plain: d.securing == nil}
	if d.securing == nil && (before.leg == nil || before.plain) {
		return nil
	}
	if before.leg != nil && (before.leg != l || d.securing == nil) {
		c.session.SetPeer(side, media.Peer{})
		c.voices[side] = nil // the relay gives it up
		if err := c.session.SetCrypto(side, media.Crypto{}); err != nil {
			return err
		}
	}
	return c.session.SetCrypto(side, d.securing.crypto())
}

// suite is the name of what a side is secured with, empty for plain RTP.
func (c *Call) suite(side media.Side) string { return c.secured[side].leg.suite() }

// causeOfAnswer is the cause of an attempt whose answer can't be used.
func causeOfAnswer(err error) Cause {
	if errors.Is(err, errNotSecured) {
		return CauseSRTPRefused
	}
	return CauseBadAnswer
}

// refusesSRTP says whether a status refuses an offer for what it describes.
func refusesSRTP(code int) bool { return code == 488 || code == 606 || code == 415 }

// triesPlain sees to it that a target that has refused SRTP, where that is
// optional, is offered RTP next, and says whether that is so.
func (c *Call) triesPlain() bool {
	a := c.attempt
	if a.target.cfg.Media.SRTP != config.SRTPOptional || a.crypto == nil || c.plain[a.target] {
		return false
	}
	if c.plain == nil {
		c.plain = map[*target]bool{}
	}
	c.plain[a.target] = true
	pending := &c.untried
	if a.reason == reasonTransfer {
		pending = &c.transfer.pending
	}
	*pending = append([]*target{a.target}, *pending...)
	c.log.Info().Str("target", a.target.cfg.Name).Msg("SRTP not taken, RTP is offered")
	return true
}

// triesPlainAfter is triesPlain for an answer that can't be used: one whose
// stream is declined or is no SRTP.
func (c *Call) triesPlainAfter(err error) {
	if errors.Is(err, errNotSecured) || errors.Is(err, errRejected) {
		c.triesPlain()
	}
}

// cryptoFor is the part in SRTP of the leg to a target.
func (c *Call) cryptoFor(t *target) *cryptoLeg {
	m := t.cfg.Media
	return newCryptoLeg(m, m.SRTP == config.SRTPRequired || (m.SRTP == config.SRTPOptional && !c.plain[t]))
}
