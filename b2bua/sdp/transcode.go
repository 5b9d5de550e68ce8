package sdp

import (
	"slices"
	"strconv"
	"strings"

	"flowbridge/media"
)

// A side that speaks Opus while the other one has only G.711 is described as the call sees it behind the transcoder
// (media.Transcode): G.711 stands for its Opus, and telephone-event/8000 for its telephone-event/48000. Such a format
// has its number on the wire beside the one within the call, and the wire's a=rtpmap. So whatever is made of a
// description treats the side as one that speaks G.711, and a text for the side names Opus.

// opusCodec is Opus as RFC 7587 section 7 has it written.
var opusCodec = Codec{Name: "OPUS", Clock: media.OpusClock, channels: "2"} //nolint:gochecknoglobals // a constant

// opusWanted are our wishes as a receiver (RFC 7587 section 6.1): sound above 4 kHz would be lost.
const opusWanted = "maxplaybackrate=8000;sprop-maxcapturerate=8000;useinbandfec=1"

// isG711 reports whether it is PCMU or PCMA.
func (k Codec) isG711() bool { return k == PCMU || k == PCMA }

// isOpus reports whether a format is Opus that can be transcoded.
func (f *Format) isOpus() bool { return f.Name == "OPUS" && f.Clock == media.OpusClock && f.Number > 0 }

// besideG711 reports whether the number of a format is none of G.711's.
func (f *Format) besideG711() bool {
	return f.Number != staticNumber(PCMU) && f.Number != staticNumber(PCMA)
}

// Transcoded reports whether the format stands for another one of its side, see Inside.
func (f *Format) Transcoded() bool { return f.wire > 0 }

// shown returns the number of the format in texts for its side.
func (f *Format) shown() uint8 {
	if f.wire > 0 {
		return f.wire
	}
	return f.Number
}

// own returns the format as the text of its side has it.
func (f Format) own() Format {
	if f.wire > 0 {
		f.Codec, f.Number, f.wire, f.lines = codecOf(f.Mapping), f.wire, 0, linesOfText
	}
	return f
}

// inside returns the format as a call sees it in which G.711 of this kind stands for Opus; false: it is left out.
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

// InsideOf returns formats as a call sees them in which G.711 of this kind stands for Opus: one for speech, and one of
// telephone-events, those with the clock of Opus if there are two. Without a kind they are as the side has them.
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

// Inside returns the description as a call sees it in which G.711 of this kind stands for the side's Opus, if it has
// any. Without a kind it is as the side has given it.
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

// Own is Inside without a kind.
func (d *Description) Own() *Description { return d.Inside(Codec{}) }

// Transcoded reports whether G.711 stands for the Opus of the side.
func (d *Description) Transcoded() bool {
	return d != nil && slices.ContainsFunc(d.formats, func(f Format) bool { return f.Transcoded() && f.Speech() })
}

// HasOpus reports whether the side has Opus.
func (d *Description) HasOpus() bool {
	return slices.ContainsFunc(d.formats, func(f Format) bool { return f.isOpus() || f.Transcoded() && f.Speech() })
}

// LacksG711 reports whether the side has Opus, but no G.711, not even in its place.
func (d *Description) LacksG711() bool {
	return d.HasOpus() &&
		!slices.ContainsFunc(d.formats, func(f Format) bool { return f.isG711() })
}

// outside returns the format as it is for a side without a transcoder.
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

// facing returns the format as a side has it that has the same codec.
func (f Format) facing(same Format) Format {
	f = f.outside()
	if f.Number = same.Number; same.wire > 0 {
		f.wire, f.Mapping, f.lines = same.wire, same.Mapping, linesOfOurs
	}
	return f
}

// Transcodable makes an offer for a codec list that has nothing of a description: G.711 of its Opus, or Opus of its
// G.711, and telephone-events. ErrNoCodec: neither can be made.
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

// eventsBeside returns telephone-events with the number of f, for a side that has this format for speech.
func (f Format) eventsBeside(speech Format) Format {
	e := eventsOf(f.Number, PCMU.Clock)
	if e.lines = linesOfOurs; speech.wire > 0 {
		e.wire, e.Mapping = e.Number, "telephone-event/48000"
	}
	return e
}

// TranscodeOf returns what a transcoder for a side has to do that is described like this, and may send these formats.
// The zero value: it needs none.
func TranscodeOf(d *Description, sends []Format) (t media.Transcode) {
	if !d.Transcoded() {
		return t
	}
	t.On = true
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

// opusWishes reads the a=fmtp of a payload type (RFC 7587 section 6.1).
func (d *Description) opusWishes(number uint8) (s media.OpusWishes) {
	for line, rest := cutLine(d.stream); line != ""; line, rest = cutLine(rest) {
		n, value, ok := aboutFormat(line)
		if !ok || n != number || !strings.HasPrefix(line, "a=fmtp:") {
			continue
		}
		for param := range strings.SplitSeq(value, ";") {
			key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			on := strings.TrimSpace(value) == "1"
			switch strings.ToLower(key) {
			case "maxaveragebitrate":
				rate, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
				s.Bitrate = uint32(rate) // at most 32 bits, as ParseUint was told
			case "useinbandfec":
				s.FEC = on
			case "usedtx":
				s.DTX = on
			case "cbr":
				s.CBR = on
			}
		}
	}
	return s
}

// With returns the description with further formats, under free numbers where theirs are taken.
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
