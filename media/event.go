package media

import (
	"net/netip"
	"time"
)

// Event is something a session tells its owner of, through
// SessionConfig.OnEvent.
//
//sumtype:decl
type Event interface{ isEvent() }

// EventSilent says that no RTP was accepted from either side for
// Config.Timeout, or Config.StartTimeout where there was none yet. It comes at
// most once in a session's life, never before Session.Start and never while a
// side is held; when the last hold is lifted, the time counts from then.
type EventSilent struct {
	Since time.Duration // how long it has been silent, at least the time-out
	Never bool          // there was none at all since Session.Start
}

// EventOneWay says that one side speaks and nothing at all was accepted from the
// other for three seconds: since Session.Start, the other side's first RTP, a
// side's change of address, or the end of a hold or Peer.Mute, whichever came
// last. It comes at most once in a session's life, and not once both were heard.
type EventOneWay struct {
	Side Side // that nothing is heard from
}

// EventHeard says that the side of an EventOneWay is heard after all.
type EventHeard struct{ Side Side }

// EventLatched says that a side's RTP source is now known and locked. It comes
// once per lock, so again after a change of peer or a re-lock.
type EventLatched struct {
	Side   Side
	Source netip.AddrPort
}

// EventDigit says that a side has pressed a key, after it was released. It comes
// once per key, and only of sides with Session.SetTelephoneEvents.
type EventDigit struct {
	Side     Side
	Digit    byte          // 0 to 9, *, #, A to D
	Duration time.Duration // as far as it was heard
}

// EventPlayed says that a sound towards a side has come to its end by itself.
type EventPlayed struct {
	Side Side
	ID   uint64 // of its Play
}

func (EventPlayed) isEvent()  {}
func (EventSilent) isEvent()  {}
func (EventLatched) isEvent() {}
func (EventDigit) isEvent()   {}
func (EventOneWay) isEvent()  {}
func (EventHeard) isEvent()   {}
