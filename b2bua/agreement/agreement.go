package agreement

import (
	"net/netip"
	"slices"
	"strings"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Agreement is the session of the two sides: their descriptions, and the codecs that
// each was told. It sends nothing and steps no leg.
type Agreement struct {
	Offer  *sdp.Description // the caller's, or one in its place
	Late   bool             // the caller's INVITE had no offer, and its answer is to come
	Answer []byte           // our SDP that the caller has
	Terms
	CodecName string // of the caller's codec, as its offer spells it

	Description [2]*sdp.Description // in force, by side
	// gives number and order of the streams in our descriptions to a side (RFC 3264 section 8)
	StreamOrder [2]*sdp.Description
	Changes     [2][]media.PayloadChange // of the media from a side
	Before      [2]*Before               // the session before the last change, by the side that wanted it
	Transcoder  Place                    // of the call among those with transcoders

	offers int // made in mid-call
}

// Terms are the formats and codecs of the sides.
type Terms struct {
	SentTo [2][]sdp.Format // to a side, in its numbers: the formats that it sends
	Told   [2][]sdp.Format // to a side: codecs that the other side has, or that can be made from its codecs
	Codec  [2]sdp.Codec    // of these, the codec that a side speaks
}

// Before is a session that a change has replaced, in case a CANCEL was faster than
// our answer to the change.
type Before struct {
	Description *sdp.Description
	Terms       Terms
	Asked       bool // the other side has agreed to the change
}

// SharesCodec says whether a target can use a codec of the caller.
func (a *Agreement) SharesCodec(t *peers.Target) bool {
	if a.Late {
		return true
	}
	_, _, _, err := a.offerable(a.Offer.Own(), t.Dial.Codecs)
	return err == nil
}

// Playable is the caller's first kind of G.711 that one of the targets can use.
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

// OfferFor is the offer to a target: the usable formats of the caller's offer, or of
// the target's own codecs if there is no offer. Once the carrier has an answer, only
// that answer's codec is offered. keyed is the side whose telephone-events end here.
func (a *Agreement) OfferFor(t *peers.Dial, keyed media.Side) (offer *sdp.Description,
	formats []sdp.Format, err error,
) {
	if a.Late && a.Answer == nil {
		if a.Offer, err = sdp.Synthetic(t.Codecs); err != nil {
			return nil, nil, err
		}
	}
	offer = a.Offer
	if a.Answer != nil {
		offer = a.OnlyAgreedCodec(media.SideA, offer.Whole())
	}
	offer = offer.Own().Whole()
	if keyed == media.SideB {
		offer = offer.WithEvents(nil) // made of the caller's INFO
	}
	offer, formats, made, err := a.offerable(offer, t.Codecs)
	if err == nil {
		err = a.claim(made)
	}
	return offer, formats, err
}

// OfferFirst is the offer to a customer who is called before any agent: the codecs of its trunk that an agent may use,
// too. The customer's answer becomes what a caller's offer is otherwise.
func (a *Agreement) OfferFirst(t *peers.Dial, agents []*peers.Target) (offer *sdp.Description, formats []sdp.Format,
	err error,
) {
	both := usableTo(agents, t.Codecs, strings.EqualFold)
	if len(both) == 0 && a.Transcoder.Possible() {
		if both = usableTo(agents, t.Codecs, isMadeOf); len(both) > 0 && !a.Transcoder.Claim(false) {
			return nil, nil, ErrNoTranscoder
		}
	}
	if a.Offer, err = sdp.Synthetic(both); err != nil {
		return nil, nil, err
	}
	a.Late = true
	return a.Offer.Offerable(both)
}

// usableTo returns the codecs that one of the agents has a codec for.
func usableTo(agents []*peers.Target, codecs []string, fits func(own, agents string) bool) []string {
	return slices.DeleteFunc(slices.Clone(codecs), func(codec string) bool {
		is := func(other string) bool { return fits(codec, other) }
		return !slices.ContainsFunc(agents, func(t *peers.Target) bool { return slices.ContainsFunc(t.Dial.Codecs, is) })
	})
}

// SessionToward describes the present session to a side, with our media at this
// address and with this transport.
func (a *Agreement) SessionToward(side media.Side, at netip.AddrPort, over sdp.StreamTransport,
	keyed media.Side,
) ([]byte, error) {
	near := a.Description[side]
	if near == nil {
		near = a.Offer // of a caller whose answer is to come
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
// the side that wanted it. asked: the other side has agreed to the change.
func (a *Agreement) KeepBefore(side media.Side, asked bool) {
	a.Before[side] = &Before{Description: a.Description[side], Terms: a.Terms, Asked: asked}
}

// NextOffer is the Ref of a new offer.
func (a *Agreement) NextOffer() int {
	a.offers++
	return a.offers
}

// Seen returns a target's answer as the caller sees it that has its own answer already, and has it speak what the
// target needs (Turn). With an error the agreement stays as it was.
func (a *Agreement) Seen(answer *sdp.Description) (*sdp.Description, error) {
	before := *a
	if !a.Turn(answer) {
		return nil, ErrNoTranscoder
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

// Following returns a side's new offer in mid-call as the agreement sees it, with what the side's last description had
// beside speech. The other side may be offered a codec of its last description, and the platform those of mayAsk; nil:
// none yet.
func (a *Agreement) Following(side media.Side, d *sdp.Description, mayAsk []string,
	platform media.Side,
) *sdp.Description {
	other := a.Description[side.Other()]
	asks := slices.ContainsFunc(mayAsk, isOpus) && (platform != side || other != nil && other.HasOpus())
	return a.inside(side, d, asks).Following(a.Description[side], nil)
}
