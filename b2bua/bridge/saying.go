package bridge

import (
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/media"
	"flowbridge/media/audio"
)

// This file says something to one party while the two sides do not hear each other: a warm transfer's announcement to
// the party that was called, or the statement to a caller before there is an agent (routes[].tell).

// Statement is a sound that a party has to hear, and what it may answer.
type Statement struct {
	To    media.Side
	Sound string // one of the configuration's sounds or audio.Tones; empty means none
	// Accept is the only key that accepts. Empty means that the end of the sound accepts.
	Accept string
	Within time.Duration // how long the party may take to press it; 0 means acceptWithin
	// Whole means that the sound is said once and to its end. It restarts if the party holds the call or moves to another
	// address before the end. Within counts from the end. Otherwise the sound is repeated until a key is pressed, and
	// Within counts from the beginning.
	Whole bool
}

// Announce configures the announcement that the new party of a transfer hears.
type Announce struct {
	Sound  string        // as Statement.Sound
	Accept string        // as Statement.Accept
	Within time.Duration // as Statement.Within
}

// Statement returns what the party that was called hears.
func (a Announce) Statement() Statement {
	return Statement{To: media.SideB, Sound: a.Sound, Accept: a.Accept, Within: a.Within}
}

// acceptWithin is the time limit for accepting, unless the statement sets another one.
const acceptWithin = 20 * time.Second

// Saying is the statement that is in progress, if any. The zero value means none.
type Saying struct {
	idle
	what   Statement // nothing is in progress if its Sound is empty
	sound  *audio.Sound
	speaks bool // the sound is playing or was, and the party's keys count as its decision
	key    byte // the key that was pressed during a whole sound; 0 if none
	sent   media.Sent
	spoken bool // the whole sound has been said
	until  time.Time

	from media.Sent // what an old process has said of the sound

	talk *media.Overtalk // hears whether the party speaks during a whole sound; nil if there is none
}

// Said means that a party has decided, or has heard the statement without being asked.
type Said struct {
	To       media.Side
	Accepted bool
	Key      string     // the key that it pressed; empty if none
	Sent     media.Sent // of a whole sound
}

// Told means that the whole statement was sent to the caller, and that the caller has accepted if it was asked.
type Told struct{}

// Rerouted means that another route takes the call, because the caller does not accept.
type Rerouted struct{}

// Check returns an error if this announcement is not possible. It returns nil for an Announce without a sound.
func (s *Saying) Check(what Announce) error {
	switch _, ok := s.bridge.Sounds.named(what.Sound); {
	case what.Sound == "" && (what.Accept != "" || what.Within != 0):
		return &OrderError{"there is nothing to accept without an announcement", "name a sound as announce", 400}
	case what.Sound == "":
		return nil
	case !ok:
		return noSound(what.Sound)
	case what.Accept != "" && (len(what.Accept) > 1 || strings.Trim(what.Accept, keys) != ""):
		return &OrderError{"accept is not a key", "send one of 0 to 9, *, # and A to D", 400}
	case what.Within < 0 || what.Within > 5*time.Minute:
		return &OrderError{"the time to accept is too long", "send at most 300000 ms", 400}
	}
	return s.bridge.Sounds.canHear(media.SideA)
}

// Begin keeps the sides apart. The sound is said later, by Speak.
func (s *Saying) Begin(what Statement) {
	*s = Saying{idle: s.idle, what: what, talk: s.talk}
	s.sound, _ = s.bridge.Sounds.named(what.Sound)
	if s.Underway() {
		s.bridge.Sounds.apart = s.wanted
		s.holdBack(true)
	}
	s.bridge.Sounds.update() // the sides must not hear each other first
}

// holdBack keeps what the other side says, if it must not be lost: an agent's greeting that comes too early.
func (s *Saying) holdBack(on bool) {
	if m := s.bridge.Media.session; m != nil && s.what.To == media.SideA {
		m.HoldBack(media.SideB, on)
	}
}

// RestartHoldBack drops the packets that are held of an earlier agent. From now on the present agent is held back.
func (s *Saying) RestartHoldBack() { s.holdBack(true) }

// ReleaseHoldBack lets the other side be heard, whose words an old process's statement holds back.
func (s *Saying) ReleaseHoldBack() {
	if m := s.bridge.Media.session; m != nil {
		m.HoldBack(media.SideB, false)
	}
}

// Resume continues where an old process has stopped in the sound, with the key that was pressed by then; 0 if none.
func (s *Saying) Resume(at media.Sent, key byte) { s.from, s.key = at, key }

// Pressed returns the key that the party has pressed during the whole sound, of which so much is sent; 0 if none. If
// the party has moved, and the event of that is still to come, the key was pressed at the earlier address. It does not
// count then.
func (s *Saying) Pressed(sent media.Sent) byte {
	if v := s.voice(); v != nil && sent.Restarts > v.restarts {
		return 0
	}
	return s.key
}

// Speak says the sound, because the party can now be heard. It returns false if the party can't hear the sound.
func (s *Saying) Speak() bool {
	b, side := s.bridge, s.what.To
	if b.Sounds.canHear(side) != nil {
		return false
	}
	s.speaks, b.Digits.decides[side] = true, true
	if !s.what.Whole {
		s.limit()
	} else if s.talk == nil {
		s.talk = &media.Overtalk{Side: side}
		b.Media.tap(s, s.talk)
	}
	b.Tell(described{}) // makes the media report the party's keys
	return true
}

// limit starts the time limit for accepting.
func (s *Saying) limit() {
	s.until = time.Now().Add(acceptWithin)
	if s.what.Within > 0 {
		s.until = time.Now().Add(s.what.Within)
	}
}

// Ends returns when the whole sound will have been said, or zero if it is not playing.
func (s *Saying) Ends() (at time.Time) {
	if v := s.voice(); v != nil {
		at = v.since.Add(s.sound.Duration() - s.from.At)
	}
	return at
}

// voice returns the sound as it is being said, or nil.
func (s *Saying) voice() *voice {
	if v := s.bridge.Sounds.voices[s.what.To]; v != nil && s.Underway() && v.sound == s.sound {
		return v
	}
	return nil
}

// Progress returns how much of the sound has been said so far.
func (s *Saying) Progress() media.Sent {
	if v := s.voice(); v != nil {
		if id, now := s.bridge.Media.session.Playing(s.what.To); id == v.id {
			return sumOf(s.from, now)
		}
	}
	return s.sent
}

// TalkedOver reports whether the party has spoken since the beginning of the whole sound.
func (s *Saying) TalkedOver() bool { return s.talk != nil && s.talk.Spoke(time.Now()) }

// sumOf returns what two processes have said of one sound. If the party has moved since, it has heard only what this
// process has said at its last address.
func sumOf(before, now media.Sent) media.Sent {
	if now.Restarts > 0 {
		return now
	}
	now.Packets, now.Missed = before.Packets+now.Packets, before.Missed+now.Missed
	if !before.First.IsZero() {
		now.First = before.First
	}
	return now
}

// End lets the sides hear each other again.
func (s *Saying) End() {
	if s.Underway() {
		s.holdBack(false)
	}
	s.end()
}

// end forgets the statement, without releasing held packets: the call ends.
func (s *Saying) end() {
	if s.Underway() {
		s.bridge.Media.tap(s)
	}
	s.bridge.Sounds.apart, s.bridge.Digits.decides[s.what.To] = nil, false
	*s = Saying{idle: s.idle}
}

func (s *Saying) deadline() time.Time { return s.until }
func (s *Saying) due(time.Time)       { s.over(false) }

func (s *Saying) on(e Event) (handled bool) {
	switch e := e.(type) {
	case media.EventDigit:
		return s.pressed(e.Side, e.Digit)
	case media.EventRestarted:
		s.redirected(e)
		return true
	case cut:
		if e.side == s.what.To {
			s.restarts() // at another address
		}
	case described:
		if s.what.Whole && s.speaks && !s.hears() {
			s.restarts()
		}
	}
	return false
}

// restarts makes the sound begin again. Whoever hears it then has to press the key.
func (s *Saying) restarts() {
	if s.from = (media.Sent{}); !s.spoken {
		s.key = 0
	}
}

// redirected handles that the media has begun the sound again, at another address of the party. A party that has no
// time limit of its own gets the time of the whole sound once more.
func (s *Saying) redirected(e media.EventRestarted) {
	if !s.Says(e.Side, e.ID) {
		return
	}
	v := s.voice()
	v.from, v.played.From, v.since = 0, 0, time.Now() // what it plays now, so that no update plays it once more
	v.restarts++
	s.restarts()
	if !s.what.Whole && v.restarts == 1 {
		s.limit()
	}
}

// Says reports whether the sound that a side hears by this id is the sound, and not what keeps the sides apart.
func (s *Saying) Says(side media.Side, id uint64) bool {
	v := s.voice()
	return v != nil && v.id == id && side == s.what.To
}

// TellsCaller reports whether the caller hears a statement, or is about to.
func (s *Saying) TellsCaller() bool { return s.Underway() && s.what.To == media.SideA }

// Underway reports whether the sides are kept apart.
func (s *Saying) Underway() bool { return s.what.Sound != "" }

// wanted returns the sound that a side hears while the sides are kept apart.
func (s *Saying) wanted(side media.Side) *voice {
	ss := &s.bridge.Sounds
	switch {
	case side != s.what.To && side == media.SideA:
		return ss.music()
	case side == s.what.To && s.speaks && !s.spoken && (!s.what.Whole || s.hears()):
		return &voice{
			name: s.what.Sound, sound: s.sound, loop: s.what.Accept != "" && !s.what.Whole, from: s.from.At,
			whole: true, over: s.played,
		}
	}
	return ss.silence()
}

// hears reports whether the party can hear a sound now: it has an address and keys, and does not hold the call.
func (s *Saying) hears() bool {
	b, side := s.bridge, s.what.To
	d, h := b.Agreement.Description[side], b.Call.Half(side)
	return d != nil && d.RTP().IsValid() && !d.Held() && h != nil && !h.Crypto.Awaits()
}

// played handles the end of the sound.
func (s *Saying) played(e media.EventPlayed) {
	if !s.what.Whole {
		s.over(true)
		return
	}
	s.spoken, s.sent = true, sumOf(s.from, e.Sent)
	switch {
	case s.what.Accept == "":
		s.over(true)
	case s.key != 0:
		s.over(s.what.Accept == string(s.key))
	default:
		s.limit()
	}
}

// over posts the party's decision, if it has not been posted yet.
func (s *Saying) over(accepted bool) {
	if s.speaks {
		s.speaks, s.bridge.Digits.decides[s.what.To], s.until = false, false, time.Time{}
		said := Said{To: s.what.To, Accepted: accepted, Sent: s.sent}
		if s.key != 0 {
			said.Key = string(s.key)
		}
		s.bridge.Call.Post(said)
	}
}

// pressed handles a key of the party. If one key accepts, every other key declines; without such a key, keys do
// nothing.
func (s *Saying) pressed(side media.Side, digit byte) (handled bool) {
	if !s.Underway() || side != s.what.To {
		return false
	}
	if s.what.Accept != "" && s.speaks {
		s.key = digit
		if !s.what.Whole || s.spoken {
			s.over(s.what.Accept == string(digit))
		}
	}
	return true
}

func (s *Saying) asked(from *Half, req *sip.Request) (handled bool) { return s.Asked(from, req) }

// Asked handles a key of the party that arrives in an INFO request.
func (s *Saying) Asked(from *Half, req *sip.Request) (handled bool) {
	content := contentOf(req)
	digit, _, ok := message.ParseDTMFInfo(content.ContentType, content.Body)
	if req.Method != sip.INFO || !ok || !s.pressed(from.Side, digit) {
		return false
	}
	s.bridge.Reply(from, req, 200)
	return true
}
