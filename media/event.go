package media

import (
	"net/netip"
	"time"

	"flowbridge/media/answerer"
)

// Event is what a session reports through SessionConfig.OnEvent.
//
//sumtype:decl
type Event interface{ isEvent() }

// EventSilent says that no RTP was accepted from either side for Config.Timeout, or Config.StartTimeout if there was
// none yet. It comes at most once in a session's life, never before Session.Start and never while a side is held. The
// time counts from the end of the last hold.
type EventSilent struct {
	Since time.Duration // how long it has been silent, at least the time-out
	Never bool          // there was none at all since Session.Start
}

// EventOneWay says that one side speaks and nothing was accepted from the other for three seconds. The time counts
// from the latest of these: Session.Start, the speaking side's first RTP, a side's change of address, the end of a
// hold or of Peer.Mute. The event comes at most once in a session's life, and not after both sides were heard.
type EventOneWay struct {
	Side Side // that nothing is heard from
}

// EventHeard says that the side of an EventOneWay is heard now.
type EventHeard struct{ Side Side }

// EventLatched says that a side's RTP source is known and locked. It comes once per lock: again after a change of
// peer or a new lock.
type EventLatched struct {
	Side   Side
	Source netip.AddrPort
}

// EventDigit says that a side has pressed and released a key. It comes once per key, and only from sides with
// Session.SetTelephoneEvents.
type EventDigit struct {
	Side     Side
	Digit    byte          // 0 to 9, *, #, A to D
	Duration time.Duration // as far as it was heard
}

// EventPlayed says that a sound towards a side has reached its end.
type EventPlayed struct {
	Side Side
	ID   uint64 // of its Play
}

// EventAnsweredBy says who answered a side (Session.DetectAnswer). It comes once per detection, unless the session ends
// before.
type EventAnsweredBy struct {
	Side Side
	answerer.Answer
}

// EventBeep ends the wait for a beep: a beep and then silence were heard, or no beep came in time. It comes after
// EventAnsweredBy, at most once per detection.
type EventBeep struct {
	Side Side
	answerer.Beep
}

// EventWithheld says that a side is sent no more media until it is confirmed (Peer.Unconfirmed). It comes at most once
// per side.
type EventWithheld struct{ Side Side }

// EventChanged says that the last Session.State does not suffice any more: a source was locked, what is sent to a side
// follows another rule, or packet numbers of SRTP have gone far. It comes
// after the first State only, and once until the next one. It comes again each second while packets wait for that.
type EventChanged struct{}

func (EventChanged) isEvent()  {}
func (EventPlayed) isEvent()   {}
func (EventSilent) isEvent()   {}
func (EventLatched) isEvent()  {}
func (EventDigit) isEvent()    {}
func (EventOneWay) isEvent()   {}
func (EventHeard) isEvent()    {}
func (EventWithheld) isEvent() {}

func (EventAnsweredBy) isEvent() {}
func (EventBeep) isEvent()       {}
