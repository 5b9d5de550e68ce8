package agreement

import (
	"errors"
	"slices"
	"strings"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Where one side has Opus and the other G.711, a transcoder stands at the side with Opus, and the agreement is that of
// two sides with G.711 (sdp.Description.Inside). Of a side's own codecs nothing is made as long as the other one takes
// one of them.

// ErrNoTranscoder means that a codec could be made, but not now: media.max_transcoded calls are transcoded.
var ErrNoTranscoder = errors.New("no transcoder is free")

// offerable returns a caller's offer and the formats that a target is offered with this codec list. If the offer has
// Opus and no G.711, G.711 is made of it for a list that has that, beside Opus itself. If the two have nothing in
// common, the one is made of the other.
func (a *Agreement) offerable(offer *sdp.Description, codecs []string) (*sdp.Description, []sdp.Format, error) {
	d, formats, err := offer.Outside().Offerable(codecs)
	switch {
	case !a.Transcoder.Possible(), err == nil && !d.LacksG711():
		return d, formats, err
	case err == nil:
		if both, more, err := d.WithG711(formats, codecs); err == nil {
			return both, more, nil
		}
		return d, formats, nil
	}
	return offer.Outside().Transcodable(codecs)
}

// claim takes a place for a transcoder if these offered formats can't do without.
func (a *Agreement) claim(formats []sdp.Format, err error) error {
	if err != nil || !a.Transcoder.Possible() {
		return err
	}
	own := a.Offer.Formats()
	needs := a.Offer.Transcoded() || !slices.ContainsFunc(formats, func(f sdp.Format) bool {
		return f.Speech() && !f.Transcoded() && (sdp.Includes(own, f.Codec) || !a.Offer.LacksG711())
	})
	if needs && !a.Transcoder.Claim(false) {
		return ErrNoTranscoder
	}
	return nil
}

// Turn has G.711 stand for the caller's Opus from now on, if a target with this answer has only that. It reports false
// if no transcoder is free.
func (a *Agreement) Turn(answer *sdp.Description) bool {
	law := answer.Speaks()
	near := a.Offer
	if a.Answer != nil {
		near = a.OnlyAgreedCodec(media.SideA, near)
	}
	if !a.Transcoder.Possible() || near.Transcoded() || !near.LacksG711() || !isG711(law) {
		return true
	}
	if !a.Transcoder.Claim(false) {
		return false
	}
	a.turn(media.SideA, near, law)
	return true
}

func isG711(k sdp.Codec) bool { return k == sdp.PCMU || k == sdp.PCMA }

// turn has G.711 stand for the Opus of a side, which has this description.
func (a *Agreement) turn(side media.Side, d *sdp.Description, law sdp.Codec) {
	inside, _ := d.Inside(law)
	if a.Description[side] != nil {
		a.Description[side] = inside
	}
	if side == media.SideA {
		a.Offer = inside
	}
	a.SentTo[side], a.Told[side] = sdp.InsideOf(a.SentTo[side], law), sdp.InsideOf(a.Told[side], law)
	if a.Codec[side].Name != "" {
		a.Codec[side] = law
	}
}

// turnForSounds has G.711 stand for a caller's Opus that no target takes, so that the caller can hear our sounds.
func (a *Agreement) turnForSounds(targets []*peers.Target) {
	opus := func(codec string) bool { return strings.EqualFold(codec, "opus") }
	if !a.Transcoder.Possible() || a.Offer.Transcoded() || !a.Offer.LacksG711() || slices.ContainsFunc(targets,
		func(t *peers.Target) bool { return slices.ContainsFunc(t.Dial.Codecs, opus) }) {
		return
	}
	_, formats, err := a.offerable(a.Offer, targets[0].Dial.Codecs)
	if err == nil && isG711(formats[0].Codec) && a.Transcoder.Claim(false) {
		a.turn(media.SideA, a.Offer, formats[0].Codec)
	}
}

// inside returns a side's new offer in mid-call as the agreement needs it: with G.711 in place of Opus, if the side
// has no codec of the call otherwise, and the other side can't be asked for Opus.
func (a *Agreement) inside(side media.Side, d *sdp.Description, mayAsk []string) *sdp.Description {
	law := a.Codec[side]
	other := sdp.PCMA
	if law == sdp.PCMA {
		other = sdp.PCMU
	}
	switch was := a.Description[side]; {
	case !a.Transcoder.Possible(), !isG711(law), sdp.Includes(d.Formats(), law),
		sdp.Includes(d.Formats(), other):
		return d
	case was.Transcoded():
	case slices.ContainsFunc(mayAsk, func(codec string) bool { return strings.EqualFold(codec, "opus") }):
		return d
	case !a.Transcoder.Claim(false):
		return d
	}
	inside, _ := d.Inside(law)
	return inside
}

// Transcode returns what a side's transcoder has to do; the zero value: it has none.
func (a *Agreement) Transcode(side media.Side) media.Transcode {
	return sdp.TranscodeOf(a.Description[side], a.Sends(side))
}

// Transcodes names what the transcoder of a side makes, as "opus <-> PCMU"; empty: it has none.
func (a *Agreement) Transcodes(side media.Side) string {
	if !a.Description[side].Transcoded() {
		return ""
	}
	return "opus <-> " + a.Description[side].Speaks().Name
}
