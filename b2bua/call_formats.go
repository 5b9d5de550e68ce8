package b2bua

import (
	"slices"
	"strings"

	"flowbridge/media"
)

// What the sides of a call were told, and what becomes of the payload types that
// they send.

// terms are what the sides have agreed on.
type terms struct {
	sentTo        [2][]format // to a side, in its numbers: what it sends
	offeredCodecs [2][]codec  // to a side: codecs that the other one has, or that can be made of its
	codec         [2]codec    // of these, what a side speaks
}

// tell notes what a side is told, and by which codec it speaks.
func (c *Call) tell(side media.Side, formats []format) {
	c.offeredCodecs[side], c.codec[side] = nil, codec{}
	for _, f := range formats {
		c.offeredCodecs[side] = append(c.offeredCodecs[side], f.codec)
		if f.speech() && c.codec[side].name == "" {
			c.codec[side] = f.codec
			if side == media.SideA {
				c.record.Codec, _, _ = strings.Cut(f.mapping, "/")
			}
		}
	}
}

// forSide is the description of the other side as a side is to see it: in the
// numbers of near, with the codec of the call if that has it, or it can be made;
// nil: there is none yet.
func (c *Call) forSide(side media.Side, near *description) *description {
	far := c.description[side.Other()]
	switch {
	case far == nil && side == media.SideA && c.answer != nil: // it was told something, though nobody has taken the call
		return c.onlyAgreedCodec(side, near)
	case far == nil:
		return nil
	}
	seen := far.numberedAs(near)
	if !includes(seen.formats(), c.codec[side]) {
		seen = far.inNumbersOf(c.onlyAgreedCodec(side, near))
	}
	_, t := c.attemptLine()
	return c.keyable(t, side, seen, near)
}

// onlyAgreedCodec is a side's description without other codecs than that of the call,
// which it is to see nothing of; or as it is where it lacks that.
func (c *Call) onlyAgreedCodec(side media.Side, d *description) *description {
	if !includes(d.formats(), c.codec[side]) {
		return d
	}
	return d.only(c.codec[side], c.offeredCodecs[side])
}

// toldTo are those of the formats whose codec a side was told, in the order in
// which it was.
func (c *Call) toldTo(side media.Side, formats []format) []format {
	var told []format
	for _, k := range c.offeredCodecs[side] {
		if f, ok := find(formats, k); ok {
			told = append(told, f)
		}
	}
	return told
}

// sends are the formats that a side may send: those that it was told, and those
// of its own description, for one that sends by its own numbers.
func (c *Call) sends(side media.Side) []format {
	formats := slices.Clone(c.sentTo[side])
	if d := c.description[side]; d != nil {
		for _, f := range d.formats() {
			if !slices.ContainsFunc(formats, func(o format) bool { return o.number == f.number }) {
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
		has := own.formats()
		sends := slices.DeleteFunc(c.sends(from), func(f format) bool {
			return !includes(has, f.codec) || (!f.comfort() && !slices.Contains(c.offeredCodecs[from], f.codec))
		})
		changes := changesOf(sends, c.toldTo(from.Other(), to.formats()))
		if !slices.Equal(changes, c.changes[from]) {
			c.changes[from] = changes
			c.session.SetPayloads(from, changes)
		}
	}
}

// changesOf are the changes of the formats that one side sends where the other
// one wants these.
func changesOf(sends, wants []format) []media.PayloadChange {
	var changes []media.PayloadChange
	for _, s := range sends {
		n, ok := decimal(s.number, 127)
		if !ok || s.name == "" {
			continue
		}
		change := media.PayloadChange{From: uint8(n), To: uint8(n), Op: media.PayloadDrop}
		if same, ok := find(wants, s.codec); ok {
			change.Op = media.PayloadKeep
			change.To = numberOf(same)
		} else if other, ok := s.counterpart(); ok && includes(wants, other) {
			made, _ := find(wants, other)
			change.To, change.Op = numberOf(made), media.PayloadToALaw
			if other == pcmu {
				change.Op = media.PayloadToULaw
			}
		}
		if change.From != change.To || change.Op != media.PayloadKeep {
			changes = append(changes, change)
		}
	}
	return changes
}

func numberOf(f format) uint8 {
	n, _ := decimal(f.number, 127)
	return uint8(n) // at most 127
}
