package b2bua

import (
	"slices"
	"strings"

	"flowbridge/audio"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
	"flowbridge/recording"
)

// tell notes the codecs that a side is told, and the one that it speaks.
func (a *agreement) tell(side media.Side, formats []sdp.Format) {
	a.told[side], a.codec[side] = formats, sdp.Codec{}
	for _, f := range formats {
		if f.Speech() && a.codec[side].Name == "" {
			a.codec[side] = f.Codec
			if side == media.SideA {
				a.codecName, _, _ = strings.Cut(f.Mapping, "/")
			}
		}
	}
}

// onlyAgreedCodec is a side's description with the call's codec as the only one; or
// unchanged if it lacks that codec.
func (a *agreement) onlyAgreedCodec(side media.Side, d *sdp.Description) *sdp.Description {
	if !sdp.Includes(d.Formats(), a.codec[side]) {
		return d
	}
	return d.Only(a.codec[side], a.told[side])
}

// toldTo are the formats whose codec a side was told, in the order of telling.
func (a *agreement) toldTo(side media.Side, formats []sdp.Format) []sdp.Format {
	codecs := a.told[side]
	if slices.EqualFunc(codecs, formats, func(x, y sdp.Format) bool { return x.Codec == y.Codec }) {
		return formats
	}
	var told []sdp.Format
	for _, t := range codecs {
		if f, ok := sdp.Find(formats, t.Codec); ok {
			told = append(told, f)
		}
	}
	return told
}

// sends are the formats that a side may send: those that it was told, and those of
// its own description, because some peers send by their own numbers.
func (a *agreement) sends(side media.Side) []sdp.Format {
	formats := slices.Clip(a.sentTo[side])
	if d := a.description[side]; d != nil {
		for _, f := range d.Formats() {
			if !slices.ContainsFunc(formats, func(o sdp.Format) bool { return o.Number == f.Number }) {
				formats = append(formats, f)
			}
		}
	}
	return formats
}

// forSide is the other side's description as a side sees it: in the numbers of near,
// and with the call's codec if near has it or it can be made; nil: there is none yet.
// keyed is the side whose telephone-events end here.
func (a *agreement) forSide(side media.Side, near *sdp.Description, keyed media.Side) *sdp.Description {
	far := a.description[side.Other()]
	switch {
	case far == nil && side == media.SideA && a.answer != nil: // the caller was told something, though no target has taken the call
		return a.onlyAgreedCodec(side, near)
	case far == nil:
		return nil
	}
	seen := far.NumberedAs(near)
	if !sdp.Includes(seen.Formats(), a.codec[side]) {
		seen = far.InNumbersOf(a.onlyAgreedCodec(side, near))
	}
	return withEventsOf(keyed, side, seen, near)
}

// covers gives the formats of an offer that both sides were told; nil: the codec of
// the call is not among them. exact: all formats are. freely: the sides may differ
// in telephone-events.
func (a *agreement) covers(side media.Side, d *sdp.Description, keyed media.Side, freely bool) (formats []sdp.Format, exact bool) {
	far := a.forSide(side, d, keyed)
	if far == nil {
		return nil, false
	}
	formats = a.toldTo(side, far.Common(d))
	if !sdp.Includes(formats, a.codec[side]) {
		return nil, false
	}
	told := a.told[side]
	return formats, len(formats)-eventsIn(formats, freely) == len(told)-eventsIn(told, freely)
}

// eventsIn counts the telephone-events among formats, if they are left out of a count.
func eventsIn(formats []sdp.Format, leftOut bool) (n int) {
	for _, f := range formats {
		if leftOut && f.Events() {
			n++
		}
	}
	return n
}

// payloadChanges tells the relay how to change a side's payload types into the ones
// that the other side expects. A side sends the formats that it was told and has
// itself (RFC 3264 section 6.1); formats that the other side can't use are dropped.
// changed says whether the changes differ from those before.
func (a *agreement) payloadChanges(from media.Side) (changes []media.PayloadChange, changed bool) {
	own, to := a.description[from], a.description[from.Other()]
	if own == nil || to == nil {
		return nil, false
	}
	has := own.Formats()
	wants := a.toldTo(from.Other(), to.Formats())
	for _, f := range a.sends(from) {
		if !sdp.Includes(has, f.Codec) || (!f.Comfort() && !sdp.Includes(a.told[from], f.Codec)) {
			continue
		}
		if change, needed := sdp.ChangeOf(f, wants); needed {
			changes = append(changes, change)
		}
	}
	changed = !slices.Equal(changes, a.changes[from])
	a.changes[from] = changes
	return changes, changed
}

// payloadsOf says what a side's payload types hold.
func (a *agreement) payloadsOf(side media.Side) (p recording.Payloads) {
	var names []string
	for _, f := range a.sends(side) {
		switch {
		case !f.Speech() || !sdp.Includes(a.told[side], f.Codec):
		case f.Codec == sdp.PCMU:
			p.ULaw.Add(f.Number)
		case f.Codec == sdp.PCMA:
			p.ALaw.Add(f.Number)
		default:
			p.Other.Add(f.Number)
			if name, _, _ := strings.Cut(f.Mapping, "/"); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	p.OtherName = strings.Join(names, ", ")
	return p
}

// playing is how a sound is played to a side: in its kind of G.711, with its number
// for that, in packets of the length that it wants.
func (a *agreement) playing(side media.Side, v *voice) (media.Play, bool) {
	law := audio.ULaw
	switch a.codec[side] {
	case sdp.PCMU:
	case sdp.PCMA:
		law = audio.ALaw
	default:
		return media.Play{}, false
	}
	d := a.description[side]
	if d == nil {
		return media.Play{}, false
	}
	f, ok := sdp.Find(d.Formats(), a.codec[side])
	return media.Play{
		Sound: v.sound, Law: law, PayloadType: f.Number, Frame: d.Ptime(), Loop: v.loop, Yield: v.yield, Mix: v.mix,
	}, ok
}

// events are the payload type and clock of the telephone-events that a side wants.
func (a *agreement) events(side media.Side) (number uint8, clock uint32, ok bool) {
	d := a.description[side]
	if d == nil {
		return 0, 0, false
	}
	speech := d.Speaks().Clock
	return eventsAmong(d.Formats(), speech)
}

// sendsEvents says whether a side has telephone-events and was told that it may send
// them. Otherwise its keys are tones within its speech.
func (a *agreement) sendsEvents(side media.Side) bool {
	d := a.description[side]
	return d != nil && slices.ContainsFunc(a.sentTo[side], func(f sdp.Format) bool { return f.Events() && sdp.Includes(d.Formats(), f.Codec) })
}

// withEventsOf is an answer as a side sees it: with the telephone-events of its own
// offer, if these end here.
func withEventsOf(keyed, side media.Side, answer, offer *sdp.Description) *sdp.Description {
	if keyed == side {
		return answer.WithEvents(offer)
	}
	return answer
}
