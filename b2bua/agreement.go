package b2bua

import (
	"net/netip"
	"slices"
	"time"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// agreement is what the two sides have agreed on: their descriptions, the codecs
// that each was told, and the change that is under way. It is data with functions
// over it: it sends nothing and knows no leg.
type agreement struct {
	offer  *sdp.Description // the caller's, or what it could have offered
	late   bool             // the caller's INVITE had none, and its answer is to come
	answer []byte           // our SDP that the caller has
	terms
	codecName string // of the caller's codec, as its offer spells it

	description [2]*sdp.Description      // in force, by side
	streamOrder [2]*sdp.Description      // whose streams, in number and order, ours to a side have (RFC 3264 section 8)
	onHold      [2]bool                  // a side has said that it wants no media
	changes     [2][]media.PayloadChange // of what a side sends
	rollback    [2]*rollback             // what was in force before the last change, by the side that wanted it

	offers   int       // made in mid-call
	exchange *exchange // a change that the other side is asked for
}

// terms are what the sides have agreed on.
type terms struct {
	sentTo        [2][]sdp.Format // to a side, in its numbers: what it sends
	offeredCodecs [2][]sdp.Codec  // to a side: codecs that the other one has, or that can be made of its
	codec         [2]sdp.Codec    // of these, what a side speaks
}

// exchange is a change that one side wants and the other is asked for. A call
// has one at a time.
type exchange struct {
	from, to  *legOnWire
	ref       int // of the offer to it
	offer     *sdp.Description
	formats   []sdp.Format // that to is offered
	fallback  []sdp.Format // formats that from may have all the same if to refuses; nil: none
	withdrawn bool         // from has thought better of it, or has waited for too long
	until     time.Time
}

// rollback is a session that a change has replaced, in case that a CANCEL was
// faster than our answer to it.
type rollback struct {
	description *sdp.Description
	terms       terms
	asked       bool // the other side was, too
}

func (a *agreement) sharesCodec(t *peers.Target) bool {
	if a.late {
		return true
	}
	_, _, err := a.offer.Offerable(t.Config.Codecs, t.Config.CodecOrder)
	return err == nil
}

// playable is the first kind of G.711 of the caller's that one of the targets can
// use.
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
			_, _, err := only.Offerable(t.Config.Codecs, t.Config.CodecOrder)
			return err == nil
		}) {
			return f.Codec, true
		}
	}
	return sdp.Codec{}, false
}

// offerFor is what a target is offered: of the caller's offer, or of the
// target's own codecs where there is none, the formats that it may use; and once
// the carrier has an answer, of what that says. keyed is the side whose
// telephone-events end here.
func (a *agreement) offerFor(t *peers.Dial, keyed media.Side) (offer *sdp.Description, formats []string, err error) {
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

// directionFor is that of an attempt's offer: the caller's, but not what the
// caller was told of an agent that holds it, and nothing where we offer by
// ourselves.
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

// sessionToward describes the session as it is to a side, with our media at this
// address and the stream's transport as given.
func (a *agreement) sessionToward(side media.Side, at netip.AddrPort, over sdp.StreamTransport, keyed media.Side) ([]byte, error) {
	near := a.description[side]
	if near == nil {
		near = a.offer // of a caller whose answer is to come
	}
	far := a.forSide(side, near, keyed)
	if far == nil {
		return nil, sdp.ErrNoAudio
	}
	far = far.WithTransport(over)
	a.sentTo[side] = a.toldTo(side, far.Formats())
	formats := sdp.NumbersOf(a.sentTo[side])
	if like := a.streamOrder[side]; like != nil {
		return far.Answering(like, at, formats, sdp.SendRecv)
	}
	return far.ForTarget(at, formats, sdp.SendRecv)
}

// takeStreams notes whose streams, in number and order, a side's descriptions have
// from now on, and whether it holds the call.
func (a *agreement) takeStreams(side media.Side, d *sdp.Description) {
	a.onHold[side], a.streamOrder[side] = d.Held(), d
}

// before keeps what is in force, in case that the change to it never reaches the
// side which wanted it. asked: the other side was asked, too.
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

// exchangeDeadline is when the change that is under way has taken too long.
func (a *agreement) exchangeDeadline() time.Time {
	if a.exchange == nil || a.exchange.withdrawn {
		return time.Time{}
	}
	return a.exchange.until
}
