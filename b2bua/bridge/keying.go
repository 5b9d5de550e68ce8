package bridge

import (
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
)

// This file handles SRTP keys that come from a DTLS handshake (RFC 5763). The handshake of a side runs on its own
// goroutine while the call continues, and posts HandshakeOver at its end. A new handshake starts whenever the side's
// descriptions ask for a new association.

// keySession has the methods of the media session that Keying uses.
type keySession interface {
	SetCrypto(media.Side, media.Crypto) error
	Datagrams(media.Side) *media.Datagrams
}

// Keying gives the SRTP keys of the legs to the media.
type Keying struct {
	service
	secured [2]secured // the leg whose keys the media session has, by side
}

func (k *Keying) restore(*snapshot.Bridge) {
	b := k.bridge
	for side, d := range b.Agreement.Description {
		if side := media.Side(side); b.Media.session != nil && (side == media.SideA || b.Call.Connected() != nil) {
			k.secured[side] = secured{leg: b.Call.Half(side).Crypto, plain: d == nil || !d.Secured()}
		}
	}
}

func (k *Keying) begin() {
	k.shakeHands(media.SideA)
	k.shakeHands(media.SideB)
}

// shakeHands starts a side's DTLS handshake if it needs one. The handshake ends with the side's media at the latest.
func (k *Keying) shakeHands(side media.Side) {
	b := k.bridge
	l := k.secured[side].leg
	if l == nil {
		return
	}
	h, needed := l.Handshake()
	if !needed {
		return
	}
	way, e := k.bridge.Media.session.Datagrams(side), HandshakeOver{Side: side, Leg: l, of: h}
	b.Beside("dtls", func() {
		e.Err = b.Identity.Agree(b.Context, way, h.With, func(keys media.Crypto) {
			b.Call.Post(HandshakeOver{Side: side, Leg: l, of: h, keys: keys})
		})
		if e.Err != nil {
			b.Call.Post(e)
		}
	})
}

// HandshakeOver is the end of a side's DTLS handshake.
type HandshakeOver struct {
	Side media.Side
	Leg  *sdp.LegCrypto
	Err  error // set if there are no keys
	of   sdp.Handshake
	keys media.Crypto
}

// TakeKeys gives the keys from a handshake to a side's media. It ignores keys of an association that has been
// replaced, and returns an error if there are no usable keys.
func (k *Keying) TakeKeys(e HandshakeOver) (err error) {
	b := k.bridge
	if e.Leg != k.secured[e.Side].leg || !e.Leg.IsCurrent(e.of) || b.Media.session == nil {
		return nil
	}
	if err = e.Err; err == nil {
		e.Leg.Agreed(e.keys)
		err = b.Media.session.SetCrypto(e.Side, e.keys)
	}
	if err != nil {
		b.Log.Warn().Err(err).Stringer("side", e.Side).Msg("DTLS handshake gave no SRTP keys")
		b.Ladder.Decide("side %v: no SRTP keys by DTLS: %v", e.Side, err)
		return err
	}
	b.Ladder.Decide("side %v: SRTP keys by DTLS, %s", e.Side, e.Leg.Suite())
	return nil
}

// secured identifies the leg whose SRTP keys the media of a side uses.
type secured struct {
	leg   *sdp.LegCrypto
	plain bool
}

// secure sets the SRTP keys of a side's description, before the media gets the description's address. When another
// leg takes over the side, or SRTP becomes RTP, secure first stops the side's packets and removes the old keys.
func (k *Keying) secure(side media.Side, d *sdp.Description) error {
	l := k.bridge.Call.Half(side).Crypto
	before := k.secured[side]
	l.Apply(d)
	k.secured[side] = secured{leg: l, plain: !d.Secured()}
	if !d.Secured() && (before.leg == nil || before.plain) {
		return nil
	}
	if before.leg != nil && (before.leg != l || !d.Secured()) {
		k.bridge.Media.session.SetPeer(side, media.Peer{})
		k.bridge.Tell(cut{side})
		if err := k.bridge.Media.session.SetCrypto(side, media.Crypto{}); err != nil {
			return err
		}
	}
	return k.bridge.Media.session.SetCrypto(side, l.Crypto())
}

// Suite returns the name of a side's SRTP suite, or "" for plain RTP.
func (k *Keying) Suite(side media.Side) string { return k.secured[side].leg.Suite() }
