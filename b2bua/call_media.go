package b2bua

import (
	"errors"
	"net/netip"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
)

// Relay opens the media of calls. EngineRelay is one.
type Relay interface {
	Open(c media.SessionConfig) (RelaySession, error)
}

// RelaySession is the media of one call; *media.Session is one.
type RelaySession interface {
	Local(media.Side) netip.AddrPort
	SetPeer(media.Side, media.Peer)
	SetCrypto(media.Side, media.Crypto) error
	SetPayloads(from media.Side, changes []media.PayloadChange)
	SetTelephoneEvents(media.Side, media.TelephoneEvents)
	Play(to media.Side, p media.Play)
	StopPlay(to media.Side)
	SendDigit(media.Side, media.Digit) error
	SetMask(media.Side, media.Mask)
	SetTap(media.Tap)
	Start()
	Stats() media.Stats
	Close() media.Stats
}

// callMedia is the media of a call.
type callMedia struct {
	session   RelaySession  // nil: not open
	addr      [2]netip.Addr // ours as SDP names it, by side
	secured   [2]secured    // whose keys the session has, by side
	oneWay    string        // the side that nothing was heard from; empty: none
	listening bool          // for digits
}

// EngineRelay is a media engine as calls see it.
type EngineRelay struct{ *media.Engine }

// Open leases ports and opens a session.
func (e EngineRelay) Open(c media.SessionConfig) (RelaySession, error) {
	s, err := e.NewSession(c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// readOffer reads the caller's session description. Where there is none, the
// targets' codecs are offered, and the caller's answer comes with its ACK or
// PRACK. On false the call is over.
func (c *Call) readOffer() (phase, bool) {
	body, _, _ := message.BodyOf(c.invite, c.peers.Parts) // an error would have been refused
	c.agreement.late = body == nil
	// One who offers nothing may have no SRTP, and can't say so but by hanging up.
	c.a.crypto = sdp.NewLegCrypto(c.trunk.Caller.Media, c.agreement.late && c.trunk.Caller.Media.SRTP == config.SRTPRequired)
	if c.agreement.late {
		return nil, true
	}
	offer, err := sdp.Read(body, c.a.crypto.Accept())
	if err != nil {
		code, cause, why := badOffer(err)
		return c.refuse(code, cause, why), false
	}
	c.agreement.offer, c.agreement.description[media.SideA] = offer, offer
	return nil, true
}

// badOffer is how an offer is refused that can't be used.
func badOffer(err error) (code int, why cause.Cause, header sip.Header) {
	if errors.Is(err, sdp.ErrMalformed) || errors.Is(err, sdp.ErrTooLong) {
		return 400, cause.BadOffer, warning("399 " + sdp.ErrMalformed.Error())
	}
	if errors.Is(err, sdp.ErrNeedsSRTP) || errors.Is(err, sdp.ErrNoSuite) || errors.Is(err, sdp.ErrNoKey) {
		return 488, cause.SRTPRequired, warning("304 " + err.Error())
	}
	if errors.Is(err, sdp.ErrNoCodec) {
		return 488, cause.NoCommonCodec, warning("305 " + err.Error())
	}
	return 488, cause.NoCommonCodec, warning("304 " + err.Error())
}

// openMedia leases the ports of both sides, the target's in the address
// family of target, on the address wanted where that is valid. Nothing is taken from the carrier's side before it is told
// its port, with the answer: what came earlier would be a guess.
func (c *Call) openMedia(target, wanted netip.Addr) error {
	bindA, nameA, err := c.server.mediaAddr(c.source.Addr(), c.trunk.Caller.Media.Address)
	if err != nil {
		return err
	}
	bindB, nameB, err := c.server.mediaAddr(target, wanted)
	if err != nil {
		return err
	}
	session, err := c.server.relay.Open(media.SessionConfig{
		Addr: [2]netip.Addr{bindA, bindB},
		OnEvent: func(e media.Event) {
			switch e := e.(type) {
			case media.EventSilent:
				c.mailbox.post(item{event: MediaLost{For: e.Since, Never: e.Never}})
			case media.EventLatched:
				c.mailbox.post(item{event: Latched{Side: e.Side, Source: e.Source}})
			case media.EventDigit:
				c.mailbox.post(item{event: Keyed(e)})
			case media.EventPlayed:
				c.mailbox.post(item{event: Played{Side: e.Side, ID: e.ID}})
			case media.EventOneWay:
				c.mailbox.post(item{event: OneWay{Side: e.Side}})
			case media.EventHeard:
				c.mailbox.post(item{event: OneWay{Side: e.Side, Over: true}})
			}
		},
	})
	if err != nil {
		return err
	}
	c.media.session = session
	c.media.addr = [2]netip.Addr{nameA, nameB}
	return nil
}

// mediaCause is the cause of an error of openMedia or mediaToward.
func mediaCause(err error) cause.Cause {
	if errors.Is(err, errNoFamily) || errors.Is(err, errBound) {
		return cause.TargetUnreachable
	}
	return cause.NoPorts
}

// mediaPeer is where a side's media goes and where it is believed from: the
// address in its SDP, that of its signalling, and what is configured. It speaks
// this codec, if its description has that.
func mediaPeer(d *sdp.Description, speaks sdp.Codec, signalling netip.Addr, configured []netip.Prefix, mode config.LatchMode) media.Peer {
	if !sdp.Includes(d.Formats(), speaks) {
		speaks = d.Speaks()
	}
	peer := media.Peer{
		Listed: configured, ClockRate: speaks.Clock, Codec: speaks.Name, Held: d.Held(), Mute: d.Mute(), Latch: latchMode(mode),
	}
	if signalling.IsValid() {
		peer.Believed = []netip.Prefix{netip.PrefixFrom(signalling, signalling.BitLen())}
	}
	if rtp := d.RTP(); !rtp.Addr().IsLoopback() || signalling.IsLoopback() { // a peer elsewhere has no business with our own machine
		peer.RTP, peer.RTCP = rtp, d.RTCP()
	}
	return peer
}

func latchMode(m config.LatchMode) media.LatchMode {
	switch m {
	case config.LatchStrict:
		return media.LatchStrict
	case config.LatchOff:
		return media.LatchOff
	case config.LatchAuto:
	}
	return media.LatchAuto
}

// setPeer puts a side's description into force.
func (c *Call) setPeer(side media.Side, d *sdp.Description) {
	if err := c.secure(side, d); err != nil { // rather no media than plain
		c.log.Error().Err(err).Stringer("side", side).Msg("SRTP keys not usable")
		c.media.session.SetPeer(side, media.Peer{})
		return
	}
	if before := c.agreement.description[side]; before != nil && before.RTP() != d.RTP() {
		c.sounds.voices[side] = nil // the relay gives it up
	}
	c.agreement.description[side] = d
	c.mediaDescribed()
	l, sources, mode := c.a, c.trunk.Caller.MediaSources, c.trunk.Caller.Media.Latch
	if side == media.SideA {
		c.agreement.offer = d
	} else {
		b, t := c.attemptLine()
		l, sources, mode = b, t.Dial.MediaSources, t.Dial.Media.Latch
	}
	peer := mediaPeer(d, c.agreement.codec[side], l.leg.Dialog().Source.Addr(), sources, mode)
	peer.Mux = d.Muxes() && c.agreement.streamOrder[side].Muxes()
	c.media.session.SetPeer(side, peer)
	for _, from := range []media.Side{media.SideA, media.SideB} {
		if changes, changed := c.agreement.payloadChanges(from); changed {
			c.media.session.SetPayloads(from, changes)
		}
	}
	c.updateSounds()
}

// attemptLine is the leg on side B that media flows to: that of the bridge, or
// of the attempt before there is one.
func (c *Call) attemptLine() (*legOnWire, *peers.Target) {
	if c.b != nil {
		return c.b, c.bridge.target
	}
	return c.attempts.current.line, c.attempts.current.target
}

// at is our RTP address on a side, as SDP names it.
func (m *callMedia) at(side media.Side) netip.AddrPort {
	return netip.AddrPortFrom(m.addr[side], m.session.Local(side).Port())
}

// takeAnswer puts the target's answer into force. What the carrier was told
// first stays: address, port and codec don't change during the set-up.
func (c *Call) takeAnswer(body []byte) error {
	a := c.attempts.current
	offered := a.offered()
	answer, err := a.line.readAnswer(body, offered, c.server.cfg.SIP.Limits.SDP)
	if err != nil {
		return err
	}
	near := c.agreement.offer
	if c.agreement.answer != nil {
		near = c.agreement.onlyAgreedCodec(media.SideA, near)
	}
	seen := withEventsOf(c.eventsFor(a.target), media.SideA, answer.InNumbersOf(near), c.agreement.offer)
	if c.agreement.answer != nil && seen.Speaks() != c.agreement.codec[media.SideA] {
		return sdp.ErrNoCodec
	}
	if c.agreement.answer == nil {
		if err = c.tellCaller(seen); err != nil {
			return err
		}
	}
	c.agreement.sentTo[media.SideB] = offered
	c.agreement.tell(media.SideB, answer.Formats())
	c.setPeer(media.SideB, answer)
	return nil
}

// readAnswer reads the leg's answer to an offer of ours with these formats, of so
// many bytes at most.
func (l *legOnWire) readAnswer(body []byte, offered []sdp.Format, limit int) (*sdp.Description, error) {
	if len(body) > limit {
		return nil, sdp.ErrTooLong
	}
	answer, err := sdp.Read(body, l.crypto.AcceptAnswer())
	if err != nil {
		return nil, err
	}
	l.crypto.Answered(answer)
	return answer, answer.KeepOffered(offered)
}

// tellCaller makes of the target's answer, as the caller is to see it, the
// caller's: an answer too, or an offer of the one codec that was chosen where
// the caller made none.
func (c *Call) tellCaller(answer *sdp.Description) (err error) {
	if c.agreement.late {
		formats := answer.Decided()
		c.agreement.answer, err = answer.WithTransport(c.a.crypto.Offering()).ForTarget(c.media.at(media.SideA), formats, sdp.AsIs)
		c.agreement.sentTo[media.SideA] = answer.Pick(formats)
		c.agreement.tell(media.SideA, c.agreement.sentTo[media.SideA])
		return err
	}
	formats := answer.Common(c.agreement.offer) // it may have events that only the target was offered
	c.agreement.takeStreams(media.SideA, c.agreement.offer)
	c.agreement.sentTo[media.SideA] = formats
	c.agreement.tell(media.SideA, formats)
	if c.agreement.answer, err = answer.WithTransport(c.answering(c.a, c.agreement.offer)).Answering(c.agreement.offer, c.media.at(media.SideA), sdp.NumbersOf(formats), sdp.AsIs); err == nil {
		c.setPeer(media.SideA, c.agreement.offer)
	}
	return err
}
