package b2bua

import (
	"slices"
	"strings"

	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// What the sides of a call were told, and what becomes of the payload types that
// they send.

// terms are what the sides have agreed on.
type terms struct {
	sentTo        [2][]sdp.Format // to a side, in its numbers: what it sends
	offeredCodecs [2][]sdp.Codec  // to a side: codecs that the other one has, or that can be made of its
	codec         [2]sdp.Codec    // of these, what a side speaks
}

// tell notes what a side is told, and by which codec it speaks.
func (c *Call) tell(side media.Side, formats []sdp.Format) {
	c.offeredCodecs[side], c.codec[side] = nil, sdp.Codec{}
	for _, f := range formats {
		c.offeredCodecs[side] = append(c.offeredCodecs[side], f.Codec)
		if f.Speech() && c.codec[side].Name == "" {
			c.codec[side] = f.Codec
			if side == media.SideA {
				c.record.Codec, _, _ = strings.Cut(f.Mapping, "/")
			}
		}
	}
}

// forSide is the description of the other side as a side is to see it: in the
// numbers of near, with the codec of the call if that has it, or it can be made;
// nil: there is none yet.
func (c *Call) forSide(side media.Side, near *sdp.Description) *sdp.Description {
	far := c.description[side.Other()]
	switch {
	case far == nil && side == media.SideA && c.answer != nil: // it was told something, though nobody has taken the call
		return c.onlyAgreedCodec(side, near)
	case far == nil:
		return nil
	}
	seen := far.NumberedAs(near)
	if !sdp.Includes(seen.Formats(), c.codec[side]) {
		seen = far.InNumbersOf(c.onlyAgreedCodec(side, near))
	}
	_, t := c.attemptLine()
	return c.keyable(t, side, seen, near)
}

// onlyAgreedCodec is a side's description without other codecs than that of the call,
// which it is to see nothing of; or as it is where it lacks that.
func (c *Call) onlyAgreedCodec(side media.Side, d *sdp.Description) *sdp.Description {
	if !sdp.Includes(d.Formats(), c.codec[side]) {
		return d
	}
	return d.Only(c.codec[side], c.offeredCodecs[side])
}

// toldTo are those of the formats whose codec a side was told, in the order in
// which it was.
func (c *Call) toldTo(side media.Side, formats []sdp.Format) []sdp.Format {
	var told []sdp.Format
	for _, k := range c.offeredCodecs[side] {
		if f, ok := sdp.Find(formats, k); ok {
			told = append(told, f)
		}
	}
	return told
}

// sends are the formats that a side may send: those that it was told, and those
// of its own description, for one that sends by its own numbers.
func (c *Call) sends(side media.Side) []sdp.Format {
	formats := slices.Clone(c.sentTo[side])
	if d := c.description[side]; d != nil {
		for _, f := range d.Formats() {
			if !slices.ContainsFunc(formats, func(o sdp.Format) bool { return o.Number == f.Number }) {
				formats = append(formats, f)
			}
		}
	}
	return formats
}

// translate has the relay make of what each side sends what the other one
// expects. A side sends what it was told and has itself (RFC 3264 section 6.1);
// what the other one has no use for, comfort noise perhaps, is dropped.
func (c *Call) translate() {
	for _, from := range []media.Side{media.SideA, media.SideB} {
		own, to := c.description[from], c.description[from.Other()]
		if own == nil || to == nil {
			continue
		}
		has := own.Formats()
		sends := slices.DeleteFunc(c.sends(from), func(f sdp.Format) bool {
			return !sdp.Includes(has, f.Codec) || (!f.Comfort() && !slices.Contains(c.offeredCodecs[from], f.Codec))
		})
		changes := sdp.ChangesOf(sends, c.toldTo(from.Other(), to.Formats()))
		if !slices.Equal(changes, c.changes[from]) {
			c.changes[from] = changes
			c.session.SetPayloads(from, changes)
		}
	}
}
