package media

import (
	"time"

	"flowbridge/media/kernel"
	"flowbridge/media/packet"
	"flowbridge/media/quality"
)

// state is that of ep's stream as the kernel takes it. What the kernel counts goes on from what was counted, so that
// another process finds all of it there.
func (o *offloader) state(ep *endpoint) kernel.State {
	s, l, c, d := &ep.stream, &ep.stream.losses, ep.count, read(&ep.count.drops)
	return kernel.State{
		Last:    ep.latch().Heard() + o.epoch,
		Packets: c.RxPackets.Load(), Bytes: c.RxBytes.Load(), Sent: c.TxPackets.Load(), SentBytes: c.TxBytes.Load(),
		WrongSource: d.WrongSource.Load(), WrongSSRC: d.WrongSSRC.Load(), Discarded: d.Discarded.Load(),
		Started: s.started, Jumped: s.jumped, Timed: s.timed,
		SSRC: s.ssrc, Base: s.base, Top: s.top, Received: s.received, Expect: s.expect,
		LostPast: s.lostPast, WrapsPast: s.wrapsPast, Duplicates: s.duplicates, Reordered: s.reordered,
		SSRCChanges: s.ssrcChanges,
		Losses:      kernel.Losses{Recent: l.Recent, Older: l.Older, Run: l.Run, Runs: l.Runs, Longest: l.Longest},
		Timestamp:   s.timestamp, TimestampAt: s.timestampAt + o.epoch,
		Jitter: s.jitter, JitterMax: s.jitterMax, JitterSum: s.jitterSum, Timings: s.timings,
		Delays: kernel.Delays(s.delays),
		Speech: ep.speech(o.epoch),
	}
}

// speech is what is heard of ep's side, for the kernel to go on with; nil: nothing is.
func (ep *endpoint) speech(epoch time.Duration) *kernel.Speech {
	if ep.rtpState == nil || ep.voice == nil {
		return nil
	}
	s := &kernel.Speech{Detector: ep.voice.Detector, Told: ep.voice.told}
	s.Shift(epoch)
	return s
}

// takeOver adds what the kernel has counted since it was read last, and makes its stream ep's.
func (ep *endpoint) takeOver(k *kernel.State) {
	was, c := &ep.offload.seen, ep.count
	if k.WrongSource > was.WrongSource {
		c.dropped().WrongSource.Add(k.WrongSource - was.WrongSource)
	}
	if k.WrongSSRC > was.WrongSSRC {
		c.dropped().WrongSSRC.Add(k.WrongSSRC - was.WrongSSRC)
	}
	if k.Discarded > was.Discarded {
		c.dropped().Discarded.Add(k.Discarded - was.Discarded)
	}
	if k.Packets > was.Packets {
		c.RxPackets.Add(k.Packets - was.Packets)
		c.RxBytes.Add(k.Bytes - was.Bytes)
		c.TxPackets.Add(k.Sent - was.Sent)
		c.TxBytes.Add(k.SentBytes - was.SentBytes)
		last := k.Last - ep.offload.by.epoch
		ep.latch().Hear(max(ep.latch().Heard(), last))
		ep.relay.hears(ep.side, last)
		ep.stream.takeOver(k, ep.offload.by.epoch)
		heard := c.ofRTP()
		heard.Last.Store(int64(last))
		heard.keep(&ep.stream, packet.Header{SSRC: k.SSRC, PayloadType: k.LastPayloadType})
	}
	if t := ep.relay.talk; t != nil {
		t.overhear(ep, k)
	}
	*was, ep.offload.read = *k, k.At-ep.offload.by.epoch
	was.Speech = nil // it is the kernel package's
}

func (s *stream) takeOver(k *kernel.State, epoch time.Duration) {
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
