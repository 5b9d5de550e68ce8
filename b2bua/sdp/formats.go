package sdp

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"flowbridge/b2bua/message"
)

// Codec is an audio codec as SDP names it.
type Codec struct {
	Name     string // in upper case
	Clock    uint32 // rate of its RTP timestamps, Hz
	channels string // number of channels; empty means one
}

// Format is a codec and the number (payload type) that a side uses for it.
type Format struct {
	Codec
	Mapping string // the value of a=rtpmap after the number
	Number  uint8

	wire   uint8 // number on the wire of a stand-in; 0 if it is none
	source uint8 // number in the description's text
	lines  formatLines
}

// formatLines says which attributes of a format are taken from the description's text.
type formatLines uint8

const (
	linesOfText    formatLines = iota
	mappingAndText             // all but the a=rtpmap
	linesOfOurs                // none: the text has nothing about the format
)

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

// Events reports whether the codec is telephone-event (RFC 4733).
func (k Codec) Events() bool { return k.Name == events }

// Comfort reports whether the codec is comfort noise (RFC 3389).
func (k Codec) Comfort() bool { return k.Name == "CN" }

// Speech reports whether the codec carries speech.
func (k Codec) Speech() bool { return k.Name != "" && !k.besideSpeech() }

// besideSpeech reports whether the codec accompanies a codec for speech: telephone-events or comfort noise.
func (k Codec) besideSpeech() bool { return k.Events() || k.Comfort() }

// readFormats reads the formats of the stream, with their codecs. It leaves out payload types that an RTP packet
// can't have, and repeated ones, because neither side could use them. It returns ErrNoCodec if no format is left.
func (d *Description) readFormats(list string) error {
	if n := min(1+strings.Count(list, " ")+strings.Count(list, "\t"), 128); n > cap(d.formats) {
		d.formats = make([]Format, 0, n)
	}
	var seen numbers
	for field := ""; list != ""; {
		field, list = cutField(list)
		if n, ok := payloadType(field); ok && isUsable(n, d.muxes) && !seen.has(n) {
			seen.add(n)
			d.formats = append(d.formats, Format{Number: n, source: n})
		}
	}
	if len(d.formats) == 0 {
		return ErrNoCodec
	}
	var mapped numbers
	for line, rest := cutLine(d.stream); line != ""; line, rest = cutLine(rest) {
		n, value, ok := aboutFormat(line)
		if !ok || mapped.has(n) || !strings.HasPrefix(line, "a=rtpmap:") {
			continue
		}
		mapped.add(n)
		for i := range d.formats {
			if f := &d.formats[i]; f.Number == n {
				f.Mapping = strings.TrimSpace(value)
			}
		}
	}
	for i := range d.formats {
		d.formats[i].readMapping()
	}
	return nil
}

// readMapping sets the codec of a format from its a=rtpmap, or else from RFC 3551. Without either the codec has no
// name. A static payload type keeps its clock of RFC 3551, because many peers write G722/16000.
func (f *Format) readMapping() {
	f.Codec = codecOf(f.Mapping)
	if mapping := staticMapping(f.Number); mapping != "" {
		if k := codecOf(mapping); f.Name == "" || f.Name == k.Name && f.Codec != k {
			f.Codec, f.Mapping, f.lines = k, mapping, mappingAndText
		}
	}
}

// codecOf returns the codec that an a=rtpmap describes. A missing clock counts as 8000 Hz.
func codecOf(mapping string) (k Codec) {
	name, rest, _ := strings.Cut(mapping, "/")
	rate, channels, _ := strings.Cut(rest, "/")
	k.Name, k.Clock = upperName(name), 8000
	if hz, err := strconv.ParseUint(rate, 10, 32); err == nil && hz > 0 {
		k.Clock = uint32(hz)
	}
	if channels, _, _ = strings.Cut(channels, "/"); channels != "1" {
		k.channels = channels
	}
	return k
}

// staticMapping returns the a=rtpmap value of a static payload type of audio (RFC 3551 section 6), or "" if there is
// none.
func staticMapping(number uint8) string {
	mappings := [...]string{
		0: "PCMU/8000", 3: "GSM/8000", 4: "G723/8000", 5: "DVI4/8000", 6: "DVI4/16000", 7: "LPC/8000", 8: "PCMA/8000",
		9: "G722/8000", 10: "L16/44100/2", 11: "L16/44100", 12: "QCELP/8000", 13: "CN/8000", 14: "MPA/90000",
		15: "G728/8000", 16: "DVI4/11025", 17: "DVI4/22050", 18: "G729/8000",
	}
	if int(number) < len(mappings) {
		return mappings[number]
	}
	return ""
}

// payloadType reads a payload type: 7 bits (RFC 3550 section 5.1) without zeros in front.
func payloadType[T string | []byte](s T) (n uint8, ok bool) {
	number, ok := message.Decimal(s, 127)
	return uint8(number), ok && (s[0] != '0' || len(s) == 1) // at most 127
}

// isUsable reports whether a payload type can't be taken for RTCP. The unusable ones are 72 to 76 (RFC 3551 section
// 6), or 64 to 95 if RTP and RTCP share a port (RFC 5761 section 4).
func isUsable(n uint8, muxes bool) bool {
	if muxes {
		return n < 64 || n > 95
	}
	return n < 72 || n > 76
}

// aboutFormat splits an attribute of one payload type into the payload type and the value.
func aboutFormat(line string) (number uint8, value string, ok bool) {
	if !namesFormat(line) {
		return 0, "", false
	}
	_, value = cutAttribute(line[2:])
	first, value, _ := strings.Cut(value, " ")
	number, ok = payloadType(first)
	return number, value, ok
}

// namesFormat reports whether a line is an attribute of one payload type, and not of all.
func namesFormat(line string) bool {
	for _, name := range [...]string{"a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"} {
		if value, ok := strings.CutPrefix(line, name); ok {
			return value != "*" && !strings.HasPrefix(value, "* ")
		}
	}
	return false
}

// numbers is a set of payload types.
type numbers [2]uint64

func (s *numbers) add(n uint8)     { s[n>>6&1] |= 1 << (n & 63) }
func (s numbers) has(n uint8) bool { return s[n>>6&1]&(1<<(n&63)) != 0 }

// numbersOf returns the numbers of formats.
func numbersOf(formats []Format) (set numbers) {
	for _, f := range formats {
		set.add(f.Number)
	}
	return set
}

// Formats returns the formats of the description, in its order. The slice must not be modified.
func (d *Description) Formats() []Format { return slices.Clip(d.formats) }

// kept returns the formats for which keep reports true. If these are all formats, it returns the same slice.
func kept(formats []Format, keep func(f *Format) bool) []Format {
	i := 0
	for i < len(formats) && keep(&formats[i]) {
		i++
	}
	if i == len(formats) {
		return slices.Clip(formats)
	}
	out := append(make([]Format, 0, len(formats)-1), formats[:i]...)
	for i++; i < len(formats); i++ {
		if keep(&formats[i]) {
			out = append(out, formats[i])
		}
	}
	return out
}

// Find returns the first format of a codec.
func Find(formats []Format, k Codec) (Format, bool) {
	for i := range formats {
		if formats[i].Codec == k {
			return formats[i], true
		}
	}
	return Format{}, false
}

// Includes reports whether one of the formats has the codec k.
func Includes(formats []Format, k Codec) bool {
	_, ok := Find(formats, k)
	return ok
}

// KeepOffered returns the answer without formats that were not offered. It returns ErrNoCodec if no format for speech
// is left. An answer may use its own number for a codec, or use an offered number without an a=rtpmap.
func (d *Description) KeepOffered(offered []Format) (*Description, error) {
	if i := slices.IndexFunc(offered, func(f Format) bool { return f.IsStandIn() && f.Speech() }); i >= 0 {
		d = d.Inside(offered[i].Codec)
	}
	meant := func(f *Format) *Format { // looks up a number without an a=rtpmap
		for i := range offered {
			if o := &offered[i]; f.Name == "" && o.Number == f.Number && o.Name != "" {
				return o
			}
		}
		return nil
	}
	var changed bool
	formats := kept(d.formats, func(f *Format) bool {
		unsaid := meant(f) != nil
		known := unsaid || f.Name != "" && slices.ContainsFunc(offered, func(o Format) bool {
			return o.Codec == f.Codec && (o.IsStandIn() == f.IsStandIn() || !f.Speech())
		})
		changed = changed || unsaid || !known
		return known
	})
	if changed {
		formats = slices.Clone(formats)
		for i := range formats {
			if o := meant(&formats[i]); o != nil {
				formats[i].Codec, formats[i].Mapping, formats[i].lines = o.Codec, o.Mapping, mappingAndText
			}
		}
		d = d.with(formats)
	}
	if d.Speaks().Name == "" {
		return nil, ErrNoCodec
	}
	return d, nil
}

// Common returns the description's formats that the other one also has, with the same numbers.
func (d *Description) Common(other *Description) []Format {
	return kept(d.formats, func(f *Format) bool {
		for i := range other.formats {
			if o := &other.formats[i]; o.Number == f.Number && o.Codec == f.Codec {
				return true
			}
		}
		return false
	})
}

// Offerable returns the description and the formats to offer to a target. These are the formats that the target's
// codec list allows. If it allows none, it is the other kind of G.711, which the relay can convert.
func (d *Description) Offerable(codecs []string) (*Description, []Format, error) {
	formats, err := d.Usable(codecs)
	if err != nil {
		return d.translatable(codecs)
	}
	d, formats = d.inStepWith8000(formats)
	return d, formats, nil
}

// rank returns the position of a codec in a list, or the length of the list if the codec is not in it.
func (k Codec) rank(codecs []string) int {
	for i, c := range codecs {
		if strings.EqualFold(c, k.Name) {
			return i
		}
	}
	return len(codecs)
}

// Only returns the description with only one codec for speech, and with the telephone-events and comfort noise that
// were offered.
func (d *Description) Only(speech Codec, offered []Format) *Description {
	return d.regrouped(inStep(kept(d.formats, func(f *Format) bool {
		return f.Codec == speech || (!f.Speech() && Includes(offered, f.Codec))
	})))
}

// inStep leaves out telephone-events and comfort noise whose clock is not the clock of a codec for speech (RFC 4733
// section 2.1), if there are others of the same kind that fit. If a peer has only one of a kind, it means the clock
// of its stream, whatever it writes.
func inStep(formats []Format) []Format {
	fits := func(f *Format) bool {
		return slices.ContainsFunc(formats, func(o Format) bool { return o.Speech() && o.Clock == f.Clock })
	}
	return kept(formats, func(f *Format) bool {
		return !f.besideSpeech() || fits(f) ||
			!slices.ContainsFunc(formats, func(o Format) bool { return o.Name == f.Name && fits(&o) })
	})
}

// inStepWith8000 returns the description and the formats to offer. If all codecs for speech have the usual clock of
// 8000 Hz, it gives the telephone-events the same clock, and leaves out comfort noise with another one. The target
// might take neither.
func (d *Description) inStepWith8000(formats []Format) (*Description, []Format) {
	isOff := func(f Format) bool { return f.Clock != PCMU.Clock && f.besideSpeech() }
	if !slices.ContainsFunc(formats, isOff) ||
		slices.ContainsFunc(formats, func(f Format) bool { return f.Clock != PCMU.Clock && f.Speech() }) {
		return d, formats
	}
	var news []Format
	for _, f := range formats {
		if isOff(f) {
			f.Clock, f.Mapping = PCMU.Clock, "telephone-event/8000"
			if f.lines == linesOfText {
				f.lines = mappingAndText
			}
			if f.Comfort() || Includes(news, f.Codec) {
				continue
			}
		}
		news = append(news, f)
	}
	return d.regrouped(news), news
}

// maxFormer bounds the formats that Following keeps for a peer that lists ever new clocks: two kinds, each with the
// clocks of codecs.
const maxFormer = 8

// Following returns the description with the telephone-events and comfort noise of the side's last description that
// the new one leaves out. They may come back at any time (RFC 3264 section 8.3.2): music on hold lists one codec.
// Formats in asked were offered and declined, so they are gone. At most maxFormer are kept. Whole returns them.
func (d *Description) Following(before *Description, asked []Format) *Description {
	if before == nil {
		return d
	}
	var former []Format
	used := numbersOf(d.formats)
	for _, f := range before.Whole().formats {
		if len(former) == maxFormer {
			break
		}
		if !f.besideSpeech() || Includes(d.formats, f.Codec) || Includes(asked, f.Codec) {
			continue
		}
		ok := true
		if used.has(f.Number) {
			f.Number, ok = used.free()
		}
		if ok {
			f.lines = linesOfOurs
			used.add(f.Number)
			former = append(former, f)
		}
	}
	if former == nil {
		return d
	}
	out := *d
	out.former = former
	return &out
}

// Whole returns the description together with the formats that Following has added.
func (d *Description) Whole() *Description {
	if d == nil || d.former == nil {
		return d
	}
	out := d.with(append(d.Formats(), d.former...))
	out.former = nil
	return out
}

// with returns a copy of the description with other formats.
func (d *Description) with(formats []Format) *Description {
	out := *d
	out.formats = formats
	return &out
}

// Speaks returns the codec of the first format for speech. In an answer, this is the codec of the call. The codec has
// no name if there is no such format.
func (d *Description) Speaks() Codec {
	for i := range d.formats {
		if f := &d.formats[i]; f.Speech() {
			return f.Codec
		}
	}
	return Codec{}
}

// upperName returns an encoding name in upper case. Names that RTP profiles use are shared.
func upperName(name string) string {
	for _, known := range [...]string{
		"PCMU", "PCMA", events, "OPUS", "G722", "G729", "ILBC", "GSM", "AMR", "AMR-WB",
		"SPEEX", "CN",
	} {
		if strings.EqualFold(name, known) {
			return known
		}
	}
	return strings.ToUpper(name)
}

// Speeches returns the names of the codecs for speech among formats, for a message: "PCMU, PCMA". It returns "no codec"
// if there are none.
func Speeches(formats []Format) string {
	var names []string
	for _, f := range formats {
		if f.Speech() {
			names = append(names, f.Name)
		}
	}
	return cmp.Or(strings.Join(names, ", "), "no codec")
}

// events is the encoding name of telephone-event (RFC 4733).
const events = "TELEPHONE-EVENT"

// IsEvents reports whether an encoding name is telephone-event (RFC 4733).
func IsEvents(codec string) bool { return strings.EqualFold(codec, events) }

// Usable returns the offer's formats that the codec list allows, in the offer's order. A stand-in is allowed if the
// list has either of its codecs. Telephone-events and comfort noise are always allowed. Usable returns ErrNoCodec if
// the list allows no format for speech.
func (d *Description) Usable(codecs []string) ([]Format, error) {
	audio := false
	formats := kept(d.formats, func(f *Format) bool {
		allow := f.rank(codecs) < len(codecs) || f.IsStandIn() && f.own().rank(codecs) < len(codecs)
		audio = audio || allow
		return allow || f.besideSpeech()
	})
	if !audio {
		return nil, ErrNoCodec
	}
	return inStep(formats), nil
}

// Decided returns the answer with only its first codec for speech, so that an offer made from it has only that codec.
// If the codec is G.711, both kinds stay, because the relay converts one into the other.
func (d *Description) Decided() *Description {
	first := slices.IndexFunc(d.formats, func(f Format) bool { return f.Speech() })
	if first < 0 {
		return d
	}
	formats := []Format{d.formats[first]}
	if other, ok := formats[0].counterpart(); ok {
		if own, has := Find(d.formats, other); has {
			formats = append(formats, own)
		} else if n := staticNumber(other); !numbersOf(d.formats).has(n) {
			formats = append(formats, formats[0].as(other, n))
		}
	}
	return d.with(append(formats, kept(d.formats, func(f *Format) bool { return f.besideSpeech() })...))
}
