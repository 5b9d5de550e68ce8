package whatsapp

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/rtp"

	"flowbridge/media/opus"
	"flowbridge/sim"
)

const (
	maxHeard = 20 * sim.SampleRate // samples kept
	quietest = 500                 // lowest sample value that counts as speech
)

// reception is the RTP that a terminal received. The terminal's lock guards it.
type reception struct {
	coder   *opus.Decoder
	samples []int16 // laid out by timestamp, so that loss is silence
	answers []time.Duration
	source  netip.AddrPort

	received, foreign, outOfOrder uint64
	first                         time.Time // zero before the first packet
	last                          time.Time
	ssrc, origin                  uint32 // origin is the timestamp of samples[0]
	lowest, highest               int64  // extended sequence numbers
	ts                            uint32 // of the packet at last
	jitter                        float64
}

// take takes a packet, and reports whether it has speech.
func (r *reception) take(p *rtp.Packet, now time.Time) (loud bool) {
	if p.PayloadType != payloadOpus {
		if p.PayloadType != payloadEvent {
			r.foreign++
		}
		return false
	}
	if r.received++; r.first.IsZero() || p.SSRC != r.ssrc {
		r.begin(p, now)
	}
	number := r.highest + int64(int16(p.SequenceNumber-uint16(r.highest)))
	if number < r.highest {
		r.outOfOrder++
	}
	r.lowest, r.highest = min(r.lowest, number), max(r.highest, number)
	late := now.Sub(r.last).Seconds()*opus.Clock - float64(int32(p.Timestamp-r.ts))
	r.jitter += (math.Abs(late) - r.jitter) / 16 // RFC 3550 section 6.4.1
	r.last, r.ts = now, p.Timestamp
	if r.coder == nil {
		return false
	}
	var room [opus.Longest]int16
	n, err := r.coder.Decode(p.Payload, room[:])
	if err != nil {
		r.foreign++
		return false
	}
	r.place(room[:n], p.Timestamp)
	return slices.ContainsFunc(room[:n], func(v int16) bool { return v >= quietest || v <= -quietest })
}

// begin begins a stream.
func (r *reception) begin(p *rtp.Packet, now time.Time) {
	if r.first.IsZero() {
		r.first = now
	}
	r.ssrc, r.last, r.ts = p.SSRC, now, p.Timestamp
	r.origin = p.Timestamp - uint32(len(r.samples)*opus.Scale)
	r.lowest, r.highest = int64(p.SequenceNumber), int64(p.SequenceNumber)
	r.received = 1 // the figures are those of the last stream
	if coder, err := opus.NewDecoder(); err == nil {
		r.coder = coder
	}
}

// place puts samples where their timestamp says.
func (r *reception) place(samples []int16, ts uint32) {
	at := int(int32(ts-r.origin)) / opus.Scale
	if at < 0 || at+len(samples) > maxHeard {
		return
	}
	if missing := at + len(samples) - len(r.samples); missing > 0 {
		r.samples = append(r.samples, make([]int16, missing)...)
	}
	copy(r.samples[at:], samples)
}

// Media implements sim.Terminal.
func (t *terminal) Media() sim.Media {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.heard
	m := sim.Media{Heard: slices.Clone(r.samples), Answers: slices.Sorted(slices.Values(r.answers))}
	m.RTP.Codec, m.RTP.Local, m.RTP.Source, m.RTP.Remote = "opus", t.local, r.source, t.remote
	if t.kind == MediaICE {
		m.RTP.Remote = t.ice.checks.Chosen
	}
	m.RTP.Sent, m.RTP.Received, m.RTP.Foreign, m.RTP.OutOfOrder = t.sent, r.received, r.foreign, r.outOfOrder
	if r.received > 0 {
		m.RTP.Lost = uint64(max(0, r.highest-r.lowest+1-int64(r.received)))
	}
	m.RTP.FirstAt = r.first
	m.RTP.Jitter = time.Duration(r.jitter * float64(time.Second) / opus.Clock)
	return m
}

// judge completes a result, of an ended call.
func (t *terminal) judge(r *Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Checks, r.Silent = t.ice.counted(), t.silent
	if t.failed != nil {
		r.Failed = t.failed.Error()
	}
	_, r.OwnBack = sim.Match(t.heard.samples, t.words[:sentence])
}
