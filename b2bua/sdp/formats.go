package sdp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"flowbridge/config"
)

// Codec is an audio codec as SDP names it.
type Codec struct {
	Name     string // in upper case
	Clock    uint32 // of its RTP timestamps, Hz
	channels string // empty: one
}

// Format is a codec and a side's number (payload type) for it.
type Format struct {
	Number  string
	Mapping string // the value of a=rtpmap behind the number
	Codec
}

// The two kinds of G.711, which can be converted into each other.
var (
	PCMU = Codec{Name: "PCMU", Clock: 8000} //nolint:gochecknoglobals // a constant
	PCMA = Codec{Name: "PCMA", Clock: 8000} //nolint:gochecknoglobals // a constant
)

// counterpart returns the other kind of G.711.
func (k Codec) counterpart() (Codec, bool) {
	switch k {
	case PCMU:
		return PCMA, true
	case PCMA:
		return PCMU, true
	}
	return Codec{}, false
}

// Events reports whether it is telephone-event (RFC 4733).
func (k Codec) Events() bool { return IsEvents(k.Name) }

// Comfort reports whether it is comfort noise (RFC 3389).
func (k Codec) Comfort() bool { return k.Name == "CN" }

// Speech reports whether it carries speech.
func (k Codec) Speech() bool { return k.Name != "" && !k.Events() && !k.Comfort() }

// format returns the meaning of a payload type of the description. Its codec has no
// name if the description does not say.
func (d *Description) format(number string) Format {
	name := d.codec(number)
	f := Format{Number: number, Mapping: d.rtpmap(number), Codec: Codec{Name: strings.ToUpper(name), Clock: d.clock(number)}}
	if f.Mapping == "" {
		f.Mapping = name + "/" + strconv.FormatUint(uint64(f.Clock), 10)
	}
	if parts := strings.Split(d.rtpmap(number), "/"); len(parts) > 2 && parts[2] != "1" {
		f.channels = parts[2]
	}
	return f
}

// Pick returns formats of the description by their numbers.
func (d *Description) Pick(numbers []string) []Format {
	out := make([]Format, 0, len(numbers))
	for _, n := range numbers {
		out = append(out, d.format(n))
	}
	return out
}

// Formats returns the formats of the description, in its order.
func (d *Description) Formats() []Format { return d.Pick(d.media().MediaName.Formats) }

// NumbersOf returns the numbers of formats.
func NumbersOf(formats []Format) []string {
	out := make([]string, 0, len(formats))
	for _, f := range formats {
		out = append(out, f.Number)
	}
	return out
}

// Find returns the first format of a codec.
func Find(formats []Format, k Codec) (Format, bool) {
	i := slices.IndexFunc(formats, func(f Format) bool { return f.Codec == k })
	if i < 0 {
		return Format{}, false
	}
	return formats[i], true
}

// Includes reports whether one of the formats is of this codec.
func Includes(formats []Format, k Codec) bool {
	_, ok := Find(formats, k)
	return ok
}

// KeepOffered removes the formats from an answer that were not offered; ErrNoCodec: no
// speech is left. An answer may have its own number for a codec, or leave out what an
// offered number means.
func (d *Description) KeepOffered(offered []Format) error {
	m := d.media()
	m.MediaName.Formats = slices.DeleteFunc(m.MediaName.Formats, func(n string) bool {
		f := d.format(n)
		if f.Name != "" {
			return !Includes(offered, f.Codec)
		}
		i := slices.IndexFunc(offered, func(o Format) bool { return o.Number == n && o.Name != "" })
		if i >= 0 {
			m.Attributes = append(m.Attributes, sdp.Attribute{Key: "rtpmap", Value: n + " " + offered[i].Mapping})
		}
		return i < 0
	})
	if d.Speaks().Name == "" {
		return ErrNoCodec
	}
	return nil
}

// Common returns the description's formats that another one has too, under the same
// numbers.
func (d *Description) Common(other *Description) []Format {
	theirs := other.Formats()
	return slices.DeleteFunc(d.Formats(), func(f Format) bool {
		return !slices.ContainsFunc(theirs, func(o Format) bool { return o.Number == f.Number && o.Codec == f.Codec })
	})
}

// Offerable returns the description and the formats that a target is offered: those
// that its codec list allows, in the list's order if order says so, or if it allows none,
// one that can be made of them.
func (d *Description) Offerable(codecs []string, order string) (*Description, []string, error) {
	formats, err := d.Usable(codecs)
	if err != nil {
		return d.translatable(codecs)
	}
	if order == config.CodecOrderTarget {
		slices.SortStableFunc(formats, func(x, y string) int { return d.rank(x, codecs) - d.rank(y, codecs) })
	}
	return d, formats, nil
}

// rank returns the place of a codec in a list. Others come last.
func (d *Description) rank(format string, codecs []string) int {
	name := d.codec(format)
	if i := slices.IndexFunc(codecs, func(c string) bool { return strings.EqualFold(c, name) }); i >= 0 {
		return i
	}
	return len(codecs)
}

// Only returns the description with one codec for speech, and the telephone-events
// and comfort noise among those that were offered.
func (d *Description) Only(speech Codec, offered []Codec) *Description {
	var news []renumbering
	for _, f := range d.Formats() {
		if f.Codec == speech || (!f.Speech() && slices.Contains(offered, f.Codec)) {
			news = append(news, renumbering{from: f.Number, to: f.Number})
		}
	}
	return d.renumbered(news)
}

// Speaks returns the codec of the first format that carries speech: in an answer, the
// codec of the call.
func (d *Description) Speaks() Codec {
	for _, f := range d.Formats() {
		if f.Speech() {
			return f.Codec
		}
	}
	return Codec{}
}

// CodecsOf returns the codecs of formats.
func CodecsOf(formats []Format) []Codec {
	out := make([]Codec, 0, len(formats))
	for _, f := range formats {
		out = append(out, f.Codec)
	}
	return out
}

// codec returns the encoding name of a payload type, from a=rtpmap or RFC 3551.
func (d *Description) codec(format string) string {
	if name, _, _ := strings.Cut(d.rtpmap(format), "/"); name != "" {
		return name
	}
	switch format {
	case "0":
		return "PCMU"
	case "3":
		return "GSM"
	case "8":
		return "PCMA"
	case "9":
		return "G722"
	case "13":
		return "CN"
	case "18":
		return "G729"
	default:
		return ""
	}
}

// rtpmap returns the a=rtpmap of a payload type: "opus/48000/2".
func (d *Description) rtpmap(format string) string {
	for _, a := range d.media().Attributes {
		if pt, encoding, _ := strings.Cut(a.Value, " "); a.Key == "rtpmap" && pt == format {
			return strings.TrimSpace(encoding)
		}
	}
	return ""
}

// clock returns the RTP clock rate of a payload type in Hz. It is 8000 for all of RFC
// 3551's numbers that telephones use.
func (d *Description) clock(format string) uint32 {
	_, rate, _ := strings.Cut(d.rtpmap(format), "/")
	rate, _, _ = strings.Cut(rate, "/")
	hz, err := strconv.ParseUint(rate, 10, 32)
	if err != nil || hz == 0 {
		return 8000
	}
	return uint32(hz)
}

// IsEvents reports whether an encoding name is telephone-event (RFC 4733).
func IsEvents(codec string) bool { return strings.EqualFold(codec, "telephone-event") }

// Usable returns the offer's formats that the codec list allows, in the offer's order.
// Telephone-events and comfort noise are always allowed.
func (d *Description) Usable(codecs []string) ([]string, error) {
	var formats []string
	audio := false
	for _, f := range d.media().MediaName.Formats {
		name := d.codec(f)
		allow := slices.ContainsFunc(codecs, func(c string) bool { return strings.EqualFold(c, name) })
		audio = audio || allow
		if allow || IsEvents(name) || strings.EqualFold(name, "CN") {
			formats = append(formats, f)
		}
	}
	if !audio {
		return nil, ErrNoCodec
	}
	return formats, nil
}

// Decided returns the formats of an answer with its first codec alone: those that an
// offer made of it may have.
func (d *Description) Decided() []string {
	chosen := false
	return slices.DeleteFunc(slices.Clone(d.media().MediaName.Formats), func(f string) bool {
		name := d.codec(f)
		if IsEvents(name) || strings.EqualFold(name, "CN") {
			return false
		}
		again := chosen
		chosen = true
		return again
	})
}
