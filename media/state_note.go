package media

import "time"

// note records when the session's state was taken, and when a new one was asked for.
type note struct {
	kept    bool          // a state was taken
	asked   bool          // EventChanged was posted since the last state
	resumed uint8         // SessionState.Resumed
	paused  bool          // like SessionState.Paused
	again   time.Duration // the earliest time at which EventChanged may be posted again
}

// askAgain is the time between two EventChanged while packets wait for the state.
const askAgain = time.Second

// outdates reports whether a change of a flow makes the last state out of date without the knowledge of the
// session's owner.
func outdates(was, is course) bool {
	return is.Source.IsValid() && (is.Source != was.Source || is.SSRC != was.SSRC) ||
		is.Rewrite.SSRC != was.Rewrite.SSRC || is.Rewrite.SeqOffset != was.Rewrite.SeqOffset ||
		is.Rewrite.TimeOffset != was.Rewrite.TimeOffset
}

// outdated asks for a new state with EventChanged, if a state was taken before.
func (r *relay) outdated() {
	if r.note.kept && !r.note.asked {
		r.note.asked = true
		r.post(EventChanged{})
	}
}

// awaited asks for a new state with EventChanged, because packets wait for it.
func (r *relay) awaited(now time.Duration) {
	if now >= r.note.again {
		r.note.asked, r.note.again = true, now+askAgain
		r.post(EventChanged{})
	}
}
