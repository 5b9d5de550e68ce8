package sdp

import (
	"slices"
	"strconv"
	"strings"

	"flowbridge/media"
)

// If one side speaks Opus and the other has only G.711, media.Transcode converts between the two. The rest of the call
// then sees the Opus side as if it spoke G.711: in its description, G.711 stands for Opus, and telephone-event/8000
// for telephone-event/48000. Such a format has two numbers, the one within the call and the one on the wire, and keeps
// the a=rtpmap of the wire. So all code treats the side as one that speaks G.711, while the texts sent to it name
// Opus.

// opusCodec is Opus in the spelling of RFC 7587 section 7.
var opusCodec = Codec{Name: "OPUS", Clock: media.OpusClock, channels: "2"} //nolint:gochecknoglobals // a constant

// opusWanted has our wishes as a receiver (RFC 7587 section 6.1). Sound above 4 kHz would be lost in G.711.
const opusWanted = "maxplaybackrate=8000;sprop-maxcapturerate=8000;useinbandfec=1"

// isG711 reports whether the codec is PCMU or PCMA.
func (k Codec) isG711() bool { return k == PCMU || k == PCMA }

// isOpus reports whether a format is Opus that can be transcoded.
func (f *Format) isOpus() bool { return f.Name == "OPUS" && f.Clock == media.OpusClock && f.Number > 0 }

// besideG711 reports whether the format's number is not that of PCMU or PCMA.
func (f *Format) besideG711() bool {
	return f.Number != staticNumber(PCMU) && f.Number != staticNumber(PCMA)
}

// Transcoded reports whether the format stands for another format on the wire (see Inside).
func (f *Format) Transcoded() bool { return f.wire > 0 }

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

// inside returns the format as the call sees it if G.711 of the kind law stands for Opus. It returns false if the
// format is left out.
func (f Format) inside(law Codec) (Format, bool) {
	switch {
	case f.isOpus():
		f.Codec, f.wire, f.Number = law, f.Number, staticNumber(law)
	case f.Events() && f.Clock == media.OpusClock && f.besideG711():
		f.wire, f.Clock = f.Number, law.Clock
	default:
		return f, f.Events() && f.Clock == law.Clock && f.besideG711()
	}
	f.lines = linesOfOurs
	return f, true
}

// InsideOf returns formats as the call sees them if G.711 of the kind law stands for Opus: one for speech, and one for
// telephone-events, which is the one with the clock of Opus if there are two. With an empty law it returns the formats
// on the wire.
func InsideOf(formats []Format, law Codec) []Format {
	out := make([]Format, 0, len(formats))
	for _, f := range formats {
		is, ok := f.own(), true
		if law.Name != "" {
			is, ok = is.inside(law)
		}
		at := slices.IndexFunc(out, func(o Format) bool { return o.Codec == is.Codec })
		switch {
		case !ok:
		case at < 0:
			out = append(out, is)
		case is.Transcoded() && !out[at].Transcoded():
			out[at] = is
		}
	}
	return out
}

// Inside returns the description as the call sees it if G.711 of the kind law stands for the side's Opus, if the side
// has Opus. With an empty law it returns the description as the side has sent it.
func (d *Description) Inside(law Codec) *Description {
	own := d
	if d.Transcoded() {
		own = d.regrouped(InsideOf(d.formats, Codec{}))
		own.former = nil
	}
	if law.Name == "" || !own.HasOpus() {
		return own
	}
	out := own.regrouped(InsideOf(own.formats, law))
	out.former = nil
	return out
}

// Own returns the description as the side has sent it.
func (d *Description) Own() *Description { return d.Inside(Codec{}) }

// Transcoded reports whether G.711 stands for the side's Opus in this description.
func (d *Description) Transcoded() bool {
	return d != nil && slices.ContainsFunc(d.formats, func(f Format) bool { return f.Transcoded() && f.Speech() })
}

// HasOpus reports whether the side speaks Opus, transcoded or not.
func (d *Description) HasOpus() bool {
	return slices.ContainsFunc(d.formats, func(f Format) bool { return f.isOpus() || f.Transcoded() && f.Speech() })
}

// LacksG711 reports whether the side speaks Opus, and the call sees no G.711 on it.
func (d *Description) LacksG711() bool {
	return d.HasOpus() &&
		!slices.ContainsFunc(d.formats, func(f Format) bool { return f.isG711() })
}

// outside returns the format for a side without a transcoder.
func (f Format) outside() Format {
	if f.wire > 0 {
		f.wire, f.lines = 0, linesOfOurs
		f.Mapping = f.Name + "/8000"
		if f.Events() {
			f.Mapping = "telephone-event/8000"
		}
	}
	return f
}

// facing returns the format for a side that has the same codec: with the number and the transcoding of that side's
// format.
func (f Format) facing(same Format) Format {
	f = f.outside()
	if f.Number = same.Number; same.wire > 0 {
		f.wire, f.Mapping, f.lines = same.wire, same.Mapping, linesOfOurs
	}
	return f
}

// Transcodable returns the description with formats that a codec list allows, made by transcoding: G.711 in place of
// Opus, or Opus in place of G.711, and telephone-events. It is used if the list allows none of the description's own
// formats. It also returns the formats to offer, or ErrNoCodec if there are none.
func (d *Description) Transcodable(codecs []string) (*Description, []Format, error) {
	allowed := func(k Codec) bool { return k.rank(codecs) < len(codecs) }
	var formats []Format
	for _, f := range d.formats {
		switch {
		case f.isOpus():
			for _, name := range codecs {
				if k := codecOf(name); k.isG711() {
					formats = append(formats, Format{Codec: k, Mapping: k.Name + "/8000", Number: staticNumber(k), lines: linesOfOurs})
				}
			}
		case f.isG711() && allowed(opusCodec):
			used := numbersOf(kept(d.formats, func(f *Format) bool { return f.Events() }))
			if n, ok := used.free(); ok {
				f.wire, f.Mapping, f.lines = n, "opus/48000/2", linesOfOurs
				formats = append(formats, f)
			}
		default:
			continue
		}
		break
	}
	if len(formats) == 0 {
		return nil, nil, ErrNoCodec
	}
	if i := slices.IndexFunc(d.formats, func(f Format) bool { return f.Events() && f.besideG711() }); i >= 0 {
		formats = append(formats, d.formats[i].eventsBeside(formats[0]))
	}
	out := d.regrouped(formats)
	return out, out.Formats(), nil
}

// eventsBeside returns telephone-events with the number of f and the clock that suits the format for speech.
func (f Format) eventsBeside(speech Format) Format {
	e := eventsOf(f.Number, PCMU.Clock)
	if e.lines = linesOfOurs; speech.wire > 0 {
		e.wire, e.Mapping = e.Number, "telephone-event/48000"
	}
	return e
}

// TranscodeOf returns the settings of the transcoder for a side with this description, which may send the formats in
// sends to a side with the description other. It returns the zero value if the side needs no transcoder.
func TranscodeOf(d *Description, sends []Format, other *Description) (t media.Transcode) {
	if !d.Transcoded() {
		return t
	}
	t.On, t.Short = true, other.takesShort()
	for _, f := range d.formats {
		if f.Transcoded() && f.Speech() {
			t.Opus, t.Number, t.Wants = f.wire, f.Number, d.opusWishes(f.wire)
		}
	}
	for _, f := range slices.Concat(d.Whole().formats, sends) {
		switch {
		case f.Events():
			t.Events.Add(f.Number)
			if f.Transcoded() {
				t.Scaled.Add(f.Number)
			}
		case f.Transcoded():
			t.Takes.Add(f.wire)
		}
	}
	return t
}

// takesShort reports whether the peer takes no packets of 20 ms (a=maxptime, RFC 8866 section 6.4).
func (d *Description) takesShort() bool {
	if d == nil {
		return false
	}
	value, ok := attributeOf(d.stream, "maxptime")
	ms, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return ok && err == nil && ms < 20
}

// MayPause reports whether who speaks this codec may send nothing while silent: a transcoder's Opus or Opus with usedtx
// (RFC 7587), or G.729 without annexb=no (RFC 4856).
func (d *Description) MayPause(speaks Codec) bool {
	for _, f := range d.formats {
		switch {
		case f.Codec != speaks && !f.Transcoded():
		case f.Name == "OPUS" && d.opusWishes(f.source).DTX, f.Transcoded() && d.opusWishes(f.wire).DTX,
			f.Name == "G729" && d.parameter(f.source, "annexb") != "no":
			return true
		}
	}
	return false
}

// parameter returns a parameter in the a=fmtp of a payload type.
func (d *Description) parameter(number uint8, name string) string {
	for line, rest := cutLine(d.stream); line != ""; line, rest = cutLine(rest) {
		n, all, ok := aboutFormat(line)
		if !ok || n != number || !strings.HasPrefix(line, "a=fmtp:") {
			continue
		}
		for param := range strings.SplitSeq(all, ";") {
			if key, value, _ := strings.Cut(strings.TrimSpace(param), "="); strings.EqualFold(key, name) {
				return strings.ToLower(strings.TrimSpace(value))
			}
		}
	}
	return ""
}

// opusWishes reads the a=fmtp of a payload type (RFC 7587 section 6.1).
func (d *Description) opusWishes(number uint8) media.OpusWishes {
	is := func(name string) bool { return d.parameter(number, name) == "1" }
	rate, _ := strconv.ParseUint(d.parameter(number, "maxaveragebitrate"), 10, 32)
	// ParseUint was given a limit of 32 bits
	return media.OpusWishes{Bitrate: uint32(rate), FEC: is("useinbandfec"), DTX: is("usedtx"), CBR: is("cbr")}
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
