package agreement

import (
	"slices"
	"strings"

	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Tell records the codecs that a side is told, and the one that it speaks.
func (a *Agreement) Tell(side media.Side, formats []sdp.Format) {
	a.Told[side], a.Codec[side] = formats, sdp.Codec{}
	for _, f := range formats {
		if f.Speech() && a.Codec[side].Name == "" {
			a.Codec[side] = f.Codec
			if side == media.SideA {
				a.CodecName, _, _ = strings.Cut(f.Mapping, "/")
			}
		}
	}
}

// OnlyAgreedCodec returns a side's description with the call's codec as the only one,
// or unchanged if it lacks that codec.
func (a *Agreement) OnlyAgreedCodec(side media.Side, d *sdp.Description) *sdp.Description {
	if !sdp.Includes(d.Formats(), a.Codec[side]) {
		return d
	}
	return d.Only(a.Codec[side], a.Told[side])
}

// toldTo returns the formats whose codec a side was told, in that order. Telephone-events and comfort noise are
// included if the other side has them now.
func (a *Agreement) toldTo(side media.Side, formats []sdp.Format) []sdp.Format {
	codecs := a.Told[side]
	if slices.EqualFunc(codecs, formats, func(x, y sdp.Format) bool { return x.Codec == y.Codec }) {
		return formats
	}
	var told []sdp.Format
	for _, t := range codecs {
		if f, ok := sdp.Find(formats, t.Codec); ok {
			told = append(told, f)
		}
	}
	for _, f := range formats {
		if (f.Events() || f.Comfort()) && !sdp.Includes(codecs, f.Codec) {
			told = append(told, f)
		}
	}
	return told
}

// Sends returns the formats that a side may send: the ones it was offered, and the ones in
// its own description, because some peers send by their own numbers.
func (a *Agreement) Sends(side media.Side) []sdp.Format {
	formats := slices.Clip(a.SentTo[side])
	if d := a.Description[side]; d != nil {
		for _, f := range d.Whole().Formats() {
			if !slices.ContainsFunc(formats, func(o sdp.Format) bool { return o.Number == f.Number }) {
				formats = append(formats, f)
			}
		}
	}
	return formats
}

// ForSide returns the other side's description as a side sees it: in the numbers of near,
// and with the call's codec if near has it or it can be made. It is nil if there is none
// yet. keyed is the side whose telephone-events end here.
func (a *Agreement) ForSide(side media.Side, near *sdp.Description, keyed media.Side) *sdp.Description {
	far := a.Description[side.Other()]
	switch {
	case far == nil && side == media.SideA && a.Answer != nil:
		// the caller was told codecs, though no target has taken the call
		return a.OnlyAgreedCodec(side, near)
	case far == nil:
		return nil
	}
	far = far.Whole()
	seen := far.NumberedAs(near)
	if !sdp.Includes(seen.Formats(), a.Codec[side]) {
		seen = far.InNumbersOf(a.OnlyAgreedCodec(side, near))
	}
	return WithEventsOf(keyed, side, seen, near)
}

// Covers returns the formats of an offer that both sides were told, or nil if the call's
// codec is not among them. exact reports whether all codecs for speech are.
func (a *Agreement) Covers(side media.Side, d *sdp.Description, keyed media.Side) (formats []sdp.Format, exact bool) {
	far := a.ForSide(side, d, keyed)
	if far == nil {
		return nil, false
	}
	formats = a.toldTo(side, far.Common(d))
	if !sdp.Includes(formats, a.Codec[side]) {
		return nil, false
	}
	return formats, !slices.ContainsFunc(a.Told[side], func(f sdp.Format) bool {
		return f.Speech() && !sdp.Includes(formats, f.Codec) && sdp.Includes(far.Formats(), f.Codec)
	})
}

// Returns reports whether a side's offer lists the codec again that its last ones lacked, and for which the other side
// may be asked (RFC 3264 section 8.3.2). Music on hold lists one codec, and the resume all of them.
func (a *Agreement) Returns(side media.Side, d *sdp.Description, mayAsk []string) bool {
	former := a.Former[side]
	return former != (sdp.Codec{}) && former != a.Codec[side] && sdp.Includes(d.Formats(), former) &&
		slices.ContainsFunc(mayAsk, func(codec string) bool { return strings.EqualFold(codec, former.Name) })
}

// Decided keeps the codec that a side speaks if the side's offer lacks it. A former codec that the offer lists is
// forgotten, because the other side has decided about it.
func (a *Agreement) Decided(side media.Side, offer *sdp.Description) {
	formats := offer.Formats()
	if sdp.Includes(formats, a.Former[side]) {
		a.Former[side] = sdp.Codec{}
	}
	if speaks := a.Codec[side]; a.Former[side] == (sdp.Codec{}) && !sdp.Includes(formats, speaks) {
		a.Former[side] = speaks
	}
}

// PayloadChanges returns how the relay has to change a side's payload types into the
// ones that the other side expects. A side sends the formats that it was told and has
// itself (RFC 3264 section 6.1). Formats that the other side can't use are dropped.
// Telephone-events that the side was not told of are renumbered, but not dropped.
// changed reports whether the changes differ from the previous ones.
func (a *Agreement) PayloadChanges(from media.Side) (changes []media.PayloadChange, changed bool) {
	own, to := a.Description[from], a.Description[from.Other()]
	if own == nil || to == nil {
		return nil, false
	}
	has := own.Whole().Formats()
	wants := a.toldTo(from.Other(), to.Formats())
	for _, f := range a.Sends(from) {
		told := f.Comfort() || sdp.Includes(a.Told[from], f.Codec)
		if !sdp.Includes(has, f.Codec) || (f.Speech() && !told) {
			continue
		}
		if change, needed := sdp.ChangeOf(f, wants); needed && (told || change.Op != media.PayloadDrop) {
			changes = append(changes, change)
		}
	}
	changed = !slices.Equal(changes, a.Changes[from])
	a.Changes[from] = changes
	return changes, changed
}

// Reaches reports whether the other side gets what a side speaks.
func (a *Agreement) Reaches(from media.Side) bool {
	to := from.Other()
	f, ok := sdp.Find(a.Description[from].Formats(), a.Codec[from])
	change, _ := sdp.ChangeOf(f, a.toldTo(to, a.Description[to].Formats()))
	return ok && change.Op != media.PayloadDrop
}

// Events returns the payload type and clock of the telephone-events that a side wants beside the codec that it speaks.
func (a *Agreement) Events(side media.Side) (number uint8, clock uint32, ok bool) {
	d := a.Description[side]
	if d == nil {
		return 0, 0, false
	}
	speaks := a.Codec[side]
	if !sdp.Includes(d.Formats(), speaks) {
		speaks = d.Speaks()
	}
	return EventsAmong(d.Formats(), speaks.Clock)
}

// SendsEvents reports whether a side has telephone-events and was told that it may send
// them. Otherwise its keys are tones within its speech.
func (a *Agreement) SendsEvents(side media.Side) bool {
	d := a.Description[side]
	return d != nil && slices.ContainsFunc(a.SentTo[side],
		func(f sdp.Format) bool { return f.Events() && sdp.Includes(d.Formats(), f.Codec) })
}

// WithEventsOf returns an answer as a side sees it: with the telephone-events of the
// side's own offer if they end here.
func WithEventsOf(keyed, side media.Side, answer, offer *sdp.Description) *sdp.Description {
	if keyed == side {
		return answer.WithEvents(offer)
	}
	return answer
}

// EventsAmong returns the telephone-events among formats, preferably those with the
// clock of speech. It ignores those with a faster clock than speech.
func EventsAmong(formats []sdp.Format, speech uint32) (number uint8, clock uint32, ok bool) {
	for _, f := range formats {
		if !f.Events() || (ok && f.Clock != speech) {
			continue
		}
		number, clock, ok = f.Number, f.Clock, true
	}
	if speech > 0 {
		clock = min(clock, speech)
	}
	return number, clock, ok
}
