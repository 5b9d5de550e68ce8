package sdp

import (
	"slices"
	"strconv"
)

// Where the sides have no codec in common, the media may make one of what a side speaks. The rest of the call then sees
// a stand-in: a format with the codec that is made, which has another number, and keeps the a=rtpmap, of what is on the
// wire. So all code treats the side as one that speaks the codec in the call, while the texts sent to it name the codec
// on the wire. transcode.go has the possible conversions.

// IsStandIn reports whether the side has another format on the wire.
func (f *Format) IsStandIn() bool { return f.wire > 0 }

// shown returns the number of the format on the wire.
func (f *Format) shown() uint8 {
	if f.wire > 0 {
		return f.wire
	}
	return f.Number
}

// own returns the format that the side has on the wire.
func (f Format) own() Format {
	if f.wire > 0 {
		f.Codec, f.Number, f.wire, f.lines = codecOf(f.Mapping), f.wire, 0, linesOfText
	}
	return f
}

// outside returns the format for a side that has the same codec on the wire as in the call.
func (f Format) outside() Format {
	if f.wire > 0 {
		f.wire, f.lines = 0, linesOfOurs
		f.Mapping = f.mapping()
	}
	return f
}

// mapping returns the a=rtpmap of a format with one channel.
func (k Codec) mapping() string {
	name := k.Name
	if k.Events() {
		name = "telephone-event"
	}
	return name + "/" + strconv.FormatUint(uint64(k.Clock), 10)
}

// facing returns the format for a side that has the same codec: with the number of that side's format, and with what it
// has on the wire.
func (f Format) facing(same Format) Format {
	f = f.outside()
	if f.Number = same.Number; same.wire > 0 {
		f.wire, f.Mapping, f.lines = same.wire, same.Mapping, linesOfOurs
	}
	return f
}

// InsideOf returns formats as the call sees them if the codec k stands for what the side has: one for speech, and one
// for telephone-events, which is the one that stands for another if there are two. With an empty k it returns the
// formats on the wire.
func InsideOf(formats []Format, k Codec) []Format {
	out := make([]Format, 0, len(formats))
	for _, f := range formats {
		is, ok := f.own(), true
		if k.Name != "" {
			is, ok = is.inside(k)
		}
		at := slices.IndexFunc(out, func(o Format) bool { return o.Codec == is.Codec })
		switch {
		case !ok:
		case at < 0:
			out = append(out, is)
		case is.IsStandIn() && !out[at].IsStandIn():
			out[at] = is
		}
	}
	return out
}

// Inside returns the description as the call sees it if the codec k stands for the one that the side has, if it can.
// With an empty k it returns the description as the side has sent it.
func (d *Description) Inside(k Codec) *Description {
	own := d
	if d.HasStandIn() {
		own = d.regrouped(InsideOf(d.formats, Codec{}))
		own.former = nil
	}
	if k.Name == "" {
		return own
	}
	out := own.regrouped(InsideOf(own.formats, k))
	if !out.HasStandIn() {
		return own
	}
	out.former = nil
	return out
}

// Own returns the description as the side has sent it.
func (d *Description) Own() *Description { return d.Inside(Codec{}) }

// HasStandIn reports whether a codec stands for the one that the side speaks.
func (d *Description) HasStandIn() bool {
	return d != nil && slices.ContainsFunc(d.formats, func(f Format) bool { return f.IsStandIn() && f.Speech() })
}

// OnWire returns the codec that the side has on the wire where the call sees k.
func (d *Description) OnWire(k Codec) Codec {
	for _, f := range d.formats {
		if f.IsStandIn() && f.Speech() {
			return f.own().Codec
		}
	}
	return k
}

// eventsBeside returns telephone-events with the number of f and the clock that suits the format for speech.
func (f Format) eventsBeside(speech Format) Format {
	e := eventsOf(f.Number, speech.Clock)
	if e.lines = linesOfOurs; speech.wire > 0 {
		e.wire, e.Mapping = e.Number, eventsOf(f.Number, speech.own().Clock).Mapping
	}
	return e
}
