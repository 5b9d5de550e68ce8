package gateway

import (
	"net/netip"
	"time"

	"github.com/pion/rtp"
)

// The caller's side of a call: RTP.

// atOnce sends a frame now instead of at the next tick, because the bot begins to speak. c.mu must be held.
func (c *call) atOnce(now time.Time) {
	early := c.sent.Add(frameTime).Sub(now)
	if c.isOver() || early <= 0 || early > frameTime {
		return
	}
	to := c.gateway.clock.slotAt(now)
	c.gateway.clock.move(c, c.slot, to)
	c.slot = to
	c.lead += early
	c.header.Marker = true
	c.sendFrame(now)
}

// tick is called every 20 ms.
func (c *call) tick(now time.Time) {
	defer c.recovered()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOver() {
		return
	}
	if c.lead >= frameTime && c.play.idle() { // the frames that were sent early leave room for one
		c.lead -= frameTime
	} else {
		c.sendFrame(now)
	}
	if quiet := now.Sub(c.hears); quiet >= quietAfter {
		frames := min(int(quiet/frameTime)-1, int(time.Second/frameTime))
		c.hears = now.Add(-frameTime)
		c.heard.elapse(now)
		c.heard.fill(frames*frameSize, c.toBot)
		c.wakeWriter()
	}
	if now.Sub(c.pinged) >= pingEvery && c.pinging.CompareAndSwap(false, true) {
		c.pinged = now
		c.gateway.wg.Go(c.ping)
	}
}

// sendFrame sends the next 20 ms to the caller. c.mu must be held.
func (c *call) sendFrame(now time.Time) {
	if missed := now.Sub(c.sent) - frameTime; missed > catchUp { // the clock stood still, and does not make up for it
		c.header.Timestamp += uint32(missed/frameTime) * frameSize
		c.header.Marker = true
	}
	_, marks := c.play.frame(&c.frame)
	c.sendMarks(marks)
	c.sent = now
	if c.mode == "sendrecv" || c.mode == "sendonly" {
		if n, err := c.header.MarshalTo(c.packet[:]); err == nil {
			copy(c.packet[n:], c.frame[:])
			if c.dialog.Law == pcma {
				convert(c.packet[n:n+frameSize], &aOfMu)
			}
			c.rtp.send(c.packet[:n+frameSize], c.peer)
		}
		c.header.SequenceNumber++
		c.header.Marker = false
	}
	c.header.Timestamp += frameSize
}

// toBot queues 20 ms of the caller's audio for the bot. c.mu must be held. The caller has it written.
func (c *call) toBot(audio []byte) {
	c.said.audio(toBot, len(audio), time.Now())
	if c.hasRoom() {
		c.out.took(c.says.media(c.out.text, audio))
	}
}

// rounds bounds how often in a row sockets are read, a packet each time, so that a flood does not stop the clock.
const rounds = 16

// hear reads the RTP that has come for all calls. The clock calls it.
func (g *Gateway) hear() {
	for range rounds {
		waiting := g.ports.waiting()
		if len(waiting) == 0 {
			return
		}
		for _, c := range waiting {
			c.hear(&g.packet)
		}
	}
}

// packet is the room for one.
type packet struct {
	buf [2048]byte
	rtp rtp.Packet
}

// hear reads a packet of the caller's RTP.
func (c *call) hear(p *packet) {
	defer c.recovered()
	n, from := c.readPort(p.buf[:])
	if p.rtp.Unmarshal(p.buf[:n]) == nil && p.rtp.Version == 2 {
		c.receive(&p.rtp, from)
		c.wakeWriter()
	}
}

// readPort reads a packet, which has no bytes if none waits.
func (c *call) readPort(b []byte) (int, netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rtp.read(b)
}

// receive handles a packet. The first one from the described port shows the address that the caller's RTP comes from:
// the session description may have a public one, at which it can't be reached from here. Packets from other ports are
// dropped. They are of other calls: our port may be one that a call had in an earlier process, to which the B2BUA sends
// until it is told the new one.
func (c *call) receive(p *rtp.Packet, from netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.latched && from.Port() == c.peer.Port() {
		c.peer, c.latched = from, true
	}
	if from != c.peer {
		return
	}
	switch {
	case len(p.Payload) == 0:
		c.heard.skip(p.SSRC, p.SequenceNumber)
	case p.PayloadType == c.dialog.Law:
		if p.PayloadType == pcma {
			convert(p.Payload, &muOfA)
		}
		c.hears = time.Now()
		c.heard.elapse(c.hears)
		c.heard.push(p.SSRC, p.SequenceNumber, p.Timestamp, p.Payload, c.toBot)
	case c.dialog.Event != 0 && p.PayloadType == c.dialog.Event:
		c.onEvent(p)
	default: // such as comfort noise
		c.heard.skip(p.SSRC, p.SequenceNumber)
	}
}

// onEvent handles a packet of a DTMF event (RFC 4733). Each event has several. c.mu must be held.
func (c *call) onEvent(p *rtp.Packet) {
	c.heard.skip(p.SSRC, p.SequenceNumber)
	if len(p.Payload) < 4 || int(p.Payload[0]) >= len(digits) || c.pressed && p.Timestamp == c.event {
		return
	}
	c.event, c.pressed = p.Timestamp, true
	c.press(digits[p.Payload[0]])
}

// press tells the bot about a key. c.mu must be held.
func (c *call) press(digit byte) {
	c.said.event(toBot, "dtmf")
	c.send(c.says.dtmf(nil, digit))
}
