package hep

import (
	"encoding/json"
	"math"
	"net/netip"
	"time"
)

// Report says what one end of an RTP stream has received.
type Report struct {
	Call     string // our id of the call
	At       time.Time
	From, To netip.AddrPort // RTP addresses: the reporting end, and the sender of the stream; RTCP has the next port
	SSRC     uint32         // SSRC of the stream; 0 if unknown
	Packets  int64          // received
	Lost     int64          // on the way
	Loss     float64        // share of packets lost, 0 to 1
	JitterMS float64
	RTTMS    float64 // 0 if not measured
	MOS      float64 // 0 if not measured
}

// clock is the number of jitter units per second: the clock rate of G.711.
const clock = 8000

// rtcp is a receiver report (RFC 3550 section 6.4.2) in the form that Homer reads.
type rtcp struct {
	Type   int     `json:"type"` // 201: RR
	SSRC   uint32  `json:"ssrc"`
	Count  int     `json:"report_count"`
	Blocks []block `json:"report_blocks"`
	MOS    float64 `json:"mos,omitempty"`
	RTT    float64 `json:"rtt_ms,omitempty"`
}

// block is a report block. The fraction is in 256ths.
type block struct {
	Source   uint32 `json:"source_ssrc"`
	Fraction int    `json:"fraction_lost"`
	Lost     int64  `json:"packets_lost"`
	Highest  int64  `json:"highest_seq_no"`
	Jitter   int64  `json:"ia_jitter"`
	LastSR   int64  `json:"lsr"`
	Delay    int64  `json:"dlsr"`
}

// typeRR is the packet type of a receiver report.
const typeRR = 201

// Report mirrors a report. It does not block.
func (m *Mirror) Report(r Report) {
	b := block{
		Source: r.SSRC, Lost: r.Lost, Highest: r.Packets + r.Lost,
		Fraction: int(min(max(256*finite(r.Loss), 0), 255)),
	}
	if j := r.JitterMS * clock / 1000; j > 0 && j < math.MaxUint32 {
		b.Jitter = int64(math.Round(j))
	}
	payload, err := json.Marshal(rtcp{
		Type: typeRR, Count: 1, Blocks: []block{b}, MOS: math.Round(100*finite(r.MOS)) / 100,
		RTT: math.Round(100*finite(r.RTTMS)) / 100,
	})
	if err != nil {
		return // can't happen: all values can be encoded
	}
	m.queue(&packet{
		at: r.At, from: rtcpOf(r.From), to: rtcpOf(r.To), kind: typeRTCP, correlation: r.Call,
		payload: payload,
	})
}

func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

// rtcpOf returns the RTCP address that belongs to an RTP address.
func rtcpOf(rtp netip.AddrPort) netip.AddrPort {
	if !rtp.IsValid() || rtp.Port() == 0 || rtp.Port() == math.MaxUint16 {
		return rtp
	}
	return netip.AddrPortFrom(rtp.Addr(), rtp.Port()+1)
}
