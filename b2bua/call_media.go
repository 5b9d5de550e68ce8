package b2bua

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
)

// Relay opens the media of calls.
type Relay interface {
	Open(c media.SessionConfig) (RelaySession, error)
	// Resume goes on with the session of another process, on its ports.
	Resume(c media.SessionConfig, s media.SessionState) (RelaySession, error)
}

// RelaySession is the media of one call; *media.Session is one.
type RelaySession interface {
	Local(media.Side) netip.AddrPort
	SetPeer(media.Side, media.Peer)
	Confirm(media.Side)
	SetCrypto(media.Side, media.Crypto) error
	Datagrams(media.Side) *media.Datagrams
	SetPayloads(from media.Side, changes []media.PayloadChange)
	SetTelephoneEvents(media.Side, media.TelephoneEvents)
	Play(to media.Side, p media.Play)
	StopPlay(to media.Side)
	SendDigit(media.Side, media.Digit) error
	SetMask(media.Side, media.Mask)
	SetTap(media.Tap)
	Start()
	Stats() media.Stats
	State() media.SessionState
	Close() media.Stats
}

// callMedia is the media of a call.
type callMedia struct {
	call      *Call
	session   RelaySession  // nil: not open
	addr      [2]netip.Addr // ours as SDP names it, by side
	secured   [2]secured    // whose keys the session has, by side
	oneWay    string        // the side that was silent; empty: none
	listening [2]bool       // for digits, by side
	heard     [2]uint64     // packets before a restart, by side
}

// open leases the ports of both sides: the target's in the address family of
// target, on the address wanted if that is valid.
func (m *callMedia) open(target, wanted netip.Addr) error {
	c := m.call
	bindA, nameA, err := c.server.mediaAddr(c.source.Addr(), c.trunk.Caller.Media.Address)
	if err != nil {
		return err
	}
	bindB, nameB, err := c.server.mediaAddr(target, wanted)
	if err != nil {
		return err
	}
	session, err := c.server.relay.Open(media.SessionConfig{
		Addr: [2]netip.Addr{bindA, bindB}, OnEvent: m.on,
	})
	if err != nil {
		return err
	}
	m.session = session
	c.ladder.Watch(session)
	m.addr = [2]netip.Addr{nameA, nameB}
	return nil
}

// on posts an event of the media session.
func (m *callMedia) on(e media.Event) {
	c := m.call
	switch e := e.(type) {
	case media.EventSilent:
		c.mailbox.Post(item{event: mediaLost{For: e.Since, Never: e.Never}})
	case media.EventLatched:
		c.mailbox.Post(item{event: latched{Side: e.Side, Source: e.Source}})
	case media.EventDigit:
		c.mailbox.Post(item{event: keyed(e)})
	case media.EventPlayed:
		c.mailbox.Post(item{event: played{Side: e.Side, ID: e.ID}})
	case media.EventOneWay:
		c.mailbox.Post(item{event: oneWay{Side: e.Side}})
	case media.EventHeard:
		c.mailbox.Post(item{event: oneWay{Side: e.Side, Over: true}})
	case media.EventWithheld:
		c.mailbox.Post(item{event: withheld{}})
	case media.EventChanged:
		c.mailbox.Post(item{event: changed{}})
	}
}

// mediaCause is the cause of an error of open or toward.
func mediaCause(err error) cause.Cause {
	if errors.Is(err, errNoFamily) || errors.Is(err, errBound) {
		return cause.TargetUnreachable
	}
	return cause.NoPorts
}

// setPeer puts a side's description into force.
func (m *callMedia) setPeer(side media.Side, d *sdp.Description) {
	c := m.call
	if err := m.secure(side, d); err != nil { // no media is better than plain media
		c.log.Error().Err(err).Stringer("side", side).Msg("SRTP keys not usable")
		m.session.SetPeer(side, media.Peer{})
		return
	}
	if before := c.agreement.Description[side]; before != nil && before.RTP() != d.RTP() {
		c.sounds.voices[side] = nil // the relay gives it up
	}
	c.agreement.Description[side] = d
	c.media.described()
	l, sources, mode := c.a, c.trunk.Caller.MediaSources, c.trunk.Caller.Media.Latch
	if side == media.SideA {
		c.agreement.Offer = d
	} else {
		b, t := c.attempts.line()
		l, sources, mode = b, t.Dial.MediaSources, t.Dial.Media.Latch
	}
	peer := agreement.PeerOf(d, c.agreement.Codec[side], l.leg.Dialog().Source.Addr(), sources, mode)
	peer.Unconfirmed = !l.confirmed
	peer.Mux = d.Muxes() && (d.OverDTLS() || c.agreement.StreamOrder[side].Muxes()) // with DTLS we offer it, too
	m.session.SetPeer(side, peer)
	m.shakeHands(side)
	for _, from := range []media.Side{media.SideA, media.SideB} {
		if changes, changed := c.agreement.PayloadChanges(from); changed {
			m.session.SetPayloads(from, changes)
		}
	}
	c.sounds.update()
}

// confirm takes a request within a leg's dialog as an answer to what was sent to its
// peer: it has our tag. It has to come from the INVITE's address, or from the trunk's
// networks. A request from any other address proves nothing.
func (m *callMedia) confirm(l *legOnWire, from netip.Addr) {
	known := func(p netip.Prefix) bool { return p.Contains(from) }
	if l.confirmed || (from != l.leg.Dialog().Source.Addr() && !slices.ContainsFunc(m.call.trunk.Caller.Sources, known)) {
		return
	}
	l.confirmed = true
	if m.session != nil {
		m.session.Confirm(m.call.side(l))
	}
}

// line is the leg on side B that media flows to, with its target: the bridge,
// or before that the attempt.
func (all *attempts) line() (*legOnWire, *peers.Target) {
	c := all.call
	if c.b != nil {
		return c.b, c.bridge.target
	}
	return all.current.line, all.current.target
}

// at is our RTP address on a side, as SDP names it.
func (m *callMedia) at(side media.Side) netip.AddrPort {
	return netip.AddrPortFrom(m.addr[side], m.session.Local(side).Port())
}

var (
	// errNoFamily means that media can't be carried to a peer: no address in
	// media.listen is of its address family.
	errNoFamily = errors.New("no media address of the address family")

	// errBound means that a target names an address for its media, but the call's
	// media is bound to another one, and the caller has its answer already.
	errBound = errors.New("the media of the call is bound to another address")
)

// mediaAddr is the local address of a peer's media, and its name in SDP. wanted is
// the address in the peer's configuration, if any; it counts only in the peer's
// address family.
func (s *Server) mediaAddr(peer, wanted netip.Addr) (bind, name netip.Addr, err error) {
	for _, l := range s.cfg.Media.Listen {
		if l.Addr.Is4() == peer.Is4() && (l.Addr == wanted || !wanted.IsValid() || wanted.Is4() != peer.Is4()) {
			name, err = s.mediaName(l.Addr, peer)
			return l.Addr, name, err
		}
	}
	return bind, name, fmt.Errorf("%w, of %v", errNoFamily, peer)
}

// mediaName is the name of a local media address in SDP toward a peer.
func (s *Server) mediaName(bind, peer netip.Addr) (netip.Addr, error) {
	if bind.Is4() != peer.Is4() {
		return netip.Addr{}, fmt.Errorf("%w, of %v", errNoFamily, peer)
	}
	public := s.cfg.Media.Advertise
	at := slices.IndexFunc(s.cfg.Media.Listen, func(l config.MediaListener) bool { return l.Addr == bind })
	if at >= 0 && s.cfg.Media.Listen[at].Advertise.IsValid() {
		public = s.cfg.Media.Listen[at].Advertise.String()
	}
	if s.stack.IsAdvertised(public, peer) {
		return netip.ParseAddr(public)
	}
	if bind.IsUnspecified() {
		return s.stack.SourceToward(peer)
	}
	return bind, nil
}

// toward makes sure that media can flow to a target. If the target needs
// another local address, ports of that are leased, unless the carrier has our
// answer already.
func (m *callMedia) toward(target netip.Addr) error {
	c := m.call
	wanted := c.attempts.current.target.Dial.Media.Address
	if m.session == nil {
		return m.reopen(target, wanted)
	}
	bound := m.session.Local(media.SideB).Addr()
	bind, name, err := c.server.mediaAddr(target, wanted)
	switch {
	case err != nil:
		return err
	case bind == bound:
	case c.agreement.Answer == nil:
		m.session.Close()
		m.session = nil
		return m.reopen(target, wanted)
	case bind == wanted:
		return fmt.Errorf("%w, not to %v", errBound, wanted)
	default: // the present address serves as well
		if name, err = c.server.mediaName(bound, target); err != nil {
			return err
		}
	}
	c.attempts.current.mediaName = name
	return nil
}

func (m *callMedia) reopen(target, wanted netip.Addr) error {
	err := m.open(target, wanted)
	m.call.attempts.current.mediaName = m.addr[media.SideB]
	return err
}

// secured says which leg's keys the media of a side has.
type secured struct {
	leg   *sdp.LegCrypto
	plain bool
}

// crypto is the SRTP state of the leg on a side.
func (m *callMedia) crypto(side media.Side) *sdp.LegCrypto {
	if side == media.SideA {
		return m.call.a.crypto
	}
	l, _ := m.call.attempts.line()
	return l.crypto
}

// answering is the stream's transport in our answer to a leg's offer.
func (m *callMedia) answering(l *legOnWire, offer *sdp.Description) sdp.StreamTransport {
	before := m.call.agreement.Description[m.call.side(l)]
	return l.crypto.Answering(offer, before != nil && before.RTP() != offer.RTP())
}

// secure gives the media the keys of a side's description, before its address. When
// another leg takes the side over, or SRTP becomes RTP, nothing is sent in between,
// and the former keys are discarded.
func (m *callMedia) secure(side media.Side, d *sdp.Description) error {
	l := m.crypto(side)
	before := m.secured[side]
	l.Apply(d)
	m.secured[side] = secured{leg: l, plain: !d.Secured()}
	if !d.Secured() && (before.leg == nil || before.plain) {
		return nil
	}
	if before.leg != nil && (before.leg != l || !d.Secured()) {
		m.session.SetPeer(side, media.Peer{})
		m.call.sounds.voices[side] = nil // the relay gives it up
		if err := m.session.SetCrypto(side, media.Crypto{}); err != nil {
			return err
		}
	}
	return m.session.SetCrypto(side, l.Crypto())
}

// unplug ends what goes to and comes from side B, with its keys and the handshake for them: its port may be another call's
// by now.
func (m *callMedia) unplug() {
	m.session.SetPeer(media.SideB, media.Peer{})
	_ = m.session.SetCrypto(media.SideB, media.Crypto{}) // never fails without keys
	m.secured[media.SideB] = secured{plain: true}
}

// suite is the name of a side's SRTP suite, empty for plain RTP.
func (m *callMedia) suite(side media.Side) string { return m.secured[side].leg.Suite() }

// described: a side's payload types may have changed.
func (m *callMedia) described() {
	c := m.call
	c.masking.apply()
	if c.recordings.current == nil {
		return
	}
	for _, side := range []media.Side{media.SideA, media.SideB} {
		c.recordings.current.SetPayloads(side, c.agreement.PayloadsOf(side))
	}
}
