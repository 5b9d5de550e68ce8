package b2bua

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"flowbridge/config"
)

// The sides of a call agree on codecs, each under numbers (payload types) of its
// own: an answer need not use those of the offer (RFC 3264 section 6.1), and who
// is called later may have been told others. A description of one side is put
// to the other one in that one's numbers, see as.

// codec is an audio codec as SDP names it.
type codec struct {
	name     string // in upper case
	clock    uint32 // of its RTP timestamps, Hz
	channels string // "" for one
}

// format is a codec and the number that a side has for it.
type format struct {
	number  string
	mapping string // as a=rtpmap says it
	codec
}

// The two kinds of G.711, either of which can be made of the other.
var (
	pcmu = codec{name: "PCMU", clock: 8000} //nolint:gochecknoglobals // a constant
	pcma = codec{name: "PCMA", clock: 8000} //nolint:gochecknoglobals // a constant
)

// counterpart is the other kind of G.711.
func (k codec) counterpart() (codec, bool) {
	switch k {
	case pcmu:
		return pcma, true
	case pcma:
		return pcmu, true
	}
	return codec{}, false
}

func (k codec) events() bool  { return isEvents(k.name) }
func (k codec) comfort() bool { return k.name == "CN" }

// speech says whether it is what the sides talk by.
func (k codec) speech() bool { return k.name != "" && !k.events() && !k.comfort() }

// format is what a payload type of the description means; its codec has no name
// where nobody can tell.
func (d *description) format(number string) format {
	name := d.codec(number)
	f := format{number: number, mapping: d.rtpmap(number), codec: codec{name: strings.ToUpper(name), clock: d.clock(number)}}
	if f.mapping == "" {
		f.mapping = name + "/" + strconv.FormatUint(uint64(f.clock), 10)
	}
	if parts := strings.Split(d.rtpmap(number), "/"); len(parts) > 2 && parts[2] != "1" {
		f.channels = parts[2]
	}
	return f
}

// pick are formats of the description by their numbers.
func (d *description) pick(numbers []string) []format {
	out := make([]format, 0, len(numbers))
	for _, n := range numbers {
		out = append(out, d.format(n))
	}
	return out
}

func (d *description) formats() []format { return d.pick(d.media().MediaName.Formats) }

// numbersOf are the numbers of formats.
func numbersOf(formats []format) []string {
	out := make([]string, 0, len(formats))
	for _, f := range formats {
		out = append(out, f.number)
	}
	return out
}

// find is the first format of a codec.
func find(formats []format, k codec) (format, bool) {
	i := slices.IndexFunc(formats, func(f format) bool { return f.codec == k })
	if i < 0 {
		return format{}, false
	}
	return formats[i], true
}

// inNumbersOf is the description in the numbers that another one has for the same codecs,
// and with its kind of G.711 where the two have not the same. What the other one
// has not keeps its number, or gets a free one.
func (d *description) inNumbersOf(near *description) *description { return d.inTerms(near, true) }

// numberedAs is as, without another kind of G.711.
func (d *description) numberedAs(near *description) *description { return d.inTerms(near, false) }

func (d *description) inTerms(near *description, translated bool) *description {
	if near == nil {
		return d
	}
	theirs := near.formats()
	used := make(map[string]bool)
	for _, f := range theirs {
		used[f.number] = true
	}
	changed := false
	var news []renumbering
	own := d.formats()
	for _, f := range own {
		n := renumbering{from: f.number, to: f.number}
		if same, ok := find(theirs, f.codec); ok {
			n.to = same.number
		} else if other, ok := f.counterpart(); ok && translated && !includes(own, other) && includes(theirs, other) {
			same, _ := find(theirs, other)
			n.to, n.becomes = same.number, other.name+"/8000"
		} else if used[f.number] {
			n.to = freeNumber(used)
		}
		used[n.to] = true
		changed = changed || n.to != n.from
		if !slices.ContainsFunc(news, func(o renumbering) bool { return o.to == n.to }) {
			news = append(news, n)
		}
	}
	if !changed {
		return d
	}
	return d.renumbered(news)
}

func includes(formats []format, k codec) bool {
	_, ok := find(formats, k)
	return ok
}

// freeNumber is a dynamic payload type that is not used (RFC 3551 section 6);
// "" when there is none.
func freeNumber(used map[string]bool) string {
	for n := 96; n < 128; n++ {
		if s := strconv.Itoa(n); !used[s] {
			return s
		}
	}
	return ""
}

// renumbering is a new number of a format.
type renumbering struct {
	from, to string
	becomes  string // what a=rtpmap says of it now; "" for the same
}

// renumbered is the description with these formats alone, under new numbers.
func (d *description) renumbered(news []renumbering) *description {
	out, old, session := *d, d.media(), *d.sdp
	stream := *old
	stream.MediaName.Formats = nil
	stream.Attributes = slices.DeleteFunc(slices.Clone(old.Attributes), namesFormat)
	for _, n := range news {
		if n.to == "" {
			continue
		}
		stream.MediaName.Formats = append(stream.MediaName.Formats, n.to)
		if n.becomes == "" && n.to != n.from && d.rtpmap(n.from) == "" {
			n.becomes = d.format(n.from).mapping // a static number needs none
		}
		if n.becomes != "" {
			stream.Attributes = append(stream.Attributes, sdp.Attribute{Key: "rtpmap", Value: n.to + " " + n.becomes})
			continue
		}
		for _, a := range old.Attributes {
			if number, rest, _ := strings.Cut(a.Value, " "); namesFormat(a) && number == n.from {
				stream.Attributes = append(stream.Attributes, sdp.Attribute{Key: a.Key, Value: n.to + " " + rest})
			}
		}
	}
	session.MediaDescriptions = []*sdp.MediaDescription{&stream}
	out.sdp = &session
	return &out
}

// namesFormat says whether an attribute is about one payload type.
func namesFormat(a sdp.Attribute) bool {
	switch a.Key {
	case "rtpmap", "fmtp", "rtcp-fb":
		return !strings.HasPrefix(a.Value, "* ")
	}
	return false
}

// holdTo takes out of an answer what was not offered, and says whether speech is
// left in it. An answer may have a number of its own for a codec, or not repeat
// what a number means.
func (d *description) holdTo(offered []format) error {
	m := d.media()
	m.MediaName.Formats = slices.DeleteFunc(m.MediaName.Formats, func(n string) bool {
		f := d.format(n)
		if f.name != "" {
			return !includes(offered, f.codec)
		}
		i := slices.IndexFunc(offered, func(o format) bool { return o.number == n && o.name != "" })
		if i >= 0 {
			m.Attributes = append(m.Attributes, sdp.Attribute{Key: "rtpmap", Value: n + " " + offered[i].mapping})
		}
		return i < 0
	})
	if d.chosen() == "" {
		return errNoCodec
	}
	return nil
}

// common are those of a description's formats that another one, in the same
// numbers, has too.
func (d *description) common(other *description) []format {
	theirs := other.formats()
	return slices.DeleteFunc(d.formats(), func(f format) bool {
		return !slices.ContainsFunc(theirs, func(o format) bool { return o.number == f.number && o.codec == f.codec })
	})
}

// translatable is an offer with the kind of G.711 that a codec list allows, made
// of the other kind that the description has, and the formats to offer: that
// and telephone-events.
func (d *description) translatable(codecs []string) (*description, []string, error) {
	var events []string
	for _, f := range d.formats() {
		if f.events() && f.clock == pcmu.clock {
			events = append(events, f.number)
		}
	}
	for _, f := range d.formats() {
		other, ok := f.counterpart()
		if !ok || !slices.ContainsFunc(codecs, func(c string) bool { return strings.EqualFold(c, other.name) }) {
			continue
		}
		number := strconv.Itoa(payloads[other.name].number)
		news := []renumbering{{from: f.number, to: number, becomes: other.name + "/8000"}}
		for _, e := range events {
			news = append(news, renumbering{from: e, to: e})
		}
		return d.renumbered(news), append([]string{number}, events...), nil
	}
	return nil, nil, errNoCodec
}

// offerable is what a target may be offered of a description: the formats that
// its codec list allows, or where it allows none, one that can be made of them.
func (d *description) offerable(t *config.Target) (*description, []string, error) {
	formats, err := d.usable(t.Codecs)
	if err != nil {
		return d.translatable(t.Codecs)
	}
	if t.CodecOrder == config.CodecOrderTarget {
		slices.SortStableFunc(formats, func(x, y string) int { return d.rank(x, t.Codecs) - d.rank(y, t.Codecs) })
	}
	return d, formats, nil
}

// rank is where a codec stands in a list; what is not in it comes last.
func (d *description) rank(format string, codecs []string) int {
	name := d.codec(format)
	if i := slices.IndexFunc(codecs, func(c string) bool { return strings.EqualFold(c, name) }); i >= 0 {
		return i
	}
	return len(codecs)
}

// only is the description with one codec for speech, and the telephone-events and
// comfort noise among those that were told.
func (d *description) only(speech codec, told []codec) *description {
	var news []renumbering
	for _, f := range d.formats() {
		if f.codec == speech || (!f.speech() && slices.Contains(told, f.codec)) {
			news = append(news, renumbering{from: f.number, to: f.number})
		}
	}
	return d.renumbered(news)
}

// speaks is the codec of the first format that carries speech.
func (d *description) speaks() codec {
	for _, f := range d.formats() {
		if f.speech() {
			return f.codec
		}
	}
	return codec{}
}
