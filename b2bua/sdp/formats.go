package sdp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/media"
)

// The sides of a call agree on codecs, each under numbers (payload types) of its
// own: an answer need not use those of the offer (RFC 3264 section 6.1), and who
// is called later may have been told others. A description of one side is put
// to the other one in that one's numbers, see as.

// Codec is an audio codec as SDP names it.
type Codec struct {
	Name     string // in upper case
	Clock    uint32 // of its RTP timestamps, Hz
	channels string // "" for one
}

// Format is a codec and the number that a side has for it.
type Format struct {
	Number  string
	Mapping string // as a=rtpmap says it
	Codec
}

// The two kinds of G.711, either of which can be made of the other.
var (
	PCMU = Codec{Name: "PCMU", Clock: 8000} //nolint:gochecknoglobals // a constant
	PCMA = Codec{Name: "PCMA", Clock: 8000} //nolint:gochecknoglobals // a constant
)

// counterpart is the other kind of G.711.
func (k Codec) counterpart() (Codec, bool) {
	switch k {
	case PCMU:
		return PCMA, true
	case PCMA:
		return PCMU, true
	}
	return Codec{}, false
}

func (k Codec) Events() bool  { return IsEvents(k.Name) }
func (k Codec) Comfort() bool { return k.Name == "CN" }

// Speech says whether it is what the sides talk by.
func (k Codec) Speech() bool { return k.Name != "" && !k.Events() && !k.Comfort() }

// format is what a payload type of the description means; its codec has no name
// where nobody can tell.
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

// Pick are formats of the description by their numbers.
func (d *Description) Pick(numbers []string) []Format {
	out := make([]Format, 0, len(numbers))
	for _, n := range numbers {
		out = append(out, d.format(n))
	}
	return out
}

func (d *Description) Formats() []Format { return d.Pick(d.Media().MediaName.Formats) }

// NumbersOf are the numbers of formats.
func NumbersOf(formats []Format) []string {
	out := make([]string, 0, len(formats))
	for _, f := range formats {
		out = append(out, f.Number)
	}
	return out
}

// Find is the first format of a codec.
func Find(formats []Format, k Codec) (Format, bool) {
	i := slices.IndexFunc(formats, func(f Format) bool { return f.Codec == k })
	if i < 0 {
		return Format{}, false
	}
	return formats[i], true
}

// InNumbersOf is the description in the numbers that another one has for the same codecs,
// and with its kind of G.711 where the two have not the same. What the other one
// has not keeps its number, or gets a free one.
func (d *Description) InNumbersOf(near *Description) *Description { return d.inTerms(near, true) }

// NumberedAs is as, without another kind of G.711.
func (d *Description) NumberedAs(near *Description) *Description { return d.inTerms(near, false) }

func (d *Description) inTerms(near *Description, translated bool) *Description {
	if near == nil {
		return d
	}
	theirs := near.Formats()
	used := make(map[string]bool)
	for _, f := range theirs {
		used[f.Number] = true
	}
	changed := false
	var news []renumbering
	own := d.Formats()
	for _, f := range own {
		n := renumbering{from: f.Number, to: f.Number}
		if same, ok := Find(theirs, f.Codec); ok {
			n.to = same.Number
		} else if other, ok := f.counterpart(); ok && translated && !Includes(own, other) && Includes(theirs, other) {
			same, _ := Find(theirs, other)
			n.to, n.becomes = same.Number, other.Name+"/8000"
		} else if used[f.Number] {
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

func Includes(formats []Format, k Codec) bool {
	_, ok := Find(formats, k)
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
func (d *Description) renumbered(news []renumbering) *Description {
	out, old, session := *d, d.Media(), *d.sdp
	stream := *old
	stream.MediaName.Formats = nil
	stream.Attributes = slices.DeleteFunc(slices.Clone(old.Attributes), namesFormat)
	for _, n := range news {
		if n.to == "" {
			continue
		}
		stream.MediaName.Formats = append(stream.MediaName.Formats, n.to)
		if n.becomes == "" && n.to != n.from && d.rtpmap(n.from) == "" {
			n.becomes = d.format(n.from).Mapping // a static number needs none
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

// HoldTo takes out of an answer what was not offered, and says whether speech is
// left in it. An answer may have a number of its own for a codec, or not repeat
// what a number means.
func (d *Description) HoldTo(offered []Format) error {
	m := d.Media()
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
	if d.Chosen() == "" {
		return ErrNoCodec
	}
	return nil
}

// Common are those of a description's formats that another one, in the same
// numbers, has too.
func (d *Description) Common(other *Description) []Format {
	theirs := other.Formats()
	return slices.DeleteFunc(d.Formats(), func(f Format) bool {
		return !slices.ContainsFunc(theirs, func(o Format) bool { return o.Number == f.Number && o.Codec == f.Codec })
	})
}

// translatable is an offer with the kind of G.711 that a codec list allows, made
// of the other kind that the description has, and the formats to offer: that
// and telephone-events.
func (d *Description) translatable(codecs []string) (*Description, []string, error) {
	var events []string
	for _, f := range d.Formats() {
		if f.Events() && f.Clock == PCMU.Clock {
			events = append(events, f.Number)
		}
	}
	for _, f := range d.Formats() {
		other, ok := f.counterpart()
		if !ok || !slices.ContainsFunc(codecs, func(c string) bool { return strings.EqualFold(c, other.Name) }) {
			continue
		}
		number := strconv.Itoa(payloads[other.Name].number)
		news := []renumbering{{from: f.Number, to: number, becomes: other.Name + "/8000"}}
		for _, e := range events {
			news = append(news, renumbering{from: e, to: e})
		}
		return d.renumbered(news), append([]string{number}, events...), nil
	}
	return nil, nil, ErrNoCodec
}

// Offerable is what a target may be offered of a description: the formats that
// its codec list allows, or where it allows none, one that can be made of them.
func (d *Description) Offerable(t *config.Target) (*Description, []string, error) {
	formats, err := d.Usable(t.Codecs)
	if err != nil {
		return d.translatable(t.Codecs)
	}
	if t.CodecOrder == config.CodecOrderTarget {
		slices.SortStableFunc(formats, func(x, y string) int { return d.rank(x, t.Codecs) - d.rank(y, t.Codecs) })
	}
	return d, formats, nil
}

// rank is where a codec stands in a list; what is not in it comes last.
func (d *Description) rank(format string, codecs []string) int {
	name := d.codec(format)
	if i := slices.IndexFunc(codecs, func(c string) bool { return strings.EqualFold(c, name) }); i >= 0 {
		return i
	}
	return len(codecs)
}

// Only is the description with one codec for speech, and the telephone-events and
// comfort noise among those that were told.
func (d *Description) Only(speech Codec, told []Codec) *Description {
	var news []renumbering
	for _, f := range d.Formats() {
		if f.Codec == speech || (!f.Speech() && slices.Contains(told, f.Codec)) {
			news = append(news, renumbering{from: f.Number, to: f.Number})
		}
	}
	return d.renumbered(news)
}

// Speaks is the codec of the first format that carries speech.
func (d *Description) Speaks() Codec {
	for _, f := range d.Formats() {
		if f.Speech() {
			return f.Codec
		}
	}
	return Codec{}
}

func SpokenIn(formats []Format) []Codec {
	out := make([]Codec, 0, len(formats))
	for _, f := range formats {
		out = append(out, f.Codec)
	}
	return out
}

// ChangesOf are the changes of the formats that one side sends where the other
// one wants these.
func ChangesOf(sends, wants []Format) []media.PayloadChange {
	var changes []media.PayloadChange
	for _, s := range sends {
		n, ok := message.Decimal(s.Number, 127)
		if !ok || s.Name == "" {
			continue
		}
		change := media.PayloadChange{From: uint8(n), To: uint8(n), Op: media.PayloadDrop}
		if same, ok := Find(wants, s.Codec); ok {
			change.Op = media.PayloadKeep
			change.To = NumberOf(same)
		} else if other, ok := s.counterpart(); ok && Includes(wants, other) {
			made, _ := Find(wants, other)
			change.To, change.Op = NumberOf(made), media.PayloadToALaw
			if other == PCMU {
				change.Op = media.PayloadToULaw
			}
		}
		if change.From != change.To || change.Op != media.PayloadKeep {
			changes = append(changes, change)
		}
	}
	return changes
}

func NumberOf(f Format) uint8 {
	n, _ := message.Decimal(f.Number, 127)
	return uint8(n) // at most 127
}
