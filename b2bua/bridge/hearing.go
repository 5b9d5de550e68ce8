package bridge

import (
	"slices"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Hearing detects, by the packet counts, an agent that sends no media, and an agent that says nothing while the caller
// waits for it.
type Hearing struct {
	at    time.Time // next check of the packets; zero means no checks
	since time.Time // when the agent was last heard
	rx    [2]uint64 // packet counts by side

	hushAt  time.Time     // next check for speech; zero means no checks
	deadAir time.Duration // how long the agent may say nothing
}

const (
	// deadAfter is how long an agent may send no RTP, while the caller sends some, before it counts as dead. Healthy
	// platforms that send no packets for silence may pause for five seconds between two sentences.
	deadAfter = 20 * time.Second
	// looksPerSilence is the number of packet checks within deadAfter.
	looksPerSilence = 4
	// hushEvery is the shortest interval between two checks for speech.
	hushEvery = 250 * time.Millisecond
)

// NewHearing begins the checks. deadAir is how long the agent may say nothing; 0 means no limit.
func NewHearing(now time.Time, deadAir time.Duration) *Hearing {
	h := &Hearing{at: now.Add(deadAfter / looksPerSilence), since: now, deadAir: deadAir}
	if deadAir > 0 {
		h.hushAt = now.Add(deadAir)
	}
	return h
}

// Deadline returns the time of the next check, or zero if there is none.
func (h *Hearing) Deadline() time.Time {
	if h == nil {
		return time.Time{}
	}
	return leg.Earliest(h.at, h.hushAt)
}

// Look does the checks that are due. It returns the cause if the agent counts as dead, and otherwise cause.None.
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

// isHushed reports whether the agent has said nothing for too long while the caller waits for it.
func (h *Hearing) isHushed(now time.Time, b *Bridge) bool {
	waited := b.Talk.DeadAir()
	h.hushAt = now.Add(max(h.deadAir-waited, hushEvery))
	return waited >= h.deadAir && b.Call.Connected() != nil && !b.Call.Moment().Transfer
}

// isDead reports whether the agent has been silent for too long while the caller was heard. It does not count the time
// when no agent is connected, when a side is on hold, or during a transfer.
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

// bothSpeak reports whether neither side is on hold, so that both should send RTP.
func (b *Bridge) bothSpeak() bool {
	return !slices.ContainsFunc(b.Agreement.Description[:], func(d *sdp.Description) bool {
		return d == nil || d.Direction() != sdp.SendRecv
	})
}
