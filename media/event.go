package media

import (
	"net/netip"
	"time"

	"flowbridge/media/answerer"
)

// Event is reported by a session through SessionConfig.OnEvent.
//
//sumtype:decl
type Event interface{ isEvent() }

// EventSilent says that no RTP was accepted from either side for Config.Timeout, or for Config.StartTimeout if there
// has been none yet. It is posted at most one time per session, never before Session.Start and never while a side is
// held. The time counts from the end of the last hold.
type EventSilent struct {
	Since time.Duration // how long there has been silence, at least the time-out
	Never bool          // there has been no RTP since Session.Start
}

// EventOneWay says that one side speaks and that nothing was accepted from the other side for three seconds. The time
// counts from the latest of these: Session.Start, the speaking side's first RTP, a side's change of address, the end of
// a hold or of Peer.Mute. The event is posted at most one time per session, and never after both sides have been heard.
type EventOneWay struct {
	Side Side // the silent side
}

// EventSideSilent says that a side which was heard sends no RTP although it owes some, so that it counts as silent, or,
// if Over is set, that this is over. See Silence.
type EventSideSilent struct {
	Side Side
	For  time.Duration // how long it has been silent
	Over bool
}

// EventHeard says that the silent side of an EventOneWay can now be heard.
type EventHeard struct{ Side Side }

// EventGone says that a side with ICE has given no sign of life for 30 s (RFC 7675): no valid check, no authentic
// packet. With Closed, it has closed its DTLS association and fell silent. It is posted at most once for a description.
type EventGone struct {
	Side   Side
	Closed bool
}

// EventLatched says that a side's RTP source is known and locked. It is posted for each lock: again after a change of
// peer or a new lock.
type EventLatched struct {
	Side   Side
	Source netip.AddrPort
}

// EventDigit says that a side pressed and released a key. It is posted for each key, and only for sides with
// Session.SetTelephoneEvents.
type EventDigit struct {
	Side     Side
	Digit    byte          // 0 to 9, *, #, A to D
	Duration time.Duration // as received
}

// EventFailed says that the media of a side can't go on. The call has no audio in either direction.
type EventFailed struct {
	Side Side
	Err  error
}

// EventPlayed says that a sound that was played to a side has come to its end. Sent says how much of it was sent.
type EventPlayed struct {
	Side Side
	ID   uint64 // the ID of the Play
	Sent Sent
}

// EventRestarted says that a whole sound that is played to a side begins again, because the side's RTP goes to another
// address from now on.
type EventRestarted struct {
	Side Side
	ID   uint64 // the ID of the Play
}

// EventAnsweredBy says what answered a side: a person or a machine (Session.DetectAnswer). Each detection posts it,
// unless the session ends first, and posts it again if a beep shows that it was a machine.
type EventAnsweredBy struct {
	Side Side
	answerer.Answer
}

// EventBeep ends the wait for a beep: either a beep followed by silence was heard, or no beep came in time. It follows
// EventAnsweredBy, at most one time per detection.
type EventBeep struct {
	Side Side
	answerer.Beep
}

// EventWithheld says that a side gets no more media until it is confirmed (Peer.Unconfirmed). It is posted at most once
// per side.
type EventWithheld struct{ Side Side }

// EventChanged says that the last Session.State is out of date: a source was locked, the stream to a side is rewritten
// differently, or SRTP packet numbers have advanced far. It is posted only after the first State, and then once until
// the next State. While packets wait for a state, it is repeated each second.
type EventChanged struct{}

func (EventChanged) isEvent()    {}
func (EventFailed) isEvent()     {}
func (EventPlayed) isEvent()     {}
func (EventRestarted) isEvent()  {}
func (EventSilent) isEvent()     {}
func (EventLatched) isEvent()    {}
func (EventDigit) isEvent()      {}
func (EventOneWay) isEvent()     {}
func (EventHeard) isEvent()      {}
func (EventSideSilent) isEvent() {}
func (EventWithheld) isEvent()   {}
func (EventGone) isEvent()       {}

func (EventAnsweredBy) isEvent() {}
func (EventBeep) isEvent()       {}
