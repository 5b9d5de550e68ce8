package stage

import (
	"time"

	"flowbridge/media/opus"
)

const (
	// A pause by DTX begins with a packet without voice, and another one comes every 400 ms (RFC 7587 section 3.1.3). The
	// pause is filled from fillAfter after the end of that packet's audio until fillUntil after the packet. Before the
	// side has shown that it uses DTX, it is filled from fillFirst, and within the pause from fillAgain. Any other hole is
	// left to the receiver: what is missing there may still come.
	fillFirst = 200 * time.Millisecond
	fillAfter = 80 * time.Millisecond
	fillAgain = 20 * time.Millisecond
	fillUntil = 500 * time.Millisecond

	fillEvery = 20 * time.Millisecond

	frameLen = opus.Frame

	// shiftMost is how much later than in real time speech may be sent on, in samples, because a pause was filled that was
	// over already.
	shiftMost = opus.Rate / 5
)

// pauses says how the pauses of a side are filled. Late speech is sent on behind what fills its place, which shifts the
// stream against the side's clock. The next pause takes back what the path is not slower by.
type pauses struct {
	dtx    bool          // the side uses DTX
	fill   time.Duration // when to start filling if no packet comes
	filled bool          // whether filling has stopped until the next packet
	ahead  int           // samples before inward.clock that fill a pause, in place of late packets without voice

	shift  int           // in samples
	early  int           // those of shift by which the stream was ahead of real time at the last packet
	real8  uint32        // timestamp of the stream in real time,
	realAt time.Duration // and when that was
}

// due returns when attend must be called without a packet.
func (in *inward) due() time.Duration {
	if in.order.count == 0 && in.heard && !in.filled && !in.edge.broken {
		return in.fill
	}
	return in.order.due()
}

// attend fills a pause, and gives up waiting for missing packets.
func (in *inward) attend(now time.Duration) {
	in.order.drain(now, false)
	in.filled = now-in.last >= fillUntil
	if in.due() <= now { // nothing is held
		if in.budget.affords(frameLen, false, now) {
			in.conceal(frameLen, nil, now)
			in.ahead += frameLen
		}
		in.fill = now + fillEvery
	}
}

// judge reports whether a packet behind this gap is part of a pause, and whether of one that is known already.
func (in *inward) judge(p piece, gap int) (silent, again bool) {
	voice, known := opus.Voice(p.payload)
	tiny, pause := len(p.payload) <= 2, gap > frameLen && in.order.lost == 0 && in.heard
	in.dtx = in.dtx || tiny || pause
	again = in.ahead > 0 && gap >= 0 || tiny
	return known && !voice || !known && !p.marker && (pause || again), again
}

// shifted shifts the stream for a packet, and returns the gap that remains before it.
func (in *inward) shifted(gap int, silent bool) int {
	by := 0
	switch {
	case gap > 0 && in.order.lost == 0: // a pause
		by, in.shift = -min(in.early, gap), in.early
	case gap < 0 && !silent:
		by = min(in.ahead, -gap)
		in.ahead -= by
	}
	in.base8, in.shift = in.base8+uint32(by), in.shift+by // modulo 2^32 on purpose
	return gap + by
}

// place passes the samples of a packet on, except for those whose place is filled already.
func (in *inward) place(samples []int16, silent bool, now time.Duration) {
	in.ahead = max(min(in.ahead, int(int32(in.clock-in.base8))), 0)
	late := min(in.ahead, len(samples))
	in.ahead -= late
	if late > 0 || !in.cuts(len(samples), silent, now) {
		in.push(samples[late:], now)
	}
	in.early = min(max(in.lead(now), 0), in.shift)
	if in.shift == 0 {
		in.real8, in.realAt = in.clock, now
	}
}

// patience returns how long a pause is waited for behind a packet without voice.
func (in *inward) patience(again bool) time.Duration {
	switch {
	case again:
		return fillAgain
	case in.dtx:
		return fillAfter
	}
	return fillFirst
}

// lead returns by how much the stream is ahead of real time, in samples.
func (in *inward) lead(now time.Duration) int {
	return int(int32(in.clock-in.real8)) - int(inSamples(now-in.realAt)) // modulo 2^32 on purpose
}

// cuts reports whether to leave out a packet of a shifted stream: one without voice, which takes the shift back, or
// one that would be sent on too late.
func (in *inward) cuts(samples int, silent bool, now time.Duration) bool {
	lead := in.lead(now)
	if in.shift < samples || lead <= shiftMost && (!silent || lead < samples) {
		return false
	}
	if !silent {
		in.overtaken()
	}
	in.base8, in.shift = in.base8-uint32(samples), in.shift-samples
	return true
}

// overtaken counts a packet whose time is over.
func (in *inward) overtaken() { in.edge.way.session.Cut(in.edge.way.side, Overtaken) }
