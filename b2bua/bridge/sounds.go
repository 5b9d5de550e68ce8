package bridge

import (
	"cmp"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/snapshot"
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

// Sounds are our sounds to the sides.
type Sounds struct {
	bridge  *Bridge
	voices  [2]*voice // by side
	plays   uint64    // begun so far
	Ringing bool      // the caller has a 183 and hears our ringing
	Instead string    // of the route's ringback, while the caller waits; empty: that one
	OnHold  bool      // by an order: neither side hears the other
}

// save keeps the sounds that last. One that is heard once begins again in a process that replaces this one.
func (ss *Sounds) save(k *snapshot.Sounds, handed bool) {
	k.OnHold, k.Ringing = ss.OnHold, ss.Ringing
	for side, v := range ss.voices {
		if v != nil && v.lasts && (v.loop || handed && !v.mix) {
			k.Voices[side] = &snapshot.Voice{Name: v.name, Once: !v.loop}
		}
	}
}

// restore goes on with sounds that Update plays. What is not configured any more is left out.
func (ss *Sounds) restore(k *snapshot.Sounds) {
	ss.OnHold, ss.Ringing = k.OnHold, k.Ringing
	for side, v := range k.Voices {
		if v == nil {
			continue
		}
		if sound, ok := ss.named(v.Name); ok {
			ss.voices[side] = &voice{name: v.Name, sound: sound, loop: !v.Once, lasts: true}
		}
	}
}

// play plays a sound to a side, or ends the present one. A side without G.711 hears
// none.
func (ss *Sounds) play(side media.Side, v *voice) {
	b := ss.bridge
	if b.Media.session == nil {
		return
	}
	before := ss.voices[side]
	if v != nil {
		play, ok := b.Agreement.Playing(side, v.play())
		if ok && before != nil && before.name == v.name && before.played == play {
			return
		}
		if ok {
			v.played = play
			ss.plays++
			play.ID, v.id = ss.plays, ss.plays
			ss.voices[side] = v
			b.Media.session.Play(side, play)
			return
		}
		b.PeerLog.Info().Stringer("side", side).Str("sound", v.name).Msg("no sound for a side without G.711")
	}
	if ss.voices[side] = nil; before != nil {
		b.Media.session.StopPlay(side)
	}
}

// ringback is the sound for a caller that waits.
func (ss *Sounds) ringback() *voice {
	b := ss.bridge
	name := cmp.Or(ss.Instead, b.Call.Route().Ringback)
	return &voice{name: name, sound: b.Tones[name], loop: true, yield: true}
}

// Update plays to each side what the call's state wants: mostly nothing. A
// voice that lasts goes on, in the side's present codec; a beep gives way.
func (ss *Sounds) Update() {
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
func (ss *Sounds) wanted(side media.Side) *voice {
	b, now := ss.bridge, ss.bridge.Call.Moment()
	switch {
	case !now.Answered:
		if side == media.SideA && ss.Ringing {
			return ss.ringback()
		}
	case b.Announcement.Underway():
		return b.Announcement.wanted(side)
	case ss.OnHold && side == media.SideA:
		return ss.hold()
	case ss.OnHold:
		return ss.silence()
	case side == media.SideA && now.AgentLeft:
		return ss.ringback()
	case b.Call.Route().Hold != config.HoldNone && b.Agreement.Description[side.Other()] != nil &&
		b.Agreement.Description[side.Other()].Held():
		name := b.Call.Route().Hold
		return &voice{name: name, sound: b.Tones[name], loop: true, yield: true}
	}
	return nil
}

// hold is what a caller hears who is kept from the other side, which it does not hear.
func (ss *Sounds) hold() *voice {
	b := ss.bridge
	name := b.Call.Route().Hold
	if name == config.HoldNone {
		name = b.Call.Route().Ringback
	}
	sound, _ := ss.named(name) // of a route that is not configured any more
	return &voice{name: name, sound: sound, loop: true}
}

// silence is the sound that the other side hears during a hold.
func (ss *Sounds) silence() *voice {
	return &voice{name: peers.ToneSilence, sound: ss.bridge.Tones[peers.ToneSilence], loop: true}
}

// canHear says why a side can't hear a sound of ours.
func (ss *Sounds) canHear(side media.Side) error {
	if _, ok := ss.bridge.Agreement.Playing(side, media.Play{}); !ok {
		return refused("side "+side.String()+" does not speak G.711", "only PCMU and PCMA can be played")
	}
	return nil
}

// Hold puts the caller on hold for an operator, or ends that. It may be repeated. No leg is told.
func (ss *Sounds) Hold(on bool) error {
	b := ss.bridge
	switch {
	case !b.Call.Moment().Answered:
		return NotAnswered()
	case on == ss.OnHold:
		return nil
	case on && b.Call.Connected() == nil:
		return b.Call.Moment().NoAgent()
	case on:
		for _, side := range []media.Side{media.SideA, media.SideB} {
			if err := ss.canHear(side); err != nil {
				return err
			}
		}
	}
	ss.OnHold = on
	b.Log.Info().Bool("on", on).Msg("call held by order")
	b.Ladder.Decide("the caller is on hold by an order: %t", on)
	ss.Update()
	return nil
}

// Ring makes the answer to the caller's offer by which the caller hears our ringing once side A has its peer. False:
// the caller has no G.711 that a target could use, or no offer.
func (ss *Sounds) Ring(targets []*peers.Target) bool {
	b := ss.bridge
	k, ok := b.Agreement.Playable(targets)
	if !ok {
		return false
	}
	offer := b.Agreement.Offer
	answer := offer.Only(k, offer.Formats())
	formats := answer.Formats()
	b.Agreement.StreamOrder[media.SideA] = offer
	b.Agreement.Answer = answer.Answering(offer, b.Media.at(media.SideA),
		b.Media.answering(b.Call.Half(media.SideA), offer), formats, offer.Mirrored())
	b.Agreement.SentTo[media.SideA] = formats
	b.Agreement.Tell(media.SideA, formats)
	ss.Ringing = true
	return true
}

// Order plays the sound that the admin API asks for, or ends it.
func (ss *Sounds) Order(s PlayRequest) error {
	b := ss.bridge
	switch {
	case !b.Call.Moment().Answered:
		return NotAnswered()
	case s.Sound == SoundNone:
		ss.voices[s.Side].end()
		ss.Update()
		return nil
	}
	sound, ok := ss.named(s.Sound)
	if !ok {
		return noSound(s.Sound)
	}
	v := &voice{name: s.Sound, sound: sound, loop: s.Loop, lasts: true}
	if err := ss.canHear(s.Side); err != nil {
		return err
	}
	ss.voices[s.Side] = nil // so that the same sound starts again
	ss.play(s.Side, v)
	b.Log.Info().Stringer("side", s.Side).Str("sound", s.Sound).Msg("sound played")
	return nil
}

// named is a sound of the configuration, or a tone.
func (ss *Sounds) named(name string) (*audio.Sound, bool) {
	if sound, ok := ss.bridge.Tones[name]; ok {
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

// Heard is the name of the sound that a side hears; empty: none.
func (ss *Sounds) Heard(side media.Side) string {
	if v := ss.voices[side]; v != nil {
		return v.name
	}
	return ""
}

// onPlayed: a sound has come to its end.
func (ss *Sounds) onPlayed(f Played) {
	if v := ss.voices[f.Side]; v != nil && v.id == f.ID {
		if f.Side == media.SideB && !v.lasts {
			ss.bridge.Announcement.over(true)
		}
		ss.voices[f.Side] = nil
		ss.Update()
	}
}

// play is how the relay plays it, but for what the side wants.
func (v *voice) play() media.Play {
	return media.Play{Sound: v.sound, Loop: v.loop, Yield: v.yield, Mix: v.mix}
}
