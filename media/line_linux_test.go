package media

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"flowbridge/media/packet"
)

const ms = time.Millisecond

// Constants of package stage that the tests rely on.
const (
	digitEnds    = 3
	digitGap     = 40 * ms
	yieldFor     = 400 * ms
	playBehind   = 60 * ms
	eventTimeout = time.Second
	maskCode     = 10
)

// line is a session whose worker's clock the test sets. Audio comes from side A and
// digits go to side B.
type line struct {
	*bench
	r   *relay
	ep  *endpoint
	got []sent

	received uint64 // number of packets to side B that were read
}

// sent is a packet that came to side B.
type sent struct {
	at     time.Duration
	marker bool
	packet.Header
	event   packet.Event // set for payload type 101
	audio   uint16       // the number with which other packets were sent
	isEvent bool
}

func newLine(t *testing.T) *line {
	t.Helper()
	b := newBench(t, 1)
	l := &line{bench: b, r: b.relays[0], ep: b.relays[0].heard(SideA)}
	b.w.now = time.Hour
	return l
}

// pass advances the clock and runs everything that is due by then.
func (l *line) pass(d time.Duration) {
	l.tb.Helper()
	end := l.w.now + d
	for l.w.alarm <= end {
		l.w.now = max(l.w.alarm, l.w.now)
		l.w.ring()
		l.collect()
	}
	l.w.now = end
}

// serve makes the worker handle a packet that was sent to it.
func (l *line) serve() {
	l.tb.Helper()
	l.arrives(l.ep.fd)
	l.w.serve(l.ep, l.ep.fd)
}

// next reads a packet that was sent to side B. It returns nil if all have been
// read.
func (l *line) next() []byte {
	l.tb.Helper()
	if l.received == l.ep.count.TxPackets.Load() {
		return nil
	}
	l.received++
	l.arrives(l.to)
	n, errno := receive(l.to, l.sink[:], &l.source)
	if errno != 0 {
		l.tb.Fatal(errno)
	}
	return l.sink[:n]
}

// talk sends audio of 20 ms whose timestamp fits its number.
func (l *line) talk(ssrc uint32, seq uint16) {
	l.tb.Helper()
	pkt := sourcePacket(l.tb, ssrc, seq)
	copy(pkt[packet.HeaderLen:], fmt.Sprintf("%05d", seq))
	if errno := send(l.from, pkt, &l.into[0]); errno != 0 {
		l.tb.Fatal(errno)
	}
	l.serve()
	l.collect()
}

// talkFrom is talk from another socket.
func (l *line) talkFrom(c *client, ssrc uint32, seq uint16) {
	l.tb.Helper()
	pkt := sourcePacket(l.tb, ssrc, seq)
	copy(pkt[packet.HeaderLen:], fmt.Sprintf("%05d", seq))
	c.send(l.r.local[SideA], pkt)
	l.serve()
	l.collect()
}

// talkOn sends n packets of audio, one every 20 ms, and returns the next number.
func (l *line) talkOn(ssrc uint32, seq uint16, n int) (next uint16) {
	l.tb.Helper()
	for range n {
		l.talk(ssrc, seq)
		l.pass(20 * ms)
		seq++
	}
	return seq
}

func (l *line) dial(digits string, d Digit) {
	l.tb.Helper()
	d.PayloadType = 101
	for i := range len(digits) {
		d.Digit = digits[i]
		l.gives(l.r, SideA, d)
	}
	l.pass(0)
}

func (l *line) collect() {
	l.tb.Helper()
	for pkt := l.next(); pkt != nil; pkt = l.next() {
		h, ok := packet.ParseRTP(pkt)
		if !ok {
			l.tb.Fatalf("got % x", pkt)
		}
		s := sent{at: l.w.now, marker: packet.Marker(pkt), Header: h}
		if h.PayloadType == 101 {
			s.event, s.isEvent = packet.ParseEvent(packet.Payload(pkt))
			if len(pkt) != packet.HeaderLen+packet.EventLen {
				l.tb.Errorf("%d bytes", len(pkt))
			}
		} else if _, err := fmt.Sscanf(string(packet.Payload(pkt)), "%d", &s.audio); err != nil {
			l.tb.Fatal(err)
		}
		l.got = append(l.got, s)
	}
}

// take returns the packets that have arrived since the last call.
func (l *line) take() []sent {
	got := l.got
	l.got = nil
	return got
}

// events returns the telephone-events among packets.
func events(got []sent) []sent {
	return slices.DeleteFunc(slices.Clone(got), func(s sent) bool { return !s.isEvent })
}

// checkOrder checks that packets form one stream: one SSRC, consecutive numbers,
// and timestamps that never decrease.
func checkOrder(t *testing.T, got []sent) {
	t.Helper()
	for i := 1; i < len(got); i++ {
		before, s := got[i-1], got[i]
		if s.SSRC != before.SSRC || s.Seq != before.Seq+1 || int32(s.Timestamp-before.Timestamp) < 0 {
			t.Errorf("packet %d: %+v after %+v", i, s, before)
		}
	}
}
