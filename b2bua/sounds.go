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
	if ss.call.media.session == nil {
		return
	}
	before := ss.voices[side]
	if v != nil {
		play, ok := ss.call.agreement.Playing(side, v.play())
		if ok && before != nil && before.name == v.name && before.played == play {
			return
		}
		if ok {
			v.played = play
			ss.plays++
			play.ID, v.id = ss.plays, ss.plays
			ss.voices[side] = v
			ss.call.media.session.Play(side, play)
			return
		}
		ss.call.peerLog.Info().Stringer("side", side).Str("sound", v.name).Msg("no sound for a side without G.711")
	}
	if ss.voices[side] = nil; before != nil {
		ss.call.media.session.StopPlay(side)
	}
}

// ringback is the sound for a caller that waits.
func (ss *sounds) ringback() *voice {
	name := ss.call.route.Ringback
	if q := ss.call.route.Queue; q != nil && ss.call.waits() {
		name = cmp.Or(q.Sound, name)
	}
	return &voice{name: name, sound: ss.call.peers.Tones[name], loop: true, yield: true}
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
	switch {
	case ss.call.times.answered.IsZero():
		if side == media.SideA && ss.ringing {
			return ss.ringback()
		}
	case side == media.SideA && ss.call.transfer != nil && ss.call.transfer.left:
		return ss.ringback()
	case ss.call.route.Hold != config.HoldNone && ss.call.agreement.Description[side.Other()] != nil && ss.call.agreement.Description[side.Other()].Held():
		name := ss.call.route.Hold
		return &voice{name: name, sound: ss.call.peers.Tones[name], loop: true, yield: true}
	}
	return nil
}

// ring answers the caller's offer with 183, so that the caller hears our
// ringing. False: the caller has no G.711 that a target could use, or no offer.
func (ss *sounds) ring(targets []*peers.Target) bool {
	k, ok := ss.call.agreement.Playable(targets)
	if !ok {
		return false
	}
	answer := ss.call.agreement.Offer.Only(k, ss.call.agreement.Offer.Formats())
	formats := answer.Formats()
	ss.call.agreement.TakeStreams(media.SideA, ss.call.agreement.Offer)
	ss.call.agreement.Answer = answer.Answering(ss.call.agreement.Offer, ss.call.media.at(media.SideA), ss.call.answering(ss.call.a, ss.call.agreement.Offer), formats, ss.call.agreement.Offer.Mirrored())
	ss.call.agreement.SentTo[media.SideA] = formats
	ss.call.agreement.Tell(media.SideA, formats)
	ss.call.told.earlyMedia, ss.ringing = true, true
	ss.call.sendRinging(leg.Progress{Code: 183, Reason: message.StatusText(183)}, ss.call.agreement.Answer)
	ss.call.setPeer(media.SideA, ss.call.agreement.Offer)
	return true
}

// order plays the sound that the admin API asks for, or ends it.
func (ss *sounds) order(s PlayRequest) error {
	switch {
	case ss.call.times.answered.IsZero():
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
	if _, ok := ss.call.agreement.Playing(s.Side, v.play()); !ok {
		return &OrderError{"side " + s.Side.String() + " does not speak G.711", "only PCMU and PCMA can be played"}
	}
	ss.voices[s.Side] = nil // the same one begins anew
	ss.play(s.Side, v)
	ss.call.log.Info().Stringer("side", s.Side).Str("sound", s.Sound).Msg("sound played")
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
