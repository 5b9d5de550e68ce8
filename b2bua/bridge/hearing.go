package bridge

import (
	"slices"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Hearing is whether the agent is heard, by looks at the counts of packets, and whether it says something that the
// caller waits for.
type Hearing struct {
	at    time.Time // deadline of the next look; zero: nobody asks
	since time.Time // nothing was heard since
	rx    [2]uint64 // by side

	hushAt  time.Time     // deadline of the next look whether it says something; zero: nobody asks
	deadAir time.Duration // for how long it may say nothing
}

const (
	// deadAfter is for how long an agent may send no RTP, while the caller does, until it counts as dead. Platforms are
	// silent for five seconds while nothing is wrong: between two sentences, where they send no silence.
	deadAfter = 20 * time.Second
	// looksPerSilence is how often is looked within the time that makes silence a failure.
	looksPerSilence = 4
	// hushEvery is how often is looked at least whether an agent says something that is waited for.
	hushEvery = 250 * time.Millisecond
)

// NewHearing begins to look. deadAir is for how long the agent may say nothing; 0: as long as it likes.
func NewHearing(now time.Time, deadAir time.Duration) *Hearing {
	h := &Hearing{at: now.Add(deadAfter / looksPerSilence), since: now, deadAir: deadAir}
	if deadAir > 0 {
		h.hushAt = now.Add(deadAir)
	}
	return h
}

// Deadline is the time of the next look; zero: none is due.
func (h *Hearing) Deadline() time.Time {
	if h == nil {
		return time.Time{}
	}
	return leg.Earliest(h.at, h.hushAt)
}

// Look looks, if that is due. It returns why the agent counts as dead; None: it does not.
func (h *Hearing) Look(now time.Time, b *Bridge) cause.Cause {
	if h == nil {
		return cause.None
	}
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if due(h.hushAt) && h.isHushed(now, b) {
		return cause.DeadAir
	}
	if due(h.at) && h.isDead(now, b) {
		return cause.MediaTimeout
	}
	return cause.None
}

// isHushed reports whether the agent says nothing, while the caller waits for it.
func (h *Hearing) isHushed(now time.Time, b *Bridge) bool {
	waited := b.Talk.AgentWaited()
	h.hushAt = now.Add(max(h.deadAir-waited, hushEvery))
	return waited >= h.deadAir && b.Call.Connected() != nil && !b.Call.Moment().Transfer
}

// isDead looks whether the agent was heard since the last look. It reports whether its silence, in which the caller was
// heard, is too long. An agent that is not connected, or beside a transfer, need not be heard.
func (h *Hearing) isDead(now time.Time, b *Bridge) bool {
	h.at = now.Add(deadAfter / looksPerSilence)
	stats := b.Media.Stats()
	rx, before := [2]uint64{stats.A.RxPackets, stats.B.RxPackets}, h.rx
	h.rx = rx
	heard := rx[media.SideB] != before[media.SideB] || rx[media.SideA] == before[media.SideA]
	if heard || b.Call.Connected() == nil || b.Call.Moment().Transfer || !b.bothSpeak() ||
		b.Sounds.OnHold {
		h.since = now
	}
	return now.Sub(h.since) >= deadAfter
}

// bothSpeak reports whether neither side holds the other, so that both send RTP.
func (b *Bridge) bothSpeak() bool {
	return !slices.ContainsFunc(b.Agreement.Description[:], func(d *sdp.Description) bool {
		return d == nil || d.Direction() != sdp.SendRecv
	})
}
