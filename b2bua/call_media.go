package b2bua

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"flowbridge/media"
	"flowbridge/store"
)

// Relay opens the media of calls. EngineRelay is one.
type Relay interface {
	Open(c media.SessionConfig) (RelaySession, error)
}

// RelaySession is the media of one call; *media.Session is one.
type RelaySession interface {
	Local(media.Side) netip.AddrPort
	SetPeer(media.Side, media.Peer)
	Start()
	Stats() media.Stats
	Close() media.Stats
}

func mediaRecord(s media.Stats) store.Media {
	side := func(x media.SideStats) store.MediaSide {
		return store.MediaSide{
			Rx: int64(x.RxPackets), Tx: int64(x.TxPackets), Lost: int64(x.Lost),
			Dropped: int64(x.DroppedTotal), JitterMS: x.JitterMS,
		}
	}
	return store.Media{A: side(s.A), B: side(s.B)}
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

// readOffer reads the carrier's session description. On false the call is
// over.
func (c *Call) readOffer() (phase, bool) {
	body := sdpBody(c.invite)
	if body == nil {
		return c.refuse(488, CauseNoOffer, warning("399 INVITE without an SDP offer")), false
	}
	offer, err := parseDescription(body)
	switch {
	case errors.Is(err, errBadSDP):
		return c.refuse(400, CauseBadOffer, warning("399 "+errBadSDP.Error())), false
	case err != nil:
		return c.refuse(488, CauseNoCommonCodec, warning("304 "+err.Error())), false
	}
	c.offer = offer
	return nil, true
}

func (c *Call) sharesCodec(t *target) bool {
	_, err := c.offer.usable(t.cfg.Codecs)
	return err == nil
}

// formatsFor are the offer's formats that a target may use: of its codecs, and
// once the carrier has an answer, of what that says.
func (c *Call) formatsFor(t *target) ([]string, error) {
	formats, err := c.offer.usable(t.cfg.Codecs)
	if err != nil || c.answer == nil {
		return formats, err
	}
	audio := false
	formats = slices.DeleteFunc(formats, func(f string) bool {
		name := c.offer.codec(f)
		same := strings.EqualFold(name, c.record.Codec)
		keep := slices.Contains(c.told, f) && (same || isEvents(name))
		audio = audio || keep && same
		return !keep
	})
	if !audio {
		return nil, errNoCodec
	}
	return formats, nil
}

// openMedia leases the ports of both sides, the target's in the address
// family of target. Nothing is taken from the carrier's side before it is told
// its port, with the answer: what came earlier would be a guess.
func (c *Call) openMedia(target netip.Addr) error {
	bindA, nameA, err := c.server.mediaAddr(c.source.Addr())
	if err != nil {
		return err
	}
	bindB, nameB, err := c.server.mediaAddr(target)
	if err != nil {
		return err
	}
	session, err := c.server.relay.Open(media.SessionConfig{
		Addr: [2]netip.Addr{bindA, bindB},
		OnEvent: func(e media.Event) {
			switch e := e.(type) {
			case media.EventSilent:
				c.inbox.post(item{fact: MediaLost{For: e.Since}})
			case media.EventLatched:
				c.inbox.post(item{fact: Latched{Side: e.Side, Source: e.Source}})
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
func mediaCause(err error) Cause {
	if errors.Is(err, errNoFamily) {
		return CauseTargetUnreachable
	}
	return CauseNoPorts
}

// mediaPeer is where a side's media goes and where it is believed from: the
// address in its SDP, that of its signalling, and what is configured.
func mediaPeer(d *description, signalling netip.Addr, configured []netip.Prefix) media.Peer {
	believed := append([]netip.Prefix(nil), configured...)
	if signalling.IsValid() {
		believed = append(believed, netip.PrefixFrom(signalling, signalling.BitLen()))
	}
	_, clock := d.speech()
	if rtp := d.rtp(); rtp.Addr().IsLoopback() && !signalling.IsLoopback() {
		return media.Peer{Believed: believed, ClockRate: clock} // a peer elsewhere has no business with our own machine
	}
	return media.Peer{RTP: d.rtp(), RTCP: d.rtcp(), Believed: believed, ClockRate: clock}
}

// mediaAt is our RTP address on a side, as SDP names it.
func (c *Call) mediaAt(side media.Side) netip.AddrPort {
	return netip.AddrPortFrom(c.sessionAddr[side], c.session.Local(side).Port())
}

// mediaToward sees to it that media can flow to a target: where it is of the
// other address family than was thought, ports of that family are leased,
// unless the carrier has been told ours already.
func (c *Call) mediaToward(target netip.Addr) error {
	if c.session != nil {
		bind := c.session.Local(media.SideB).Addr()
		if bind.Is4() == target.Is4() || c.answer != nil {
			name, err := c.server.mediaName(bind, target)
			c.sessionAddr[media.SideB] = name
			return err
		}
		c.session.Close()
		c.session = nil
	}
	return c.openMedia(target)
}

// takeAnswer puts the target's answer into force. What the carrier was told
// first stays: address, port and codec don't change during the set-up.
func (c *Call) takeAnswer(body []byte) error {
	if len(body) > c.server.cfg.SIP.Limits.SDP {
		return errLongSDP
	}
	answer, err := parseDescription(body)
	if err != nil {
		return err
	}
	if err := answer.holdTo(c.attempt.formats); err != nil {
		return err
	}
	codec := answer.chosen()
	if c.answer != nil && !strings.EqualFold(codec, c.record.Codec) {
		return errNoCodec
	}
	if c.answer == nil {
		if c.answer, err = answer.answering(c.offer, c.originA, c.mediaAt(media.SideA)); err != nil {
			return err
		}
		c.record.Codec, c.told = codec, answer.media().MediaName.Formats
		c.session.SetPeer(media.SideA, mediaPeer(c.offer, c.source.Addr(), c.trunk.cfg.MediaSources))
	}
	from := c.attempt.line.leg.Dialog().Source.Addr()
	c.session.SetPeer(media.SideB, mediaPeer(answer, from, c.attempt.target.cfg.MediaSources))
	return nil
}
