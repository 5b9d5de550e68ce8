package agreement

import (
	"errors"
	"slices"
	"strings"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Where one side has Opus and the other G.711, a transcoder stands at the side with Opus, and the agreement treats both
// sides as G.711 (sdp.Description.Inside). Nothing is transcoded if the sides share a codec. A target is offered the
// caller's own codecs (Own), so its answer decides which codec stands for the caller's Opus.

// errNoTranscoder means that transcoding would be possible, but media.max_transcoded calls are transcoded already.
var errNoTranscoder = errors.New("no transcoder is free")

// offerable returns a caller's offer and the formats that a target with this codec list is offered. If the two have no
// codec in common, G.711 is made of Opus or the reverse.
func (a *Agreement) offerable(offer *sdp.Description, codecs []string) (d *sdp.Description, formats []sdp.Format,
	made bool, err error,
) {
	d, formats, err = offer.Offerable(codecs)
	if err == nil || !a.Transcoder.Possible() {
		return d, formats, false, err
	}
	d, formats, err = offer.Transcodable(codecs)
	return d, formats, err == nil, err
}

// claim takes a transcoder's place if the offered formats need one, and otherwise gives back a place that is not
// needed.
func (a *Agreement) claim(made bool) error {
	switch {
	case made && !a.Transcoder.Claim(false):
		return errNoTranscoder
	case !made && !a.Description[media.SideA].HasStandIn() && !a.Description[media.SideB].HasStandIn():
		a.Transcoder.Release()
	}
	return nil
}

func isG711(k sdp.Codec) bool { return k == sdp.PCMU || k == sdp.PCMA }

func isOpus(codec string) bool { return strings.EqualFold(codec, "opus") }

func isG711Named(codec string) bool {
	return strings.EqualFold(codec, sdp.PCMU.Name) || strings.EqualFold(codec, sdp.PCMA.Name)
}

// isMadeOf reports whether one of the two codecs is Opus and the other G.711.
func isMadeOf(k, other string) bool {
	return isOpus(k) && isG711Named(other) || isG711Named(k) && isOpus(other)
}

// turn makes this kind of G.711 stand for the Opus of a side. Without a kind, the side speaks Opus itself.
func (a *Agreement) turn(side media.Side, law sdp.Codec) {
	d := a.Description[side]
	if side == media.SideA {
		d = a.Offer.Inside(law)
		a.Offer = d
	}
	if a.Description[side] != nil {
		a.Description[side] = d.Inside(law)
	}
	sent := sdp.InsideOf(a.SentTo[side], law)
	if side == media.SideA && a.Late { // the caller may still choose among these
		sent = withPlainG711(sent, a.SentTo[side])
	}
	a.SentTo[side] = sent
	if a.Codec[side].Name != "" {
		a.Tell(side, spoken(sdp.InsideOf(a.Told[side], law), a.SentTo[side], d.Inside(law).Formats()))
	}
}

// withPlainG711 returns formats, with the plain G.711 of before added where formats lacks it: G.711 that stands for
// nothing else.
func withPlainG711(formats, before []sdp.Format) []sdp.Format {
	for _, f := range before {
		has := func(o sdp.Format) bool { return o.Codec == f.Codec && !o.IsStandIn() }
		if isG711(f.Codec) && !f.IsStandIn() && !slices.ContainsFunc(formats, has) {
			formats = append(formats, f)
		}
	}
	return formats
}

// spoken returns the first of these lists with a codec for speech. The list that a side was told may lack the codec
// that it has changed to since then, and that G.711 stands for.
func spoken(all ...[]sdp.Format) []sdp.Format {
	for _, formats := range all {
		if slices.ContainsFunc(formats, func(f sdp.Format) bool { return f.Speech() }) {
			return formats
		}
	}
	return nil
}

// turnForSounds makes G.711 stand for the caller's Opus if the first target does not take Opus, so that the caller can
// hear our sounds.
func (a *Agreement) turnForSounds(first *peers.Target) {
	if !a.Offer.LacksG711() {
		return
	}
	_, formats, made, err := a.offerable(a.Offer, first.Dial.Codecs)
	if err == nil && made && a.Transcoder.Claim(false) {
		a.turn(media.SideA, formats[0].Codec)
	}
}

// inside returns a side's new offer in mid-call as the agreement needs it: with G.711 in place of Opus if the offer has
// no other codec of the call and the other side can't be asked for Opus.
func (a *Agreement) inside(side media.Side, d *sdp.Description, asks bool) *sdp.Description {
	law := a.Codec[side]
	switch {
	case !isG711(law), !d.LacksG711():
		return d
	case a.Description[side].HasStandIn():
	case asks, !a.Transcoder.Claim(false):
		return d
	}
	return d.Inside(law)
}

// Transcode returns the settings of a side's transcoder, or the zero value if the side has none.
func (a *Agreement) Transcode(side media.Side) media.Transcode {
	return sdp.TranscodeOf(a.Description[side], a.Sends(side), a.Description[side.Other()])
}

// Transcodes names the codecs of a side's transcoder, like "opus <-> PCMU", or returns "" if the side has none.
func (a *Agreement) Transcodes(side media.Side) string {
	if !a.Description[side].HasStandIn() {
		return ""
	}
	return transcodes + a.Description[side].Speaks().Name
}

const transcodes = "opus <-> "

// Untouched returns the payload types with which a side sends Opus that passes unchanged.
func (a *Agreement) Untouched(side media.Side) (opus media.PayloadSet) {
	if !isOpus(a.Codec[side].Name) {
		return opus
	}
	for _, f := range a.Sends(side) {
		if f.Codec == a.Codec[side] {
			opus.Add(f.Number)
		}
	}
	return opus
}

// Makes names the codecs of the transcoder that a caller with none of these codecs needs, or returns "" if it needs
// none.
func (a *Agreement) Makes(codecs []string) string {
	law := slices.IndexFunc(codecs, isG711Named)
	switch {
	case !a.Transcoder.Possible() || slices.ContainsFunc(codecs, isOpus) == (law >= 0):
		return ""
	case law < 0:
		return transcodes + sdp.PCMU.Name
	}
	return transcodes + codecs[law]
}
