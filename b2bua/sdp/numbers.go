package sdp

import (
	"slices"
	"strconv"

	"flowbridge/media"
)

// The sides of a call agree on codecs, but each uses its own numbers (payload types) for
// them: an answer need not use the offer's numbers (RFC 3264 section 6.1), and a party
// that is called later may get others. InNumbersOf describes one side to the other.

// InNumbersOf returns the description with the numbers that near uses for the same
// codecs, and with near's kind of G.711 if the two have none in common. A format that
// near does not have keeps its number or gets a free one.
func (d *Description) InNumbersOf(near *Description) *Description { return d.inTerms(near, true) }

// NumberedAs is InNumbersOf, but never changes the kind of G.711.
func (d *Description) NumberedAs(near *Description) *Description { return d.inTerms(near, false) }

func (d *Description) inTerms(near *Description, translated bool) *Description {
	if near == nil {
		return d
	}
	near = near.Whole()
	var space [16]Format // memory on the stack, so that nothing is allocated if nothing changes
	news, changed := space[:0], false
	used, listed := numbersOf(near.formats), numbers{}
	for _, f := range d.formats {
		n, ok := f, true
		if same, has := Find(near.formats, f.Codec); has {
			n = f.facing(same)
		} else if other, has := f.eventsOfAnother(d.formats, near.formats); has {
			n = f.outside()
			n.Codec, n.Mapping, n.Number, n.lines = other.Codec, other.Mapping, other.Number, max(n.lines, mappingAndText)
			n = n.facing(other)
		} else if made, can := f.converted(d.formats, near.formats); can && translated {
			n = made
		} else if n = f.outside(); used.has(f.Number) {
			n.Number, ok = used.free()
		}
		changed = changed || n != f || !ok
		if !ok || listed.has(n.Number) {
			continue
		}
		used.add(n.Number)
		listed.add(n.Number)
		news = append(news, n)
	}
	if !changed {
		return d
	}
	return d.regrouped(slices.Clone(news))
}

// eventsOfAnother returns the telephone-events in theirs that are the same as f, but with another clock. One of the two
// sides has codecs of both clocks, or writes the wrong clock, and has one kind of telephone-events for all.
func (f Format) eventsOfAnother(own, theirs []Format) (Format, bool) {
	speak := func(formats []Format, clock uint32) bool {
		return slices.ContainsFunc(formats, func(o Format) bool { return o.Speech() && o.Clock == clock })
	}
	i := slices.IndexFunc(theirs, func(o Format) bool {
		return f.Events() && o.Events() && !Includes(own, o.Codec) && (speak(theirs, f.Clock) || speak(own, o.Clock))
	})
	if i < 0 {
		return Format{}, false
	}
	return theirs[i], true
}

// regrouped returns the description with only these formats. Their attributes are
// written last, with the formats' new numbers.
func (d *Description) regrouped(formats []Format) *Description {
	out := d.with(formats)
	out.grouped = true
	return out
}

// converted returns the other kind of G.711 in place of f, with the number in theirs. It
// returns false if own has that kind, too, or theirs lacks it.
func (f Format) converted(own, theirs []Format) (Format, bool) {
	other, ok := f.counterpart()
	if !ok || Includes(own, other) {
		return Format{}, false
	}
	same, ok := Find(theirs, other)
	return f.as(other, same.Number).facing(same), ok
}

// as returns the format of another kind of G.711 in place of f.
func (f Format) as(k Codec, number uint8) Format {
	return Format{Codec: k, Mapping: k.Name + "/8000", Number: number, source: f.source, lines: linesOfOurs}
}

// free returns a dynamic payload type that is not in the set (RFC 3551 section 6), or
// false if there is none.
func (s *numbers) free() (n uint8, ok bool) {
	for n = 96; n < 128; n++ {
		if !s.has(n) {
			return n, true
		}
	}
	return 0, false
}

// translatable returns the description with the kind of G.711 that a codec list allows,
// if the description has only the other kind. It also returns the formats to offer: that
// kind and telephone-events. If this is not possible, it returns ErrNoCodec.
func (d *Description) translatable(codecs []string) (*Description, []Format, error) {
	for _, f := range d.formats {
		other, ok := f.counterpart()
		if !ok || other.rank(codecs) == len(codecs) {
			continue
		}
		news := []Format{f.as(other, staticNumber(other))}
		news = append(news, kept(d.formats, func(e *Format) bool { return e.Events() })...)
		_, news = d.inStepWith8000(inStep(news))
		return d.regrouped(news), news, nil
	}
	return nil, nil, ErrNoCodec
}

// staticNumber returns the payload type of a kind of G.711 (RFC 3551 section 6).
func staticNumber(k Codec) uint8 {
	if k == PCMA {
		return 8
	}
	return 0
}

// WithEvents returns the description with telephone-events: its own, or those of another
// description.
func (d *Description) WithEvents(other *Description) *Description {
	own := func(f Format) bool { return f.Events() }
	if slices.ContainsFunc(d.formats, own) {
		return d
	}
	speaks := d.Speaks()
	i := slices.IndexFunc(other.formats, func(o Format) bool { return o.Events() && o.Clock == speaks.Clock })
	if i < 0 {
		i = slices.IndexFunc(other.formats, own)
	}
	if i < 0 || numbersOf(d.formats).has(other.formats[i].Number) {
		return d
	}
	f := other.formats[i]
	f.lines = linesOfOurs
	return d.with(append(d.Formats(), f))
}

// OfferingEvents adds telephone-events of our own to the formats of an offer that has none, with the clock of each
// codec for speech (RFC 4733 section 2.1). It also returns the description with them.
func (d *Description) OfferingEvents(formats []Format) (*Description, []Format) {
	if slices.ContainsFunc(formats, func(f Format) bool { return f.Events() }) {
		return d, formats
	}
	own, used := d.Formats(), numbersOf(d.formats)
	for i := range d.formats {
		used.add(d.formats[i].shown())
	}
	for _, speech := range formats {
		e, ok := eventsOf(eventsPayload, speech.Clock), true
		if used.has(e.Number) {
			e.Number, ok = used.free()
		}
		if e.lines = linesOfOurs; speech.IsStandIn() {
			e = e.eventsBeside(speech)
		}
		if ok && speech.Speech() && !Includes(formats, e.Codec) {
			used.add(e.Number)
			own, formats = append(own, e), append(slices.Clip(formats), e)
		}
	}
	return d.with(own), formats
}

// eventsOf returns telephone-events with this number, for a stream with this clock.
func eventsOf(number uint8, clock uint32) Format {
	f := Format{Number: number, Mapping: "telephone-event/" + strconv.FormatUint(uint64(max(clock, 8000)), 10)}
	f.readMapping()
	return f
}

// ChangeOf returns how the relay changes packets of a format that one side sends, so
// that they suit the other side, or that it drops them. needed is false if they stay as
// they are.
func ChangeOf(sent Format, wants []Format) (change media.PayloadChange, needed bool) {
	if sent.Name == "" {
		return change, false
	}
	change = media.PayloadChange{From: sent.Number, To: sent.Number, Op: media.PayloadDrop}
	same, ok := Find(wants, sent.Codec)
	if i := slices.IndexFunc(wants, func(f Format) bool { return f.Events() }); !ok && sent.Events() && i >= 0 {
		same, ok = wants[i], true // both have the clock of their stream, whatever they write
	}
	if ok {
		change.To, change.Op = same.Number, media.PayloadKeep
	} else if other, ok := sent.counterpart(); ok && Includes(wants, other) {
		made, _ := Find(wants, other)
		change.To, change.Op = made.Number, media.PayloadToALaw
		if other == PCMU {
			change.Op = media.PayloadToULaw
		}
	}
	return change, change.From != change.To || change.Op != media.PayloadKeep
}

// With returns the description with additional formats. A format whose number is used already gets a free one.
func (d *Description) With(more []Format) *Description {
	formats, used := d.Formats(), numbersOf(d.formats)
	for _, f := range more {
		ok := !Includes(formats, f.Codec)
		if ok && used.has(f.Number) {
			f.Number, ok = used.free()
		}
		if ok {
			used.add(f.Number)
			formats = append(formats, f)
		}
	}
	return d.regrouped(formats)
}
