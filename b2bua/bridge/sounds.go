package bridge

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/audio"
)

// This file plays sounds to the sides: ringing before the answer and while a transfer rings, a tone for a side on
// hold, and sounds that the admin API asks for.

// voice is a sound that we play to a side. A nil *voice means no sound.
type voice struct {
	name  string
	sound *audio.Sound
	loop  bool
	yield bool // pauses while the other side's media can be heard
	mix   bool // is mixed with the other side's media instead of replacing it
	lasts bool // plays to its end, even if the call's state asks for another sound

	over   func(media.EventPlayed) // called when the sound ends; may be nil
	from   time.Duration           // where in the sound to begin
	whole  bool                    // no frame of it is left out, and it goes on at another address of the side
	since  time.Time               // when it began to play
	played media.Play              // the sound as the relay got it
	id     uint64                  // id of played

	restarts int // how often the media is known to have begun it again
}

// Sounds holds the sounds that we play to the sides.
type Sounds struct {
	service
	voices  [2]*voice // by side
	plays   uint64    // number of sounds started so far; the last one is the id of the latest sound
	unheard [2]string // by side: the name of the sound that it can't hear because of its codec
	// apart, unless nil, chooses the sound of a side before the call's state does.
	apart   func(side media.Side) *voice
	Ringing bool   // the caller has got a 183, and hears our ringing
	Instead string // replaces the route's ringback while the caller waits; empty means no replacement
	OnHold  bool   // a command has put the caller on hold; neither side hears the other
}

// soundSession has the methods of the media session that Sounds uses.
type soundSession interface {
	Play(to media.Side, p media.Play)
	StopPlay(to media.Side)
	Playing(to media.Side) (id uint64, s media.Sent)
	HoldBack(from media.Side, on bool)
}

// save stores the sounds that continue in the next process. A sound without loop starts again from its beginning
// there.
func (ss *Sounds) save(sheet *snapshot.Sheet) {
	k := &sheet.Bridge.Sounds
	k.OnHold, k.Ringing = ss.OnHold, ss.Ringing
	for side, v := range ss.voices {
		if v != nil && v.lasts && (v.loop || sheet.Handed && !v.mix) {
			k.Voices[side] = &snapshot.Voice{Name: v.name, Once: !v.loop}
		}
	}
}

// restore restores the sounds of an old process, except those that are no longer configured. begin plays them.
func (ss *Sounds) restore(all *snapshot.Bridge) {
	k := &all.Sounds
	ss.OnHold, ss.Ringing = k.OnHold, k.Ringing && ss.bridge.Media.session != nil
	for side, v := range k.Voices {
		if v == nil {
			continue
		}
		if sound, ok := ss.named(v.Name); ok {
			ss.voices[side] = &voice{name: v.Name, sound: sound, loop: !v.Once, lasts: true}
		}
	}
	if ss.OnHold { // the sides must not hear each other first
		ss.update()
	}
}

func (ss *Sounds) begin() { ss.update() }

func (ss *Sounds) on(e Event) (handled bool) {
	switch e := e.(type) {
	case cut:
		if v := ss.voices[e.side]; v != nil && v.loop && v.whole { // it goes on until it is replaced or stopped
			v.played = media.Play{}
		} else {
			ss.voices[e.side] = nil
		}
	case Answered, described, Turned:
		ss.update()
	case media.EventPlayed:
		ss.onPlayed(e)
		return true
	}
	return false
}

func (ss *Sounds) obey(o Order) (handled bool, err error) {
	if o != OrderHold && o != OrderUnhold {
		return false, nil
	}
	return true, ss.hold(o == OrderHold)
}

func (ss *Sounds) show(live *registry.LiveCall) {
	live.OnHold = ss.OnHold
	live.Hears = [2]string{ss.Heard(media.SideA), ss.Heard(media.SideB)}
}

// play plays a sound to a side, or stops the current one if v is nil. A side without G.711 hears nothing.
func (ss *Sounds) play(side media.Side, v *voice) {
	b := ss.bridge
	if b.Media.session == nil {
		return
	}
	before := ss.voices[side]
	if v != nil {
		play, ok := ss.playing(side, media.Play{
			Sound: v.sound, Loop: v.loop, Yield: v.yield, Mix: v.mix, From: v.from, Whole: v.whole,
		})
		if ok && before != nil && before.name == v.name && before.played == play {
			return
		}
		if ok {
			v.played, v.since = play, time.Now()
			ss.plays++
			play.ID, v.id = ss.plays, ss.plays
			ss.voices[side], ss.unheard[side] = v, ""
			b.Media.session.Play(side, play)
			return
		}
		if ss.unheard[side] != v.name && b.Agreement.Description[side] != nil {
			b.PeerLog.Info().Stringer("side", side).Str("sound", v.name).Msg("sound not played: the side has no G.711")
		}
		ss.unheard[side] = v.name
	}
	ss.voices[side] = nil
	if before != nil {
		b.Media.session.StopPlay(side)
	}
}

// playing returns p adapted to a side: with its kind of G.711, the payload type for it, and its packet time. ok is
// false if the side has no G.711.
func (ss *Sounds) playing(side media.Side, p media.Play) (as media.Play, ok bool) {
	a := &ss.bridge.Agreement
	switch p.Law = audio.ULaw; a.Codec[side] {
	case sdp.PCMU:
	case sdp.PCMA:
		p.Law = audio.ALaw
	default:
		return media.Play{}, false
	}
	d := a.Description[side]
	if d == nil {
		return media.Play{}, false
	}
	f, ok := sdp.Find(d.Formats(), a.Codec[side])
	p.PayloadType, p.Frame = f.Number, d.Ptime()
	return p, ok
}

// beep plays a beep to each side that hears no other sound of ours.
func (ss *Sounds) beep() {
	ss.update()
	for side, v := range ss.voices {
		if v == nil {
			tone := ss.bridge.Tones[peers.ToneBeep]
			ss.play(media.Side(side), &voice{name: peers.ToneBeep, sound: tone, mix: true, lasts: true})
		}
	}
}

// ringback returns the sound for a waiting caller.
func (ss *Sounds) ringback() *voice {
	b := ss.bridge
	name := cmp.Or(ss.Instead, b.Call.Route().Ringback)
	return &voice{name: name, sound: b.Tones[name], loop: true, yield: true}
}

// update plays to each side the sound that the call's state asks for, usually none. A sound that lasts continues in
// the side's current codec. A beep also continues, unless the state asks for a sound.
func (ss *Sounds) update() {
	if ss.bridge.Media.session == nil {
		return
	}
	for _, side := range []media.Side{media.SideA, media.SideB} {
		v, wanted := ss.voices[side], ss.wanted(side)
		if v != nil && v.lasts && (!v.mix || wanted == nil) {
			again := *v
			wanted = &again
		}
		ss.play(side, wanted)
	}
}

// wanted returns the sound that the call's state asks for on a side, or nil.
func (ss *Sounds) wanted(side media.Side) *voice {
	b, now := ss.bridge, ss.bridge.Call.Moment()
	switch {
	case ss.apart != nil:
		return ss.apart(side)
	case !now.Answered:
		if side == media.SideA && ss.Ringing && b.Call.Route() != nil {
			return ss.ringback()
		}
	case ss.OnHold && side == media.SideA:
		return ss.music()
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

// music returns the sound for a caller that must not hear the other side.
func (ss *Sounds) music() *voice {
	b := ss.bridge
	name := b.Call.Route().Hold
	if name == config.HoldNone {
		name = b.Call.Route().Ringback
	}
	sound, _ := ss.named(name) // silent if the route's sound is no longer configured
	return &voice{name: name, sound: sound, loop: true, whole: true}
}

// silence returns the silent sound that keeps a side from hearing the other side, also where ICE moves it.
func (ss *Sounds) silence() *voice {
	return &voice{name: peers.ToneSilence, sound: ss.bridge.Tones[peers.ToneSilence], loop: true, whole: true}
}

// canHear returns an error if a side has no G.711, because then it can't hear our sounds.
func (ss *Sounds) canHear(side media.Side) error {
	if _, ok := ss.playing(side, media.Play{}); !ok {
		return refused("side "+side.String()+" does not speak G.711", "only PCMU and PCMA can be played")
	}
	return nil
}

// hold puts the caller on hold for an operator, or ends the hold. It may be repeated. No SIP is sent.
func (ss *Sounds) hold(on bool) error {
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
	ss.update()
	return nil
}

// Ring makes an answer to the caller's offer with which the caller can hear our ringing. It returns false if the
// caller made no offer, or offers no G.711 that a target could use.
func (ss *Sounds) Ring(targets []*peers.Target) bool {
	if ss.bridge.Agreement.Late || !ss.Answer(targets) {
		return false
	}
	ss.Ringing = true
	return true
}

// Answer makes our description for a caller before a target has answered, so that the caller can hear our sounds. A
// caller that made no offer gets one of a G.711 of the first target, which must have been chosen. It returns false if
// the caller could not hear a sound.
func (ss *Sounds) Answer(targets []*peers.Target) bool {
	b := ss.bridge
	if b.Agreement.Late {
		offer := b.Agreement.Offer
		for _, f := range offer.Formats() {
			if f.Codec == sdp.PCMU || f.Codec == sdp.PCMA {
				b.tellCaller(offer.Only(f.Codec, offer.Formats()))
				return true
			}
		}
		return false
	}
	k, ok := b.Agreement.Playable(targets)
	if !ok {
		return false
	}
	offer := b.Agreement.Offer
	answer := offer.Only(k, offer.Formats())
	formats := answer.Formats()
	b.Agreement.StreamOrder[media.SideA] = offer
	b.Agreement.Answer = answer.Ours().Answering(offer, b.Media.at(media.SideA),
		b.Media.answering(b.Call.Half(media.SideA), offer), formats, offer.Mirrored())
	b.Agreement.SentTo[media.SideA] = formats
	b.Agreement.Tell(media.SideA, formats)
	return true
}

// PlayRequest is a command to play a sound to a side of a live call.
type PlayRequest struct {
	Side  media.Side
	Sound string // one of the configuration's sounds or audio.Tones, or SoundNone
	Loop  bool   // repeat the sound until SoundNone is requested
}

// SoundNone ends the current sound.
const SoundNone = "none"

func noSound(name string) *OrderError {
	return refused("there is no sound "+strconv.Quote(name),
		"take one of sounds in the configuration, or of "+strings.Join(audio.Tones(), ", "))
}

// Order plays the sound of a PlayRequest, or ends the current one.
func (ss *Sounds) Order(s PlayRequest) error {
	b := ss.bridge
	switch {
	case !b.Call.Moment().Answered:
		return NotAnswered()
	case ss.apart != nil:
		return refused("a side hears what it has to hear before the sides are connected", "ask again when it is over")
	case s.Sound == SoundNone:
		if v := ss.voices[s.Side]; v != nil {
			v.lasts = false
		}
		ss.update() // at once, because the response to the request names the sound
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
	ss.voices[s.Side] = nil // the same sound must start again
	ss.play(s.Side, v)
	b.Log.Info().Stringer("side", s.Side).Str("sound", s.Sound).Msg("sound played")
	return nil
}

// named returns the configured sound or the tone with this name.
func (ss *Sounds) named(name string) (*audio.Sound, bool) {
	if sound, ok := ss.bridge.Tones[name]; ok {
		return sound, true
	}
	return audio.Tone(name)
}

// Has reports whether there is a sound or tone with this name.
func (ss *Sounds) Has(name string) bool { _, ok := ss.named(name); return ok }

// Length returns how long a sound lasts, or 0 if there is none with this name.
func (ss *Sounds) Length(name string) time.Duration {
	sound, ok := ss.named(name)
	if !ok {
		return 0
	}
	return sound.Duration()
}

// Hash returns the SHA-256 of a sound's samples as µ-law, in hexadecimal.
func (ss *Sounds) Hash(name string) string {
	sound, ok := ss.named(name)
	if !ok {
		return ""
	}
	sum := sha256.Sum256(sound.In(audio.ULaw))
	return hex.EncodeToString(sum[:])
}

// Heard returns the name of our sound that a side hears, or "" if there is none.
func (ss *Sounds) Heard(side media.Side) string {
	if v := ss.voices[side]; v != nil {
		return v.name
	}
	return ""
}

// onPlayed handles the end of a sound. It ignores a sound that has been replaced.
func (ss *Sounds) onPlayed(f media.EventPlayed) {
	if v := ss.voices[f.Side]; v != nil && v.id == f.ID {
		if v.over != nil {
			v.over(f)
		}
		ss.voices[f.Side] = nil
	}
}
