package bridge

import (
	"time"

	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Hearing is whether the agent is heard, by looks at the counts of packets.
type Hearing struct {
	At    time.Time // deadline of the next look; zero: nobody asks
	since time.Time // nothing was heard since
	rx    [2]uint64 // by side
}

const (
	// deadAfter is for how long an agent may send no RTP, while the caller does, until it counts as dead. Platforms are
	// silent for five seconds while nothing is wrong: between two sentences, where they send no silence.
	deadAfter = 20 * time.Second
	// looksPerSilence is how often is looked within the time that makes silence a failure.
	looksPerSilence = 4
)

// Begin begins to look.
func (h *Hearing) Begin(now time.Time) {
	*h = Hearing{At: now.Add(deadAfter / looksPerSilence), since: now}
}

// IsDead looks whether the agent was heard since the last look. It reports whether its silence, in which the caller was
// heard, is too long. An agent that is not connected, or beside a transfer, need not be heard.
func (h *Hearing) IsDead(now time.Time, b *Bridge) bool {
	h.At = now.Add(deadAfter / looksPerSilence)
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
	for _, d := range b.Agreement.Description {
		if d == nil || d.Direction() != sdp.SendRecv {
			return false
		}
	}
	return true
}
