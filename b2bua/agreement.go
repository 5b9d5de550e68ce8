package b2bua

import (
	"net/netip"
	"slices"
	"time"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// agreement is the session of the two sides: their descriptions, the codecs that
// each was told, and the change that is under way. It sends nothing and steps no
// leg.
type agreement struct {
	offer  *sdp.Description // the caller's, or one in its place
	late   bool             // the caller's INVITE had no offer, and its answer is to come
	answer []byte           // our SDP that the caller has
	terms
	codecName string // of the caller's codec, as its offer spells it

	description [2]*sdp.Description      // in force, by side
	streamOrder [2]*sdp.Description      // gives number and order of the streams in our descriptions to a side (RFC 3264 section 8)
	onHold      [2]bool                  // a side wants no media
	changes     [2][]media.PayloadChange // of the media from a side
	rollback    [2]*rollback             // the session before the last change, by the side that wanted it

	offers   int       // made in mid-call
	exchange *exchange // under way; nil: none
}

// terms are the formats and codecs of the sides.
type terms struct {
	sentTo [2][]sdp.Format // to a side, in its numbers: the formats that it sends
	told   [2][]sdp.Format // to a side: codecs that the other side has, or that can be made from its codecs
	codec  [2]sdp.Codec    // of these, the codec that a side speaks
}

// exchange is a change that one side wants and that we have offered the other. A call
// has one at a time.
type exchange struct {
	from, to  *legOnWire
	ref       int // of the offer to it
	offer     *sdp.Description
	formats   []sdp.Format // offered to to
	fallback  []sdp.Format // formats that from gets if to refuses; nil: none
	withdrawn bool         // from has cancelled it, or has waited for too long
	until     time.Time
}

// rollback is a session that a change has replaced, in case a CANCEL was faster than
// our answer to the change.
type rollback struct {
	description *sdp.Description
	terms       terms
	asked       bool // the other side has agreed to the change
}

func (a *agreement) sharesCodec(t *peers.Target) bool {
	if a.late {
		return true
	}
	_, _, err := a.offer.Offerable(t.Dial.Codecs, t.Dial.CodecOrder)
	return err == nil
}

// playable is the caller's first kind of G.711 that one of the targets can use.
func (a *agreement) playable(targets []*peers.Target) (sdp.Codec, bool) {
	if a.late {
		return sdp.Codec{}, false
	}
	for _, f := range a.offer.Formats() {
		if f.Codec != sdp.PCMU && f.Codec != sdp.PCMA {
			continue
		}
		only := a.offer.Only(f.Codec, nil)
		if slices.ContainsFunc(targets, func(t *peers.Target) bool {
			_, _, err := only.Offerable(t.Dial.Codecs, t.Dial.CodecOrder)
			return err == nil
		}) {
			return f.Codec, true
		}
	}
	return sdp.Codec{}, false
}

// offerFor is the offer to a target: the usable formats of the caller's offer, or of
// the target's own codecs if there is no offer. Once the carrier has an answer, only
// that answer's codec is offered. keyed is the side whose telephone-events end here.
func (a *agreement) offerFor(t *peers.Dial, keyed media.Side) (offer *sdp.Description, formats []sdp.Format, err error) {
	if a.late && a.answer == nil {
		if a.offer, err = sdp.Synthetic(t.Codecs); err != nil {
			return nil, nil, err
		}
	}
	offer = a.offer
	if a.answer != nil {
		offer = a.onlyAgreedCodec(media.SideA, offer)
	}
	if keyed == media.SideB {
		offer = offer.WithEvents(nil) // made of the caller's INFO
	}
	return offer.Offerable(t.Codecs, t.CodecOrder)
}

// directionFor is the direction of an attempt's offer: the caller's for the route,
// unless we make the offer ourselves. For a transfer the agent's hold does not count.
func (a *agreement) directionFor(at *attempt) sdp.Direction {
	switch {
	case !at.plan.isTransfer() && a.late:
		return sdp.SendRecv
	case !at.plan.isTransfer():
		return at.offer.PassedOn()
	case a.onHold[media.SideA]:
		return sdp.SendOnly
	default:
		return sdp.SendRecv
	}
}

// sessionToward describes the present session to a side, with our media at this
// address and with this transport.
func (a *agreement) sessionToward(side media.Side, at netip.AddrPort, over sdp.StreamTransport, keyed media.Side) ([]byte, error) {
	near := a.description[side]
	if near == nil {
		near = a.offer // of a caller whose answer is to come
	}
	far := a.forSide(side, near, keyed)
	if far == nil {
		return nil, sdp.ErrNoAudio
	}
	a.sentTo[side] = a.toldTo(side, far.Formats())
	return far.Answering(a.streamOrder[side], at, over, a.sentTo[side], sdp.SendRecv), nil
}

// takeStreams notes that our descriptions to a side have the streams of d from now on,
// and whether the side holds the call.
func (a *agreement) takeStreams(side media.Side, d *sdp.Description) {
	a.onHold[side], a.streamOrder[side] = d.Held(), d
}

// keepBefore keeps the present session, in case our answer to a change never reaches
// the side that wanted it. asked: the other side has agreed to the change.
func (a *agreement) keepBefore(side media.Side, asked bool) {
	a.rollback[side] = &rollback{description: a.description[side], terms: a.terms, asked: asked}
}

// nextOffer is the Ref of a new offer.
func (a *agreement) nextOffer() int {
	a.offers++
	return a.offers
}

// settled takes out the exchange that a side has answered or refused; nil: the
// offer was our own.
func (a *agreement) settled(by *legOnWire, ref int) *exchange {
	x := a.exchange
	if x == nil || x.to != by || x.ref != ref {
		return nil
	}
	a.exchange = nil
	return x
}

// exchangeDeadline is when the change under way has taken too long.
func (a *agreement) exchangeDeadline() time.Time {
	if a.exchange == nil || a.exchange.withdrawn {
		return time.Time{}
	}
	return a.exchange.until
}
