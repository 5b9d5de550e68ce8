package b2bua

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/audio"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
)

// What the sides hear of us: ringing before the answer and while a transfer
// rings, a tone for who is held, sounds that the admin API asks for.

// voice is what a side hears of us; nil: nothing.
type voice struct {
	name  string
	sound *audio.Sound
	loop  bool
	yield bool // to the other side's media
	mix   bool // with it
	lasts bool // until its end, whatever the state of the call wants

	played media.Play // how the side hears it
	id     uint64     // of that
}

// play has a side hear something of us, or nothing any more. A side that does not
// speak G.711 hears nothing of us.
func (c *Call) play(side media.Side, v *voice) {
	if c.session == nil {
		return
	}
	before := c.voices[side]
	if v != nil {
		play, ok := c.playing(side, v)
		if ok && before != nil && before.name == v.name && before.played == play {
			return
		}
		if ok {
			v.played = play
			c.plays++
			play.ID, v.id = c.plays, c.plays
			c.voices[side] = v
			c.session.Play(side, play)
			return
		}
		c.peerLog.Info().Stringer("side", side).Str("sound", v.name).Msg("no sound for a side without G.711")
	}
	if c.voices[side] = nil; before != nil {
		c.session.StopPlay(side)
	}
}

// playing is how a side hears a sound: in its kind of G.711, under the number
// that it has for that, in packets as long as it wants them.
func (c *Call) playing(side media.Side, v *voice) (media.Play, bool) {
	law := audio.ULaw
	switch c.codec[side] {
	case sdp.PCMU:
	case sdp.PCMA:
		law = audio.ALaw
	default:
		return media.Play{}, false
	}
	d := c.description[side]
	if d == nil {
		return media.Play{}, false
	}
	f, ok := sdp.Find(d.Formats(), c.codec[side])
	return media.Play{
		Sound: v.sound, Law: law, PayloadType: sdp.NumberOf(f), Frame: d.Ptime(), Loop: v.loop, Yield: v.yield, Mix: v.mix,
	}, ok
}

// ringback is what a caller hears who waits.
func (c *Call) ringback() *voice {
	name := c.route.Ringback
	return &voice{name: name, sound: c.peers.Tones[name], loop: true, yield: true}
}

// updateSounds has each side hear what its state wants: nothing, mostly. What lasts goes
// on, in the codec that the side has now; a beep gives way.
func (c *Call) updateSounds() {
	for _, side := range []media.Side{media.SideA, media.SideB} {
		v, wanted := c.voices[side], c.wanted(side)
		if v != nil && v.lasts && (!v.mix || wanted == nil) {
			again := *v
			wanted = &again
		}
		c.play(side, wanted)
	}
}

// wanted is what a side is to hear by the state of the call.
func (c *Call) wanted(side media.Side) *voice {
	switch {
	case c.answered.IsZero():
		if side == media.SideA && c.soundsRinging {
			return c.ringback()
		}
	case side == media.SideA && c.transfer != nil && c.transfer.left:
		return c.ringback()
	case c.route.Hold != config.HoldNone && c.description[side.Other()] != nil && c.description[side.Other()].Held():
		name := c.route.Hold
		return &voice{name: name, sound: c.peers.Tones[name], loop: true, yield: true}
	}
	return nil
}

// soundRinging answers the caller's offer with 183, so that it hears ringing of
// ours. False: it has no G.711 that a target could use, or makes no offer.
func (c *Call) soundRinging() bool {
	k, ok := c.playable(c.untried)
	if !ok {
		return false
	}
	answer := c.offer.Only(k, sdp.SpokenIn(c.offer.Formats()))
	formats := answer.Formats()
	c.takeStreams(media.SideA, c.offer)
	sdp, err := answer.WithTransport(c.answering(c.a, c.offer)).Answering(c.offer, c.mediaAt(media.SideA), sdp.NumbersOf(formats), c.offer.Mirrored())
	if err != nil {
		return false
	}
	c.answer, c.sentTo[media.SideA] = sdp, formats
	c.tell(media.SideA, formats)
	c.earlySent, c.soundsRinging = true, true
	c.sendRinging(leg.Progress{Code: 183, Reason: message.StatusText(183)}, c.answer)
	c.setPeer(media.SideA, c.offer)
	return true
}

// playable is the first kind of G.711 of the caller's that one of the targets can
// use.
func (c *Call) playable(targets []*peers.Target) (sdp.Codec, bool) {
	if c.late {
		return sdp.Codec{}, false
	}
	for _, f := range c.offer.Formats() {
		if f.Codec != sdp.PCMU && f.Codec != sdp.PCMA {
			continue
		}
		only := c.offer.Only(f.Codec, nil)
		if slices.ContainsFunc(targets, func(t *peers.Target) bool {
			_, _, err := only.Offerable(t.Config.Codecs, t.Config.CodecOrder)
			return err == nil
		}) {
			return f.Codec, true
		}
	}
	return sdp.Codec{}, false
}

// orderedToPlay has a side hear what the admin API asks for, or no longer.
func (c *Call) orderedToPlay(s Sounding) error {
	switch {
	case c.answered.IsZero():
		return &OrderError{"the call is not answered yet", "ask again when its phase is bridged"}
	case s.Sound == SoundNone:
		c.voices[s.Side].end()
		c.updateSounds()
		return nil
	}
	sound, ok := c.peers.Tones[s.Sound]
	if !ok {
		if sound, ok = audio.Tone(s.Sound); !ok {
			return &OrderError{"there is no sound " + strconv.Quote(s.Sound), "take one of sounds in the configuration, or of " + strings.Join(audio.Tones(), ", ")}
		}
	}
	v := &voice{name: s.Sound, sound: sound, loop: s.Loop, lasts: true}
	if _, ok := c.playing(s.Side, v); !ok {
		return &OrderError{"side " + s.Side.String() + " does not speak G.711", "only PCMU and PCMA can be played"}
	}
	c.voices[s.Side] = nil // the same one begins anew
	c.play(s.Side, v)
	c.log.Info().Stringer("side", s.Side).Str("sound", s.Sound).Msg("sound played")
	return nil
}

// end has a voice give way to what the state of the call wants.
func (v *voice) end() {
	if v != nil {
		v.lasts = false
	}
}

// beep has both sides hear that the call is recorded, now and again in a while
// (recording.beep). A side that hears something of us already is spared.
func (c *Call) beep(now time.Time) {
	c.beepAt = time.Time{}
	every := c.server.cfg.Recording.Beep
	if every == 0 || c.recorder == nil || c.recorder.Failed() {
		return
	}
	c.beepAt = now.Add(every)
	if c.recorder.Paused() {
		return
	}
	for _, side := range []media.Side{media.SideA, media.SideB} {
		if c.voices[side] == nil {
			c.play(side, &voice{name: peers.ToneBeep, sound: c.peers.Tones[peers.ToneBeep], mix: true, lasts: true})
		}
	}
}

// onPlayed: a sound has come to its end.
func (c *Call) onPlayed(f Played) {
	if v := c.voices[f.Side]; v != nil && v.id == f.ID {
		c.voices[f.Side] = nil
		c.updateSounds()
	}
}
