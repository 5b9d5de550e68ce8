package media

import "time"

// note is what a session knows of its states that were taken.
type note struct {
	kept    bool          // there is one
	asked   bool          // EventChanged was posted since the last
	resumed uint8         // SessionState.Resumed
	paused  bool          // resumed so, and no state was taken since
	again   time.Duration // when EventChanged may be posted again
}

// askAgain is how long after an EventChanged the next one comes if packets wait for the state.
const askAgain = time.Second

// outdates reports whether a flow's change is one that a state has to know, and that the session's owner does not.
func outdates(was, is course) bool {
	return is.Source.IsValid() && (is.Source != was.Source || is.SSRC != was.SSRC) ||
		is.Rewrite.SSRC != was.Rewrite.SSRC || is.Rewrite.SeqOffset != was.Rewrite.SeqOffset ||
		is.Rewrite.TimeOffset != was.Rewrite.TimeOffset
}

// outdated asks for a state, if there was one.
func (r *relay) outdated() {
	if r.note.kept && !r.note.asked {
		r.note.asked = true
		r.post(EventChanged{})
	}
}

// awaited asks for a state that packets wait for.
func (r *relay) awaited(now time.Duration) {
	if now >= r.note.again {
		r.note.asked, r.note.again = true, now+askAgain
		r.post(EventChanged{})
	}
}
