package stream

import (
	"time"

	"flowbridge/media/kernel"
	"flowbridge/media/quality"
)

// ToKernel writes the stream's state to k, so that the kernel can continue it. epoch is our epoch on the kernel's
// clock.
func (s *Stream) ToKernel(k *kernel.State, epoch time.Duration) {
	k.Started, k.Jumped, k.Timed = s.started, s.jumped, s.timed
	k.SSRC, k.Base, k.Top, k.Received, k.Expect = s.ssrc, s.base, s.top, s.received, s.expect
	k.LostPast, k.WrapsPast, k.Duplicates, k.Reordered = s.lostPast, s.wrapsPast, s.duplicates, s.reordered
	k.SSRCChanges = s.ssrcChanges
	l := &s.losses
	k.Losses = kernel.Losses{Recent: l.Recent, Older: l.Older, Run: l.Run, Runs: l.Runs, Longest: l.Longest}
	k.Timestamp, k.TimestampAt = s.timestamp, s.timestampAt+epoch
	k.Jitter, k.JitterMax, k.JitterSum, k.Timings = s.jitter, s.jitterMax, s.jitterSum, s.timings
	k.Delays = kernel.Delays(s.delays)
}

// FromKernel continues the stream from the state that the kernel has tracked.
func (s *Stream) FromKernel(k *kernel.State, epoch time.Duration) {
	s.jumped, s.timed, s.irregular = k.Jumped, k.Timed, true
	s.base, s.top, s.received, s.expect = k.Base, k.Top, k.Received, k.Expect
	s.lostPast, s.wrapsPast, s.duplicates, s.reordered = k.LostPast, k.WrapsPast, k.Duplicates, k.Reordered
	s.losses = quality.Losses{
		Recent: k.Losses.Recent, Older: k.Losses.Older, Run: k.Losses.Run, Runs: k.Losses.Runs,
		Longest: k.Losses.Longest,
	}
	s.timestamp, s.timestampAt = k.Timestamp, k.TimestampAt-epoch
	s.jitter, s.jitterMax, s.jitterSum, s.timings = k.Jitter, k.JitterMax, k.JitterSum, k.Timings
	s.delays = quality.Delays(k.Delays)
}
