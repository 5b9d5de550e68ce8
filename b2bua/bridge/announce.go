package bridge

import (
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/media"
	"flowbridge/media/audio"
)

// This file handles warm transfers: the called party hears a sound before it is connected, and accepts by pressing a
// key, or by listening to the end. Until then the caller hears the hold sound.

// Announce configures the announcement that the new party of a transfer hears.
type Announce struct {
	Sound  string        // one of the configuration's sounds or audio.Tones; empty means no announcement
	Accept string        // the only key that accepts the call; empty means the call is accepted when the sound ends
	Within time.Duration // time limit for accepting; 0 means acceptWithin
}

// acceptWithin is the time limit for accepting, unless the transfer request sets another one.
const acceptWithin = 20 * time.Second

// Announcement is the state of the announcement that is in progress, if any. The zero value means none.
type Announcement struct {
	idle
	what   Announce // what to play; nothing is in progress if its Sound is empty
	sound  *audio.Sound
	speaks bool // the sound is playing, and the party's keys count as its decision
	until  time.Time
}

// Announced means that a party has heard its announcement. Accepted reports whether it takes the call.
type Announced struct{ Accepted bool }

// Check returns an error if this announcement is not possible. It returns nil for an Announce without a sound.
func (a *Announcement) Check(what Announce) error {
	switch _, ok := a.bridge.Sounds.named(what.Sound); {
	case what.Sound == "" && (what.Accept != "" || what.Within != 0):
		return &OrderError{"there is nothing to accept without an announcement", "name a sound as announce", 400}
	case what.Sound == "":
		return nil
	case !ok:
		return noSound(what.Sound)
	case what.Accept != "" && (len(what.Accept) > 1 || strings.Trim(what.Accept, keys) != ""):
		return &OrderError{"accept is not a key", "send one of 0 to 9, *, # and A to D", 400}
	case what.Within < 0 || what.Within > 5*time.Minute:
		return &OrderError{"nobody can take so long to accept", "send at most 300000 ms", 400}
	}
	return a.bridge.Sounds.canHear(media.SideA)
}

// Begin stops the sides from hearing each other, because the new party has answered. The announcement is played later,
// by Speak.
func (a *Announcement) Begin(what Announce) {
	a.what = what
	a.sound, _ = a.bridge.Sounds.named(what.Sound)
	if a.Underway() {
		a.bridge.Sounds.apart = a.wanted
	}
	a.bridge.Sounds.update() // the caller must not hear the new party yet
}

// Speak plays the announcement, because the new party can now be heard. It returns false if the party can't hear the
// sound.
func (a *Announcement) Speak() bool {
	b := a.bridge
	if b.Sounds.canHear(media.SideB) != nil {
		return false
	}
	a.speaks, b.Digits.decides, a.until = true, true, time.Now().Add(acceptWithin)
	if a.what.Within > 0 {
		a.until = time.Now().Add(a.what.Within)
	}
	b.Tell(described{}) // makes the media report the party's keys
	return true
}

// End lets the sides hear each other again.
func (a *Announcement) End() {
	a.bridge.Sounds.apart, a.bridge.Digits.decides = nil, false
	*a = Announcement{idle: a.idle}
}

func (a *Announcement) end() { a.End() }

func (a *Announcement) deadline() time.Time { return a.until }
func (a *Announcement) due(time.Time)       { a.over(false) }

func (a *Announcement) on(e Event) (handled bool) {
	k, is := e.(media.EventDigit)
	return is && a.key(k.Side, k.Digit)
}

// Underway reports whether the sides are kept apart.
func (a *Announcement) Underway() bool { return a.what.Sound != "" }

// wanted returns the sound that a side hears during the announcement.
func (a *Announcement) wanted(side media.Side) *voice {
	if side == media.SideA {
		return a.bridge.Sounds.music()
	}
	if !a.speaks {
		return a.bridge.Sounds.silence()
	}
	return &voice{name: a.what.Sound, sound: a.sound, loop: a.what.Accept != "", over: func() { a.over(true) }}
}

// over posts the party's decision, if it has not been posted yet.
func (a *Announcement) over(accepted bool) {
	if a.speaks {
		a.speaks, a.bridge.Digits.decides, a.until = false, false, time.Time{}
		a.bridge.Call.Post(Announced{accepted})
	}
}

// key handles a key of the new party. If one key accepts, every other key declines; without such a key, keys do
// nothing.
func (a *Announcement) key(side media.Side, digit byte) (handled bool) {
	if !a.Underway() || side != media.SideB {
		return false
	}
	if a.what.Accept != "" {
		a.over(a.what.Accept == string(digit))
	}
	return true
}

// Asked handles a key of the new party that arrives in an INFO request.
func (a *Announcement) Asked(from *Half, req *sip.Request) (handled bool) {
	content := contentOf(req)
	digit, _, ok := message.ParseDTMFInfo(content.ContentType, content.Body)
	if req.Method != sip.INFO || !ok || !a.key(from.Side, digit) {
		return false
	}
	a.bridge.Reply(from, req, 200)
	return true
}
