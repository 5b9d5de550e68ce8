package b2bua

import (
	"cmp"
	"strconv"
	"strings"
	"time"

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
	voices  [2]*voice // by side
	plays   uint64    // begun so far
	ringing bool      // the caller has a 183 and hears our ringing
}

// play plays a sound to a side, or ends the present one. A side without G.711 hears
// none.
func (c *Call) play(side media.Side, v *voice) {
	if c.media.session == nil {
		return
	}
	before := c.sounds.voices[side]
	if v != nil {
		play, ok := c.agreement.Playing(side, v.play())
		if ok && before != nil && before.name == v.name && before.played == play {
			return
		}
		if ok {
			v.played = play
			c.sounds.plays++
			play.ID, v.id = c.sounds.plays, c.sounds.plays
			c.sounds.voices[side] = v
			c.media.session.Play(side, play)
			return
		}
		c.peerLog.Info().Stringer("side", side).Str("sound", v.name).Msg("no sound for a side without G.711")
	}
	if c.sounds.voices[side] = nil; before != nil {
		c.media.session.StopPlay(side)
	}
}

// ringback is the sound for a caller that waits.
func (c *Call) ringback() *voice {
	name := c.route.Ringback
	if q := c.route.Queue; q != nil && c.waits() {
		name = cmp.Or(q.Sound, name)
	}
	return &voice{name: name, sound: c.peers.Tones[name], loop: true, yield: true}
}

// updateSounds plays to each side what the call's state wants: mostly nothing. A
// voice that lasts goes on, in the side's present codec; a beep gives way.
func (c *Call) updateSounds() {
	for _, side := range []media.Side{media.SideA, media.SideB} {
		v, wanted := c.sounds.voices[side], c.wanted(side)
		if v != nil && v.lasts && (!v.mix || wanted == nil) {
			again := *v
			wanted = &again
		}
		c.play(side, wanted)
	}
}

// wanted is the sound that the call's state wants a side to hear.
func (c *Call) wanted(side media.Side) *voice {
	switch {
	case c.times.answered.IsZero():
		if side == media.SideA && c.sounds.ringing {
			return c.ringback()
		}
	case side == media.SideA && c.transfer != nil && c.transfer.left:
		return c.ringback()
	case c.route.Hold != config.HoldNone && c.agreement.Description[side.Other()] != nil && c.agreement.Description[side.Other()].Held():
		name := c.route.Hold
		return &voice{name: name, sound: c.peers.Tones[name], loop: true, yield: true}
	}
	return nil
}

// soundRinging answers the caller's offer with 183, so that the caller hears our
// ringing. False: the caller has no G.711 that a target could use, or no offer.
func (c *Call) soundRinging(targets []*peers.Target) bool {
	k, ok := c.agreement.Playable(targets)
	if !ok {
		return false
	}
	answer := c.agreement.Offer.Only(k, c.agreement.Offer.Formats())
	formats := answer.Formats()
	c.agreement.TakeStreams(media.SideA, c.agreement.Offer)
	c.agreement.Answer = answer.Answering(c.agreement.Offer, c.media.at(media.SideA), c.answering(c.a, c.agreement.Offer), formats, c.agreement.Offer.Mirrored())
	c.agreement.SentTo[media.SideA] = formats
	c.agreement.Tell(media.SideA, formats)
	c.told.earlyMedia, c.sounds.ringing = true, true
	c.sendRinging(leg.Progress{Code: 183, Reason: message.StatusText(183)}, c.agreement.Answer)
	c.setPeer(media.SideA, c.agreement.Offer)
	return true
}

// orderedToPlay plays the sound that the admin API asks for, or ends it.
func (c *Call) orderedToPlay(s PlayRequest) error {
	switch {
	case c.times.answered.IsZero():
		return &OrderError{"the call is not answered yet", "ask again when its phase is bridged"}
	case s.Sound == soundNone:
		c.sounds.voices[s.Side].end()
		c.updateSounds()
		return nil
	}
	sound, ok := c.sound(s.Sound)
	if !ok {
		return &OrderError{"there is no sound " + strconv.Quote(s.Sound), "take one of sounds in the configuration, or of " + strings.Join(audio.Tones(), ", ")}
	}
	v := &voice{name: s.Sound, sound: sound, loop: s.Loop, lasts: true}
	if _, ok := c.agreement.Playing(s.Side, v.play()); !ok {
		return &OrderError{"side " + s.Side.String() + " does not speak G.711", "only PCMU and PCMA can be played"}
	}
	c.sounds.voices[s.Side] = nil // the same one begins anew
	c.play(s.Side, v)
	c.log.Info().Stringer("side", s.Side).Str("sound", s.Sound).Msg("sound played")
	return nil
}

// sound is a sound of the configuration, or a tone.
func (c *Call) sound(name string) (*audio.Sound, bool) {
	if sound, ok := c.peers.Tones[name]; ok {
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

// beep tells both sides that the call is recorded, now and at intervals
// (recording.beep). A side that hears another of our sounds gets no beep.
func (c *Call) beep(now time.Time) {
	c.recordings.beepAt = time.Time{}
	every := c.server.cfg.Recording.Beep
	if every == 0 || c.recordings.current == nil || c.recordings.current.Failed() {
		return
	}
	c.recordings.beepAt = now.Add(every)
	if c.recordings.current.Paused() {
		return
	}
	for _, side := range []media.Side{media.SideA, media.SideB} {
		if c.sounds.voices[side] == nil {
			c.play(side, &voice{name: peers.ToneBeep, sound: c.peers.Tones[peers.ToneBeep], mix: true, lasts: true})
		}
	}
}

// onPlayed: a sound has come to its end.
func (c *Call) onPlayed(f played) {
	if v := c.sounds.voices[f.Side]; v != nil && v.id == f.ID {
		c.sounds.voices[f.Side] = nil
		c.updateSounds()
	}
}

// play is how the relay plays it, but for what the side wants.
func (v *voice) play() media.Play {
	return media.Play{Sound: v.sound, Loop: v.loop, Yield: v.yield, Mix: v.mix}
}
