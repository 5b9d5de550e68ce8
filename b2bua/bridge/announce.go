package bridge

import (
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/media"
	"flowbridge/media/audio"
)

// A warm transfer: who answers hears a sound before it is connected, and agrees by a key, or by listening to its end.
// Until then the caller hears the hold sound.

// Announce is what a party hears that a call is transferred to.
type Announce struct {
	Sound  string        // of the configuration's sounds, or one of audio.Tones; empty means it is connected at once
	Accept string        // the key by which it takes the call; empty means it takes it when the sound is over
	Within time.Duration // how long it may take for that; 0 means acceptWithin
}

// acceptWithin is how long a party may take to accept, unless the order says otherwise.
const acceptWithin = 20 * time.Second

// Announcement is the one under way.
type Announcement struct {
	idle
	what   Announce // without a sound: there is none
	sound  *audio.Sound
	speaks bool // the party can be heard, and hears the sound
	until  time.Time
}

// Announced says that a party has heard its announcement, and whether it takes the call.
type Announced struct{ Accepted bool }

// Check says why something can't be announced.
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

// Begin keeps the sides apart: the new party has answered.
func (a *Announcement) Begin(what Announce) {
	a.what = what
	a.sound, _ = a.bridge.Sounds.named(what.Sound)
	a.bridge.Sounds.update() // before it is heard
}

// Speak plays the announcement: the new party can be heard. False means it can't hear it.
func (a *Announcement) Speak() bool {
	b := a.bridge
	if b.Sounds.canHear(media.SideB) != nil {
		return false
	}
	a.speaks, a.until = true, time.Now().Add(acceptWithin)
	if a.what.Within > 0 {
		a.until = time.Now().Add(a.what.Within)
	}
	b.Tell(described{}) // its keys are listened for
	return true
}

// End lets the sides hear each other again.
func (a *Announcement) End() { *a = Announcement{idle: a.idle} }

func (a *Announcement) end() { a.End() }

func (a *Announcement) deadline() time.Time { return a.until }
func (a *Announcement) due(time.Time)       { a.over(false) }

func (a *Announcement) on(e Event) (taken bool) {
	k, is := e.(media.EventDigit)
	return is && a.key(k.Side, k.Digit)
}

// Underway reports whether the sides are kept apart.
func (a *Announcement) Underway() bool { return a.what.Sound != "" }

// wanted returns the sound that a side hears until then.
func (a *Announcement) wanted(side media.Side) *voice {
	if side == media.SideA {
		return a.bridge.Sounds.music()
	}
	if !a.speaks {
		return a.bridge.Sounds.silence()
	}
	return &voice{name: a.what.Sound, sound: a.sound, loop: a.what.Accept != "", over: func() { a.over(true) }}
}

// over posts what the party has decided, once.
func (a *Announcement) over(accepted bool) {
	if a.speaks {
		a.speaks, a.until = false, time.Time{}
		a.bridge.Call.Post(Announced{accepted})
	}
}

// key takes a key of the new party: any other than the one to accept declines.
func (a *Announcement) key(side media.Side, digit byte) (taken bool) {
	if !a.Underway() || side != media.SideB {
		return false
	}
	if a.what.Accept != "" {
		a.over(a.what.Accept == string(digit))
	}
	return true
}

// Asked takes a key of the new party that comes as INFO.
func (a *Announcement) Asked(from *Half, req *sip.Request) (taken bool) {
	content := contentOf(req)
	digit, _, ok := message.ParseDTMFInfo(content.ContentType, content.Body)
	if req.Method != sip.INFO || !ok || !a.key(from.Side, digit) {
		return false
	}
	a.bridge.Reply(from, req, 200)
	return true
}
