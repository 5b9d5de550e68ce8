package call

import (
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/snapshot"
)

// times holds the times of a call, with monotonic readings, because the clock may be set during a call. Zero means
// not yet, or no limit.
type times struct {
	started, answered time.Time
	until             [limits]time.Time // deadlines
}

// limit is a time limit of a call.
type limit int

const (
	setup    limit = iota // of the set-up
	expires               // of the INVITE, by its Expires header (RFC 3261 section 13.3.1)
	duration              // of the answered call
	limits
)

// cause returns why a call ends at its limit.
func (l limit) cause() cause.Cause {
	return [limits]cause.Cause{setup: cause.SetupTimeout, expires: cause.Expired, duration: cause.MaxDuration}[l]
}

// answer notes that the call is answered now, which ends its set-up. No duration means no limit.
func (t *times) answer(now time.Time, longest time.Duration) {
	t.answered = now
	t.unlimit(setup, expires)
	if longest > 0 {
		t.limit(duration, now, longest)
	}
}

// limit sets a time limit, which counts from a time.
func (t *times) limit(which limit, from time.Time, d time.Duration) { t.until[which] = from.Add(d) }

// shorten sets a time limit, unless that is shorter already.
func (t *times) shorten(which limit, from time.Time, d time.Duration) {
	t.until[which] = leg.Earliest(t.until[which], from.Add(d))
}

// unlimit removes time limits.
func (t *times) unlimit(all ...limit) {
	for _, which := range all {
		t.until[which] = time.Time{}
	}
}

// pause removes a time limit and returns what is left of it.
func (t *times) pause(which limit, now time.Time) (left time.Duration) {
	left = t.until[which].Sub(now)
	t.unlimit(which)
	return left
}

// deadline returns the earliest time limit, or zero.
func (t *times) deadline() time.Time { return leg.Earliest(t.until[:]...) }

// passed removes the time limits that have passed, and returns them.
func (t *times) passed(now time.Time) (all []limit) {
	for which, at := range t.until {
		if isDue(at, now) {
			t.unlimit(limit(which))
			all = append(all, limit(which))
		}
	}
	return all
}

func (t *times) save(k *snapshot.Times) {
	k.Started, k.Answered = leg.InstantOf(t.started), leg.InstantOf(t.answered)
	k.Until, k.SetupUntil = leg.InstantOf(t.until[duration]), leg.InstantOf(t.until[setup])
}

func (t *times) restore(k *snapshot.Times) {
	t.answered = leg.TimeOf(k.Answered)
	t.until[duration], t.until[setup] = leg.TimeOf(k.Until), leg.TimeOf(k.SetupUntil)
	t.until[expires] = time.Time{} // no longer applies, because the INVITE was answered
}
