package agreement

import (
	"net/netip"
	"slices"
	"strings"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Agreement is the negotiated session of the two sides: their descriptions, and the
// codecs that each was told. It neither sends messages nor changes a leg.
type Agreement struct {
	Offer  *sdp.Description // the caller's offer, or one in its place
	Late   bool             // the caller's INVITE had no offer, and its answer is still to come
	Answer []byte           // our SDP that the caller has
	Terms
	CodecName string // of the caller's codec, as its offer spells it

	Description [2]*sdp.Description // in force, by side
	// gives number and order of the streams in our descriptions to a side (RFC 3264 section 8)
	StreamOrder [2]*sdp.Description
	Changes     [2][]media.PayloadChange // of the media from a side, by side
	Before      [2]*Before               // the session before the last change, by the side that wanted the change
	Transcoder  Place                    // the call's place among transcoded calls

	offers int // number of offers made in mid-call
}

// Terms are the formats and codecs of the sides.
type Terms struct {
	SentTo [2][]sdp.Format // to a side, in its numbers: the formats that it sends
	Told   [2][]sdp.Format // to a side: codecs that the other side has, or that can be made from its codecs
	Codec  [2]sdp.Codec    // the codec of these that a side speaks
	Former [2]sdp.Codec    // the codec that a side spoke before an offer of its own that lacks it
}

// Before is the session before a change, in case a CANCEL of the change overtakes our
// answer to it.
type Before struct {
	Description *sdp.Description
	Terms       Terms
	Asked       bool // the other side has agreed to the change
}

// SharesCodec reports whether a target can use a codec of the caller.
func (a *Agreement) SharesCodec(t *peers.Target) bool {
	if a.Late {
		return true
	}
	_, _, _, err := a.offerable(a.Offer.Own(), t.Dial.Codecs)
	return err == nil
}

// Playable returns the caller's first kind of G.711 that one of the targets can use.
func (a *Agreement) Playable(targets []*peers.Target) (sdp.Codec, bool) {
	if a.Late {
		return sdp.Codec{}, false
	}
	a.turnForSounds(targets[0])
	for _, f := range a.Offer.Formats() {
		if f.Codec != sdp.PCMU && f.Codec != sdp.PCMA {
			continue
		}
		only := a.Offer.Only(f.Codec, nil)
		if slices.ContainsFunc(targets, func(t *peers.Target) bool {
			_, _, made, err := a.offerable(only.Own(), t.Dial.Codecs)
			_, _, must, _ := a.offerable(a.Offer.Own(), t.Dial.Codecs)
			return err == nil && made == must
		}) {
			return f.Codec, true
		}
	}
	return sdp.Codec{}, false
}

// OfferFor returns the offer to a target: the usable formats of the caller's offer, or
// the target's own codecs if there is no offer. Once the carrier has an answer, only
// that answer's codec is offered. Telephone-events are always offered: a caller may list them only in a re-INVITE.
func (a *Agreement) OfferFor(t *peers.Dial) (offer *sdp.Description, formats []sdp.Format, err error) {
	if a.Late && a.Answer == nil {
		if a.Offer, err = sdp.Synthetic(t.Codecs); err != nil {
			return nil, nil, err
		}
	}
	offer = a.Offer
	if a.Answer != nil {
		offer = a.OnlyAgreedCodec(media.SideA, offer.Whole())
	}
	offer, formats, made, err := a.offerable(offer.Own().Whole(), t.Codecs)
	if err == nil {
		offer, formats = offer.OfferingEvents(formats)
		err = a.claim(made)
	}
	return offer, formats, err
}

// OfferFirst returns the offer to a customer who is called before any agent: the codecs of its trunk that an agent may
// use, too, the other kind of G.711, and last those that can be made of an agent's if a transcoder is free. The
// customer's answer then takes the place of a caller's offer, and decides whether the call takes a transcoder.
func (a *Agreement) OfferFirst(t *peers.Dial, agents []*peers.Target) (offer *sdp.Description, formats []sdp.Format,
	err error,
) {
	both := usableTo(agents, t.Codecs, strings.EqualFold)
	both = append(both, usableTo(agents, t.Codecs, func(own, agents string) bool {
		return isG711Named(own) && isG711Named(agents) && !slices.Contains(both, own)
	})...)
	made := usableTo(agents, t.Codecs, func(own, agents string) bool {
		return isMadeOf(own, agents) && !slices.Contains(both, own)
	})
	switch {
	case len(both) == 0 && len(made) > 0 && a.Transcoder.Possible() && !a.Transcoder.Claim(false):
		return nil, nil, errNoTranscoder
	case a.Transcoder.Has() || a.Transcoder.Free():
		both = append(both, made...)
	}
	if a.Offer, err = sdp.Synthetic(both); err != nil {
		return nil, nil, err
	}
	a.Late = true
	return a.Offer.Offerable(both)
}

// usableTo returns the codecs that at least one of the agents can use, directly or by conversion.
func usableTo(agents []*peers.Target, codecs []string, fits func(own, agents string) bool) []string {
	return slices.DeleteFunc(slices.Clone(codecs), func(codec string) bool {
		is := func(other string) bool { return fits(codec, other) }
		return !slices.ContainsFunc(agents, func(t *peers.Target) bool { return slices.ContainsFunc(t.Dial.Codecs, is) })
	})
}

// SessionToward returns the present session as described to a side, with our media at
// this address and with this transport.
func (a *Agreement) SessionToward(side media.Side, at netip.AddrPort, over sdp.StreamTransport,
	keyed media.Side,
) ([]byte, error) {
	near := a.Description[side]
	if near == nil {
		near = a.Offer // the caller's answer is still to come
	}
	far := a.ForSide(side, near, keyed)
	if far == nil {
		return nil, sdp.ErrNoAudio
	}
	a.SentTo[side] = slices.DeleteFunc(slices.Clone(a.toldTo(side, far.Formats())), func(f sdp.Format) bool {
		return !f.Speech() && !sdp.Includes(near.Whole().Formats(), f.Codec)
	})
	return far.Answering(a.StreamOrder[side], at, over, a.SentTo[side], sdp.SendRecv), nil
}

// KeepBefore keeps the present session, in case our answer to a change never reaches
// the side that wanted it. asked means that the other side has agreed to the change.
func (a *Agreement) KeepBefore(side media.Side, asked bool) {
	a.Before[side] = &Before{Description: a.Description[side], Terms: a.Terms, Asked: asked}
}

// NextOffer returns the Ref for a new offer.
func (a *Agreement) NextOffer() int {
	a.offers++
	return a.offers
}

// Seen returns a target's answer as a caller with an earlier answer sees it, and sets the caller's codec to suit the
// target (Turn). If it returns an error, the agreement is unchanged.
func (a *Agreement) Seen(answer *sdp.Description) (*sdp.Description, error) {
	before := *a
	if err := a.Turn(answer); err != nil {
		return nil, err
	}
	seen := answer.InNumbersOf(a.OnlyAgreedCodec(media.SideA, a.Offer))
	if seen.Speaks() != a.Codec[media.SideA] {
		if !before.Transcoder.Has() {
			a.Transcoder.Release()
		}
		*a = before
		return nil, sdp.ErrNoCodec
	}
	return seen, nil
}

// Following returns a side's new offer in mid-call as the agreement sees it, with the formats beside speech of the
// side's last description. The other side may be offered a codec of its own last description, and the platform those
// of mayAsk, which is nil if there is none yet.
func (a *Agreement) Following(side media.Side, d *sdp.Description, mayAsk []string,
	platform media.Side,
) *sdp.Description {
	other := a.Description[side.Other()]
	asks := slices.ContainsFunc(mayAsk, isOpus) && (platform != side || other != nil && other.HasOpus())
	return a.inside(side, d, asks).Following(a.Description[side], nil)
}
