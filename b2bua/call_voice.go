package b2bua

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/audio"
	"flowbridge/config"
	"flowbridge/media"
)

// What the sides hear of us: ringing before the answer and while a transfer
// rings, a tone for who is held, sounds that the admin API asks for.

// tones are the tones and sounds of a configuration, by name.
type tones map[string]*audio.Sound

// tonesOf are those that routes name, and the sounds.
func tonesOf(cfg *config.Config) tones {
	all := tones{}
	maps.Copy(all, cfg.Sounds)
	all[toneBeep], _ = audio.Tone(toneBeep)
	for i := range cfg.Routes {
		for _, name := range []string{cfg.Routes[i].Ringback, cfg.Routes[i].Hold} {
			if all[name] != nil {
				continue
			}
			if tone, ok := audio.Tone(name); ok {
				all[name] = tone
			}
		}
	}
	return all
}

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
	case pcmu:
	case pcma:
		law = audio.ALaw
	default:
		return media.Play{}, false
	}
	d := c.description[side]
	if d == nil {
		return media.Play{}, false
	}
	f, ok := find(d.formats(), c.codec[side])
	return media.Play{
		Sound: v.sound, Law: law, PayloadType: numberOf(f), Frame: d.ptime(), Loop: v.loop, Yield: v.yield, Mix: v.mix,
	}, ok
}

// ptime is how long the packets are to be that the peer wants (RFC 8866 section
// 6.4), where it wants what is usual; 0: it does not say, or something else.
func (d *description) ptime() time.Duration {
	value, _ := d.media().Attribute("ptime")
	ms, ok := decimal(strings.TrimSpace(value), 60)
	if !ok || ms < 10 || ms%10 != 0 {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// ringback is what a caller hears who waits.
func (c *Call) ringback() *voice {
	name := c.route.Ringback
	return &voice{name: name, sound: c.peers.tones[name], loop: true, yield: true}
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
	case c.route.Hold != config.HoldNone && c.description[side.Other()] != nil && c.description[side.Other()].held():
		name := c.route.Hold
		return &voice{name: name, sound: c.peers.tones[name], loop: true, yield: true}
	}
	return nil
}

// soundRinging answers the caller's offer with 183, so that it hears ringing of
// ours. False: it has no G.711 that a target could use, or makes no offer.
func (c *Call) soundRinging() bool {
	k, ok := c.playable()
	if !ok {
		return false
	}
	answer := c.offer.only(k, spokenIn(c.offer.formats()))
	formats := answer.formats()
	c.onHold[media.SideA], c.streamOrder[media.SideA] = c.offer.held(), c.offer
	sdp, err := answer.withTransport(c.answering(c.a, c.offer)).answering(c.offer, c.mediaAt(media.SideA), numbersOf(formats), c.offer.mirrored())
	if err != nil {
		return false
	}
	c.answer, c.sentTo[media.SideA] = sdp, formats
	c.tell(media.SideA, formats)
	c.earlySent, c.soundsRinging = true, true
	c.sendRinging(Progress{Code: 183, Reason: statusText(183)}, c.answer)
	c.setPeer(media.SideA, c.offer)
	return true
}

// playable is the first kind of G.711 of the caller's that a target can use.
func (c *Call) playable() (codec, bool) {
	if c.late {
		return codec{}, false
	}
	for _, f := range c.offer.formats() {
		if f.codec != pcmu && f.codec != pcma {
			continue
		}
		only := c.offer.only(f.codec, nil)
		if slices.ContainsFunc(c.untried, func(t *target) bool { _, _, err := only.offerable(t.cfg); return err == nil }) {
			return f.codec, true
		}
	}
	return codec{}, false
}

func spokenIn(formats []format) []codec {
	out := make([]codec, 0, len(formats))
	for _, f := range formats {
		out = append(out, f.codec)
	}
	return out
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
	sound, ok := c.peers.tones[s.Sound]
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
			c.play(side, &voice{name: toneBeep, sound: c.peers.tones[toneBeep], mix: true, lasts: true})
		}
	}
}

// toneBeep is the tone that says that a call is recorded.
const toneBeep = "beep"

// onPlayed: a sound has come to its end.
func (c *Call) onPlayed(f Played) {
	if v := c.voices[f.Side]; v != nil && v.id == f.ID {
		c.voices[f.Side] = nil
		c.updateSounds()
	}
}
