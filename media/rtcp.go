package media

import (
	"encoding/binary"
	"math"
	"time"

	"flowbridge/media/packet"
)

const (
	// roundTripMax is the longest round trip accepted.
	roundTripMax = 10 * time.Second

	// reportsKept is how many sender reports are remembered per direction. They come every five seconds, and receivers
	// refer to the latest.
	reportsKept = 8

	// roundTripShare is the weight of a new measurement in the smoothed value.
	roundTripShare = 8
)

// relayedReport is a sender report that was relayed.
type relayedReport struct {
	ntp uint32 // the report's NTP timestamp, as LSR refers to it; 0 if there was none
	at  time.Duration
}

// roundTrip measures the round trip to a side. It remembers when it relayed each sender report to the side. It is a
// value owned by the worker.
type roundTrip struct {
	relayed  *[reportsKept]relayedReport // nil before the first report
	next     int
	smoothed time.Duration // smoothed round trip; 0 if it was not measured
}

func (t *roundTrip) note(ntp uint32, now time.Duration) {
	if ntp == 0 {
		return
	}
	if t.relayed == nil {
		t.relayed = &[reportsKept]relayedReport{}
	}
	t.relayed[t.next] = relayedReport{ntp: ntp, at: now}
	t.next = (t.next + 1) % reportsKept
}

// measure updates the round trip from LSR and DLSR of a report block that came at now. It is the time since the report
// was relayed, minus DLSR (RFC 3550 §6.4.1). Impossible values are ignored.
func (t *roundTrip) measure(lsr, dlsr uint32, now time.Duration) {
	if lsr == 0 || t.relayed == nil {
		return
	}
	for i := range t.relayed {
		r := &t.relayed[(t.next-1-i+2*reportsKept)%reportsKept] // the latest first
		if r.ntp != lsr {
			continue
		}
		rtt := now - r.at - time.Duration(dlsr)*time.Second/65536
		switch {
		case rtt <= 0 || rtt > roundTripMax:
		case t.smoothed == 0:
			t.smoothed = rtt
		default:
			t.smoothed += (rtt - t.smoothed) / roundTripShare
		}
		return
	}
}

// readReports takes the figures out of a side's compound packet before it is rewritten. The packet uses the clock of
// the stages.
func (r *relay) readReports(from Side, compound []byte, now time.Duration) {
	for len(compound) > 0 {
		var p packet.Control
		p, compound = packet.NextRTCP(compound)
		r.roundTrip[from.Other()].note(p.Sent(), now)
		for blocks := p.Reports(); len(blocks) > 0; blocks = blocks[packet.ReportBlockLen:] {
			r.readReport(from, blocks[:packet.ReportBlockLen], now)
		}
	}
}

func (r *relay) readReport(from Side, block []byte, now time.Duration) {
	c := r.ledger.flow[from][RTCP].ofRTCP()
	r.roundTrip[from].measure(binary.BigEndian.Uint32(block[16:]), binary.BigEndian.Uint32(block[20:]), now)
	c.RTT.Store(int64(r.roundTrip[from].smoothed))
	sent := &r.endpoint[from.Other()][RTP]
	if sent.rtpState == nil {
		return
	}
	if ssrc, begun := sent.outlet.SSRC(); !begun || binary.BigEndian.Uint32(block) != ssrc {
		return // about an unknown stream
	}
	lost := int32(binary.BigEndian.Uint32(block[4:])<<8) >> 8 // 24 bits, signed
	jitter := binary.BigEndian.Uint32(block[12:])
	c.RemoteLost.Store(int64(lost))
	c.RemoteLoss.Store(math.Float64bits(float64(block[4]) / 256))
	clock := sent.relayed().Clock()
	c.RemoteJitter.Store(math.Float64bits(float64(jitter) * 1000 / float64(clock)))
	c.Reports.Add(1)
}

// Reported returns how many packets a side has reported lost of the stream that it is sent, in its last RTCP report.
// The side counts them from the stream's beginning; twice received packets count negatively (RFC 3550 §6.4.1). reports
// is how many reports there were.
func (s *Session) Reported(to Side) (lost int64, reports uint64) {
	return s.relay.ledger.remoteLost(to)
}

func (l *ledger) remoteLost(to Side) (lost int64, reports uint64) {
	c := read(&l.flow[to][RTCP].rtcp)
	return c.RemoteLost.Load(), c.Reports.Load()
}

// alias returns the identity under which the other side knows the stream from a side.
func (r *relay) alias(from Side) packet.Alias {
	ep := &r.endpoint[from][RTP]
	if ep.rtpState == nil {
		return packet.Alias{}
	}
	a := ep.outlet.Alias(ep.relayed())
	a.Seq += r.secure[from.Other()].shift(a.To) + r.stages.Ahead(from.Other())
	return a
}
