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
	c.late = body == nil
	// One who offers nothing may have no SRTP, and can't say so but by hanging up.
	c.a.crypto = sdp.NewLegCrypto(c.trunk.Config.Media, c.late && c.trunk.Config.Media.SRTP == config.SRTPRequired)
	if c.late {
		return nil, true
	}
	offer, err := sdp.Read(body, c.a.crypto.Accept())
	if err != nil {
		code, cause, why := badOffer(err)
		return c.refuse(code, cause, why), false
	}
	c.offer, c.description[media.SideA] = offer, offer
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

func (c *Call) sharesCodec(t *peers.Target) bool {
	if c.late {
		return true
	}
	_, _, err := c.offer.Offerable(t.Config.Codecs, t.Config.CodecOrder)
	return err == nil
}

// offerFor is what a target is offered: of the caller's offer, or of the
// target's own codecs where there is none, the formats that it may use; and once
// the carrier has an answer, of what that says. keyed is the side whose
// telephone-events end here.
func (c *Call) offerFor(t *peers.Dial, keyed media.Side) (offer *sdp.Description, formats []string, err error) {
	if c.late && c.answer == nil {
		if c.offer, err = sdp.Synthetic(t.Codecs); err != nil {
			return nil, nil, err
		}
	}
	offer = c.offer
	if c.answer != nil {
		offer = c.onlyAgreedCodec(media.SideA, offer)
	}
	if keyed == media.SideB {
		offer = offer.WithEvents(nil) // made of the caller's INFO
	}
	return offer.Offerable(t.Codecs, t.CodecOrder)
}

// openMedia leases the ports of both sides, the target's in the address
// family of target, on the address wanted where that is valid. Nothing is taken from the carrier's side before it is told
// its port, with the answer: what came earlier would be a guess.
func (c *Call) openMedia(target, wanted netip.Addr) error {
	bindA, nameA, err := c.server.mediaAddr(c.source.Addr(), c.trunk.Config.Media.Address)
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
				c.inbox.post(item{event: MediaLost{For: e.Since, Never: e.Never}})
			case media.EventLatched:
				c.inbox.post(item{event: Latched{Side: e.Side, Source: e.Source}})
			case media.EventDigit:
				c.inbox.post(item{event: Keyed(e)})
			case media.EventPlayed:
				c.inbox.post(item{event: Played{Side: e.Side, ID: e.ID}})
			case media.EventOneWay:
				c.inbox.post(item{event: OneWay{Side: e.Side}})
			case media.EventHeard:
				c.inbox.post(item{event: OneWay{Side: e.Side, Over: true}})
			}
		},
	})
	if err != nil {
		return err
	}
	c.session = session
	c.sessionAddr = [2]netip.Addr{nameA, nameB}
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
		c.session.SetPeer(side, media.Peer{})
		return
	}
	if before := c.description[side]; before != nil && before.RTP() != d.RTP() {
		c.voices[side] = nil // the relay gives it up
	}
	c.description[side] = d
	c.mediaDescribed()
	l, sources, mode := c.a, c.trunk.Config.MediaSources, c.trunk.Config.Media.Latch
	if side == media.SideA {
		c.offer = d
	} else {
		b, t := c.attemptLine()
		l, sources, mode = b, t.Config.MediaSources, t.Config.Media.Latch
	}
	peer := mediaPeer(d, c.codec[side], l.leg.Dialog().Source.Addr(), sources, mode)
	peer.Mux = d.Muxes() && c.streamOrder[side].Muxes()
	c.session.SetPeer(side, peer)
	for _, from := range []media.Side{media.SideA, media.SideB} {
		if changes, changed := c.payloadChanges(from); changed {
			c.session.SetPayloads(from, changes)
		}
	}
	c.updateSounds()
}

// attemptLine is the leg on side B that media flows to: that of the bridge, or
// of the attempt before there is one.
func (c *Call) attemptLine() (*legOnWire, *peers.Target) {
	if c.b != nil {
		return c.b, c.target
	}
	return c.attempt.line, c.attempt.target
}

// mediaAt is our RTP address on a side, as SDP names it.
func (c *Call) mediaAt(side media.Side) netip.AddrPort {
	return netip.AddrPortFrom(c.sessionAddr[side], c.session.Local(side).Port())
}

// takeAnswer puts the target's answer into force. What the carrier was told
// first stays: address, port and codec don't change during the set-up.
func (c *Call) takeAnswer(body []byte) error {
	a := c.attempt
	offered := a.offered()
	answer, err := c.readAnswer(a.line, body, offered)
	if err != nil {
		return err
	}
	near := c.offer
	if c.answer != nil {
		near = c.onlyAgreedCodec(media.SideA, near)
	}
	seen := withEventsOf(c.eventsFor(a.target), media.SideA, answer.InNumbersOf(near), c.offer)
	if c.answer != nil && seen.Speaks() != c.codec[media.SideA] {
		return sdp.ErrNoCodec
	}
	if c.answer == nil {
		if err = c.tellCaller(seen); err != nil {
			return err
		}
	}
	c.sentTo[media.SideB] = offered
	c.tell(media.SideB, answer.Formats())
	c.setPeer(media.SideB, answer)
	return nil
}

// readAnswer reads a leg's answer to an offer of ours with these formats.
func (c *Call) readAnswer(from *legOnWire, body []byte, offered []sdp.Format) (*sdp.Description, error) {
	if len(body) > c.server.cfg.SIP.Limits.SDP {
		return nil, sdp.ErrTooLong
	}
	answer, err := sdp.Read(body, from.crypto.AcceptAnswer())
	if err != nil {
		return nil, err
	}
	from.crypto.Answered(answer)
	return answer, answer.HoldTo(offered)
}

// tellCaller makes of the target's answer, as the caller is to see it, the
// caller's: an answer too, or an offer of the one codec that was chosen where
// the caller made none.
func (c *Call) tellCaller(answer *sdp.Description) (err error) {
	if c.late {
		formats := answer.Decided()
		c.answer, err = answer.WithTransport(c.offering(c.a)).ForTarget(c.mediaAt(media.SideA), formats, sdp.AsIs)
		c.sentTo[media.SideA] = answer.Pick(formats)
		c.tell(media.SideA, c.sentTo[media.SideA])
		return err
	}
	formats := answer.Common(c.offer) // it may have events that only the target was offered
	c.takeStreams(media.SideA, c.offer)
	c.sentTo[media.SideA] = formats
	c.tell(media.SideA, formats)
	if c.answer, err = answer.WithTransport(c.answering(c.a, c.offer)).Answering(c.offer, c.mediaAt(media.SideA), sdp.NumbersOf(formats), sdp.AsIs); err == nil {
		c.setPeer(media.SideA, c.offer)
	}
	return err
}
