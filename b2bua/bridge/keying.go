package bridge

import (
	"net/netip"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// SRTP whose keys come from a DTLS handshake (RFC 5763). It runs beside the call, for each association that the
// descriptions of a side agree on, and posts one event.

// ShakeHands begins the handshake that a side needs, if it does. It ends with the side's media.
func (m *Media) ShakeHands(side media.Side) {
	b := m.bridge
	l := m.secured[side].leg
	if l == nil {
		return
	}
	h, needed := l.Handshake()
	if !needed {
		return
	}
	way, e := m.session.Datagrams(side), HandshakeOver{Side: side, Leg: l, of: h}
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
	Err  error // why there are no keys
	of   sdp.Handshake
	keys media.Crypto
}

// TakeKeys gives a side's media its keys, unless they are of an association that was given up.
func (m *Media) TakeKeys(e HandshakeOver) (err error) {
	b := m.bridge
	if e.Leg != m.secured[e.Side].leg || !e.Leg.IsCurrent(e.of) || m.session == nil {
		return nil
	}
	if err = e.Err; err == nil {
		e.Leg.Agreed(e.keys)
		err = m.session.SetCrypto(e.Side, e.keys)
	}
	if err != nil {
		b.Log.Warn().Err(err).Stringer("side", e.Side).Msg("no SRTP keys by DTLS")
		b.Ladder.Decide("side %v: no SRTP keys by DTLS: %v", e.Side, err)
		return err
	}
	b.Ladder.Decide("side %v: SRTP keys by DTLS, %s", e.Side, e.Leg.Suite())
	return nil
}

// Plug has side B's media flow to a party with this description, which was offered these formats.
func (b *Bridge) Plug(offered []sdp.Format, d *sdp.Description) {
	b.Agreement.SentTo[media.SideB] = offered
	b.Media.SetPeer(media.SideB, d)
}

// Replace connects the caller to another party on side B, which has answered an offer of these formats. addr is our
// address there.
func (b *Bridge) Replace(addr netip.Addr, offered []sdp.Format, answer *sdp.Description) {
	b.Media.Addr[media.SideB] = addr
	b.Agreement.StreamOrder[media.SideB], b.Agreement.Before = nil, [2]*agreement.Before{}
	b.Agreement.Tell(media.SideB, answer.Formats())
	b.Plug(offered, answer)
	b.Exchanges.Drop()
}
