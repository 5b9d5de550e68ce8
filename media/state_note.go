package media

import "time"

// note is what a session knows about the states taken of it.
type note struct {
	kept    bool          // a state was taken
	asked   bool          // EventChanged was posted since the last state
	resumed uint8         // SessionState.Resumed
	paused  bool          // resumed by such a process, and no state has been taken since
	again   time.Duration // when EventChanged may be posted again
}

// askAgain is how long after an EventChanged the next one comes while packets wait for the state.
const askAgain = time.Second

// outdates reports whether a change of a flow makes the last state out of date without the session's owner knowing.
func outdates(was, is course) bool {
	return is.Source.IsValid() && (is.Source != was.Source || is.SSRC != was.SSRC) ||
		is.Rewrite.SSRC != was.Rewrite.SSRC || is.Rewrite.SeqOffset != was.Rewrite.SeqOffset ||
		is.Rewrite.TimeOffset != was.Rewrite.TimeOffset
}

// outdated asks for a new state, if there was one.
func (r *relay) outdated() {
	if r.note.kept && !r.note.asked {
		r.note.asked = true
		r.post(EventChanged{})
	}
}

// awaited asks for a state for which packets are waiting.
func (r *relay) awaited(now time.Duration) {
	if now >= r.note.again {
		r.note.asked, r.note.again = true, now+askAgain
		r.post(EventChanged{})
	}
}
