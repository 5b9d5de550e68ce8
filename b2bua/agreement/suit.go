package agreement

import (
	"errors"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// If the sides have no codec in common, one side's may have to be made of the other's (sdp.Format.IsStandIn). Callers
// need not ask for that: with each step, the agreement makes the codecs of both sides suit each other again. Steps
// compare with the side's former description, so they come before Media.SetPeer.

// Turn sets the caller's codec to suit a target with this answer. It fails if that takes a transcoder and none is free.
func (a *Agreement) Turn(answer *sdp.Description) error {
	if !a.turnFor(answer, false) {
		return errNoTranscoder
	}
	return nil
}

// turnFor is Turn. If must is set, it ignores the limit of places.
func (a *Agreement) turnFor(answer *sdp.Description, must bool) bool {
	near := a.Offer
	if a.Answer != nil {
		near = a.OnlyAgreedCodec(media.SideA, near)
	}
	return a.fit(media.SideA, near, answer.Speaks(), must)
}

// CauseOf returns the cause to record for an error of the agreement, or otherwise if the error has none of its own.
func CauseOf(err error, otherwise cause.Cause) cause.Cause {
	if errors.Is(err, errNoTranscoder) {
		return cause.NoTranscoder
	}
	return otherwise
}

// Take puts into force a side's change to which the other side need not agree. The side is answered with these formats.
func (a *Agreement) Take(side media.Side, d *sdp.Description, formats []sdp.Format) {
	a.StreamOrder[side] = d
	a.KeepBefore(side, false)
	a.SentTo[side] = formats
	if d.HasStandIn() != a.Description[side].HasStandIn() {
		a.Tell(side, formats)
	}
}

// Chosen puts the caller's late answer into force, which may choose another codec than the target did.
func (a *Agreement) Chosen(answer *sdp.Description) {
	a.Late, a.Offer = false, answer
	a.Tell(media.SideA, answer.Formats())
	a.refit(media.SideB)
}

// Undo restores the terms from before a side's change.
func (a *Agreement) Undo(side media.Side, before Terms) {
	a.Terms = before
	a.Tell(media.SideA, a.Told[media.SideA]) // for the call's record
	a.refit(side.Other())
}

// IsMade reports whether what a side speaks in the call is made of what it has on the wire.
func (a *Agreement) IsMade(side media.Side) bool { return a.Description[side].HasStandIn() }

// refit sets a side's codec to the one that the other side speaks, if the side has it.
func (a *Agreement) refit(side media.Side) {
	if d := a.Description[side]; d != nil {
		a.fit(side, d, a.Codec[side.Other()], true)
	}
}

// fit has G.711 stand for the Opus of a side if it has no G.711 in near, and the other one speaks that. If the other
// one speaks anything else, nothing stands for the side's Opus any more. must: without regard to free places.
func (a *Agreement) fit(side media.Side, near *sdp.Description, law sdp.Codec, must bool) bool {
	switch {
	case !a.Transcoder.Possible(), !near.Own().LacksG711():
		return true
	case !isG711(law):
		law = sdp.Codec{}
	case !a.Transcoder.Claim(must):
		return false
	}
	a.turn(side, law)
	return true
}

// Suit sets the caller's codec to suit a party with this description, which gets side B for now. The two are connected
// already, so it ignores the limit of places: an agent that waited may return after its place was taken.
func (a *Agreement) Suit(party *sdp.Description) {
	if sdp.Includes(party.Formats(), a.Codec[media.SideB]) {
		a.refit(media.SideA)
		return
	}
	a.turnFor(party, true)
	a.Tell(media.SideB, party.Formats())
}

// Wanted returns a side's new offer as it is offered to the other side.
func (a *Agreement) Wanted(to media.Side, d *sdp.Description) *sdp.Description {
	near := a.Description[to]
	if d.LacksG711() {
		near = near.Own()
	}
	return d.Whole().NumberedAs(near)
}

// Meet returns the formats for a side whose new offer has no codec of the call, or nil if there are none. They are made
// of the Opus that the other side speaks, which goes on as before; if the side offers Opus again, both speak that.
func (a *Agreement) Meet(side media.Side, d *sdp.Description, keyed media.Side) []sdp.Format {
	far := a.Description[side.Other()]
	if far == nil || !far.Own().LacksG711() || !a.Transcoder.Possible() {
		return nil
	}
	before, law := *a, sdp.Codec{}
	if !d.HasOpus() {
		law = d.Speaks()
		if !isG711(law) || !a.Transcoder.Claim(false) {
			return nil
		}
	}
	a.Decided(side, d)
	a.turn(side.Other(), law)
	formats := a.ForSide(side, d, keyed).Common(d)
	if spoken(formats) == nil {
		if !before.Transcoder.Has() {
			a.Transcoder.Release()
		}
		*a = before
		return nil
	}
	a.Tell(side, formats)
	return formats
}

// LateOffer returns the offer to a caller whose INVITE had none, after a target's answer: the target's codecs, and the
// G.711 that can be made of its Opus if a transcoder is free.
func (a *Agreement) LateOffer(answer *sdp.Description) *sdp.Description {
	answer = answer.Decided()
	_, made, err := answer.Transcodable([]string{sdp.PCMU.Name, sdp.PCMA.Name})
	if err != nil || !a.Transcoder.Claim(false) {
		return answer
	}
	return answer.With(made)
}
