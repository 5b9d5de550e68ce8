package sdp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"flowbridge/b2bua/message"
	"flowbridge/media"
)

// The sides of a call agree on codecs, each under its own numbers (payload types): an
// answer need not use those of the offer (RFC 3264 section 6.1), and a party that is
// called later may get others. InNumbersOf describes one side to the other.

// InNumbersOf returns the description in the numbers that another one has for the same
// codecs, and with its kind of G.711 if the two have none in common. A format that the
// other one does not have keeps its number or gets a free one.
func (d *Description) InNumbersOf(near *Description) *Description { return d.inTerms(near, true) }

// NumberedAs is InNumbersOf without another kind of G.711.
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

// freeNumber returns a dynamic payload type that is not used (RFC 3551 section 6), ""
// if there is none.
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
	becomes  string // its new a=rtpmap; empty: the same
}

// renumbered returns the description with these formats alone, under new numbers.
func (d *Description) renumbered(news []renumbering) *Description {
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

// namesFormat reports whether an attribute is about one payload type.
func namesFormat(a sdp.Attribute) bool {
	switch a.Key {
	case "rtpmap", "fmtp", "rtcp-fb":
		return !strings.HasPrefix(a.Value, "* ")
	}
	return false
}

// translatable makes an offer with the kind of G.711 that a codec list allows from the
// other kind in the description, and returns the formats to offer: that and
// telephone-events.
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

// with returns a description with one more format.
func (d *Description) with(format, mapping, parameters string) *Description {
	out, stream, session := *d, *d.media(), *d.sdp
	stream.MediaName.Formats = append(slices.Clip(stream.MediaName.Formats), format)
	stream.Attributes = append(slices.Clip(stream.Attributes),
		sdp.Attribute{Key: "rtpmap", Value: format + " " + mapping}, sdp.Attribute{Key: "fmtp", Value: format + " " + parameters})
	session.MediaDescriptions = []*sdp.MediaDescription{&stream}
	out.sdp = &session
	return &out
}

// WithEvents returns a description that has telephone-events: its own, else those of
// another description, or if that is nil, with a number of our choice.
func (d *Description) WithEvents(other *Description) *Description {
	for _, f := range d.media().MediaName.Formats {
		if IsEvents(d.codec(f)) {
			return d
		}
	}
	number, mapping := strconv.Itoa(eventsPayload), "telephone-event/8000"
	if other != nil {
		i := slices.IndexFunc(other.media().MediaName.Formats, func(f string) bool { return IsEvents(other.codec(f)) })
		if i < 0 {
			return d
		}
		number = other.media().MediaName.Formats[i]
		mapping = other.rtpmap(number)
	}
	if slices.Contains(d.media().MediaName.Formats, number) {
		return d
	}
	return d.with(number, mapping, "0-15")
}

// ChangesOf returns how the relay changes the formats that one side sends into those
// that the other side wants.
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
			change.To = PayloadType(same)
		} else if other, ok := s.counterpart(); ok && Includes(wants, other) {
			made, _ := Find(wants, other)
			change.To, change.Op = PayloadType(made), media.PayloadToALaw
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

// PayloadType returns a format's payload type as RTP has it.
func PayloadType(f Format) uint8 {
	n, _ := message.Decimal(f.Number, 127)
	return uint8(n) // at most 127
}
