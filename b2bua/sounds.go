package b2bua

import (
	"cmp"
	"strconv"
	"strings"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/audio"
)

// Our own sounds to the sides: ringing before the answer and while a transfer
// rings, a tone for a side on hold, sounds that the admin API asks for.

// voice is our sound that a side hears; nil: none.
type voice struct {
	name  string
	sound *audio.Sound
	loop  bool
	yield bool // to the other side's media
	mix   bool // with it
	lasts bool // until its end, even if the state of the call wants another sound

	played media.Play // as the relay plays it
	id     uint64     // of played
}

// sounds are our sounds to the sides.
type sounds struct {
	call    *Call
	voices  [2]*voice // by side
	plays   uint64    // begun so far
	ringing bool      // the caller has a 183 and hears our ringing
}

// play plays a sound to a side, or ends the present one. A side without G.711 hears
// none.
func (ss *sounds) play(side media.Side, v *voice) {
	c := ss.call
	if c.media.session == nil {
		return
	}
	before := ss.voices[side]
	if v != nil {
		play, ok := c.agreement.Playing(side, v.play())
		if ok && before != nil && before.name == v.name && before.played == play {
			return
		}
		if ok {
			v.played = play
			ss.plays++
			play.ID, v.id = ss.plays, ss.plays
			ss.voices[side] = v
			c.media.session.Play(side, play)
			return
		}
		c.peerLog.Info().Stringer("side", side).Str("sound", v.name).Msg("no sound for a side without G.711")
	}
	if ss.voices[side] = nil; before != nil {
		c.media.session.StopPlay(side)
	}
}

// ringback is the sound for a caller that waits.
func (ss *sounds) ringback() *voice {
	c := ss.call
	name := c.route.Ringback
	if q := c.route.Queue; q != nil && c.waits() {
		name = cmp.Or(q.Sound, name)
	}
	return &voice{name: name, sound: c.peers.Tones[name], loop: true, yield: true}
}

// update plays to each side what the call's state wants: mostly nothing. A
// voice that lasts goes on, in the side's present codec; a beep gives way.
func (ss *sounds) update() {
	for _, side := range []media.Side{media.SideA, media.SideB} {
		v, wanted := ss.voices[side], ss.wanted(side)
		if v != nil && v.lasts && (!v.mix || wanted == nil) {
			again := *v
			wanted = &again
		}
		ss.play(side, wanted)
	}
}

// wanted is the sound that the call's state wants a side to hear.
func (ss *sounds) wanted(side media.Side) *voice {
	c := ss.call
	switch {
	case c.times.answered.IsZero():
		if side == media.SideA && ss.ringing {
			return ss.ringback()
		}
	case side == media.SideA && c.transfers.current != nil && c.transfers.current.left:
		return ss.ringback()
	case c.route.Hold != config.HoldNone && c.agreement.Description[side.Other()] != nil && c.agreement.Description[side.Other()].Held():
		name := c.route.Hold
		return &voice{name: name, sound: c.peers.Tones[name], loop: true, yield: true}
	}
	return nil
}

// ring answers the caller's offer with 183, so that the caller hears our
// ringing. False: the caller has no G.711 that a target could use, or no offer.
func (ss *sounds) ring(targets []*peers.Target) bool {
	c := ss.call
	k, ok := c.agreement.Playable(targets)
	if !ok {
		return false
	}
	answer := c.agreement.Offer.Only(k, c.agreement.Offer.Formats())
	formats := answer.Formats()
	c.agreement.TakeStreams(media.SideA, c.agreement.Offer)
	c.agreement.Answer = answer.Answering(c.agreement.Offer, c.media.at(media.SideA), c.media.answering(c.a, c.agreement.Offer), formats, c.agreement.Offer.Mirrored())
	c.agreement.SentTo[media.SideA] = formats
	c.agreement.Tell(media.SideA, formats)
	c.told.earlyMedia, ss.ringing = true, true
	c.sendRinging(leg.Progress{Code: 183, Reason: message.StatusText(183)}, c.agreement.Answer)
	c.media.setPeer(media.SideA, c.agreement.Offer)
	return true
}

// order plays the sound that the admin API asks for, or ends it.
func (ss *sounds) order(s PlayRequest) error {
	c := ss.call
	switch {
	case c.times.answered.IsZero():
		return &OrderError{"the call is not answered yet", "ask again when its phase is bridged"}
	case s.Sound == soundNone:
		ss.voices[s.Side].end()
		ss.update()
		return nil
	}
	sound, ok := ss.named(s.Sound)
	if !ok {
		return &OrderError{"there is no sound " + strconv.Quote(s.Sound), "take one of sounds in the configuration, or of " + strings.Join(audio.Tones(), ", ")}
	}
	v := &voice{name: s.Sound, sound: sound, loop: s.Loop, lasts: true}
	if _, ok := c.agreement.Playing(s.Side, v.play()); !ok {
		return &OrderError{"side " + s.Side.String() + " does not speak G.711", "only PCMU and PCMA can be played"}
	}
	ss.voices[s.Side] = nil // so that the same sound starts again
	ss.play(s.Side, v)
	c.log.Info().Stringer("side", s.Side).Str("sound", s.Sound).Msg("sound played")
	return nil
}

// named is a sound of the configuration, or a tone.
func (ss *sounds) named(name string) (*audio.Sound, bool) {
	if sound, ok := ss.call.peers.Tones[name]; ok {
		return sound, true
	}
	return audio.Tone(name)
}

// end has a voice give way to the sound that the call's state wants.
func (v *voice) end() {
	if v != nil {
		v.lasts = false
	}
}

// onPlayed: a sound has come to its end.
func (ss *sounds) onPlayed(f played) {
	if v := ss.voices[f.Side]; v != nil && v.id == f.ID {
		ss.voices[f.Side] = nil
		ss.update()
	}
}

// play is how the relay plays it, but for what the side wants.
func (v *voice) play() media.Play {
	return media.Play{Sound: v.sound, Loop: v.loop, Yield: v.yield, Mix: v.mix}
}
