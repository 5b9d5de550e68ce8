package sdp

import (
	"slices"

	"flowbridge/media"
)

// This file says which codec can be made of which: G.711 of Opus, and Opus of G.711, by media.Transcode. G.711 then
// stands for Opus in the rest of the call (stand_in.go), and telephone-event/8000 for telephone-event/48000.

// opusCodec is Opus in the spelling of RFC 7587 section 7.
var opusCodec = Codec{Name: "OPUS", Clock: media.OpusClock, channels: "2"} //nolint:gochecknoglobals // a constant

// isG711 reports whether the codec is PCMU or PCMA.
func (k Codec) isG711() bool { return k == PCMU || k == PCMA }

// isOpus reports whether a format is Opus that can be transcoded.
func (f *Format) isOpus() bool { return f.Name == "OPUS" && f.Clock == media.OpusClock && f.Number > 0 }

// besideG711 reports whether the format's number is not that of PCMU or PCMA.
func (f *Format) besideG711() bool {
	return f.Number != staticNumber(PCMU) && f.Number != staticNumber(PCMA)
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

// HasOpus reports whether the side speaks Opus, transcoded or not.
func (d *Description) HasOpus() bool {
	return slices.ContainsFunc(d.formats, func(f Format) bool { return f.isOpus() || f.IsStandIn() && f.Speech() })
}

// LacksG711 reports whether the side speaks Opus, and the call sees no G.711 on it.
func (d *Description) LacksG711() bool {
	return d.HasOpus() &&
		!slices.ContainsFunc(d.formats, func(f Format) bool { return f.isG711() })
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

// TranscodeOf returns the settings of the transcoder for a side with this description, which may send the formats in
// sends to a side with the description other. It returns the zero value if the side needs no transcoder.
func TranscodeOf(d *Description, sends []Format, other *Description) (t media.Transcode) {
	if !d.HasStandIn() {
		return t
	}
	t.On, t.Short = true, other.takesShort()
	for _, f := range d.formats {
		if f.IsStandIn() && f.Speech() {
			t.Opus, t.Number, t.Wants = f.wire, f.Number, d.opusWishes(f.wire)
		}
	}
	for _, f := range slices.Concat(d.Whole().formats, sends) {
		switch {
		case f.Events():
			t.Events.Add(f.Number)
			if f.IsStandIn() {
				t.Scaled.Add(f.Number)
			}
		case f.IsStandIn():
			t.Takes.Add(f.wire)
		}
	}
	return t
}
