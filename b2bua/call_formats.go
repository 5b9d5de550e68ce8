package b2bua

import (
	"net/netip"
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
				c.codecName, _, _ = strings.Cut(f.Mapping, "/")
			}
		}
	}
}

// forSide is the description of the other side as a side is to see it: in the
// numbers of near, with the codec of the call if that has it, or it can be made;
// nil: there is none yet. keyed is the side whose telephone-events end here.
func (c *Call) forSide(side media.Side, near *sdp.Description, keyed media.Side) *sdp.Description {
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
	return withEventsOf(keyed, side, seen, near)
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

// payloadChanges are what the relay is to make of a side's payload types, so that
// the other side gets what it expects. A side sends what it was told and has itself
// (RFC 3264 section 6.1); what the other side has no use for is dropped. changed
// says whether they are others than before.
func (c *Call) payloadChanges(from media.Side) (changes []media.PayloadChange, changed bool) {
	own, to := c.description[from], c.description[from.Other()]
	if own == nil || to == nil {
		return nil, false
	}
	has := own.Formats()
	sends := slices.DeleteFunc(c.sends(from), func(f sdp.Format) bool {
		return !sdp.Includes(has, f.Codec) || (!f.Comfort() && !slices.Contains(c.offeredCodecs[from], f.Codec))
	})
	changes = sdp.ChangesOf(sends, c.toldTo(from.Other(), to.Formats()))
	changed = !slices.Equal(changes, c.changes[from])
	c.changes[from] = changes
	return changes, changed
}

// covers gives the formats of an offer that both sides were told; nil: the codec
// of the call is not among them. exact: all of them are. freely: the sides need not
// have the same telephone-events.
func (c *Call) covers(side media.Side, d *sdp.Description, keyed media.Side, freely bool) (formats []sdp.Format, exact bool) {
	far := c.forSide(side, d, keyed)
	if far == nil {
		return nil, false
	}
	formats = c.toldTo(side, far.Common(d))
	if !sdp.Includes(formats, c.codec[side]) {
		return nil, false
	}
	told := c.offeredCodecs[side]
	if freely {
		noEvents := func(f sdp.Format) bool { return f.Events() }
		told = slices.DeleteFunc(slices.Clone(told), sdp.Codec.Events)
		return formats, len(slices.DeleteFunc(slices.Clone(formats), noEvents)) == len(told)
	}
	return formats, len(formats) == len(told)
}

// sessionToward describes the session as it is to a side, with our media at this
// address and the stream's transport as given.
func (c *Call) sessionToward(side media.Side, at netip.AddrPort, over sdp.StreamTransport, keyed media.Side) ([]byte, error) {
	near := c.description[side]
	if near == nil {
		near = c.offer // of a caller whose answer is to come
	}
	far := c.forSide(side, near, keyed)
	if far == nil {
		return nil, sdp.ErrNoAudio
	}
	far = far.WithTransport(over)
	c.sentTo[side] = c.toldTo(side, far.Formats())
	formats := sdp.NumbersOf(c.sentTo[side])
	if like := c.streamOrder[side]; like != nil {
		return far.Answering(like, at, formats, sdp.SendRecv)
	}
	return far.ForTarget(at, formats, sdp.SendRecv)
}

// before keeps what is in force, in case that the change to it never reaches the
// side which wanted it. asked: the other side was asked, too.
func (c *Call) keepBefore(side media.Side, asked bool) {
	c.rollback[side] = &rollback{description: c.description[side], terms: c.terms, asked: asked}
}

// nextOffer is the Ref of a new offer.
func (c *Call) nextOffer() int {
	c.offers++
	return c.offers
}

// takeStreams notes whose streams, in number and order, a side's descriptions have
// from now on, and whether it holds the call.
func (c *Call) takeStreams(side media.Side, d *sdp.Description) {
	c.onHold[side], c.streamOrder[side] = d.Held(), d
}

// withEventsOf is the answer that a side is to see: with the telephone-events that
// it offers, where those of it, or toward it, are ours.
func withEventsOf(keyed, side media.Side, answer, offer *sdp.Description) *sdp.Description {
	if keyed == side {
		return answer.WithEvents(offer)
	}
	return answer
}
