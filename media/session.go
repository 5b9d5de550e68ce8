package media

import (
	"fmt"
	"net/netip"
)

// SessionConfig is what a session is made with.
type SessionConfig struct {
	// Addr is the address that each side is bound to: one of Config.Listen.
	// The zero value means the first of them.
	Addr [2]netip.Addr

	// OnEvent is called for each event, from an engine goroutine that carries
	// other calls' media too. It must not block and must not call the session,
	// Stats excepted. It may be nil.
	OnEvent func(Event)
}

// Peer is where one side's media is expected from and wanted at, as its SDP
// says. 4-in-6 addresses count as IPv4. An address that no unicast packet can
// be sent to (0.0.0.0, multicast, port 0) counts as invalid.
type Peer struct {
	// RTP is the address of c= and the port of m=. While it is invalid, nothing
	// is sent to this side.
	RTP netip.AddrPort

	// RTCP is that of a=rtcp; invalid means the port above RTP.
	RTCP netip.AddrPort

	// Mux: RTP and RTCP share a port on both ends of this side (RFC 5761). RTCP
	// is sent to where RTP is, from our RTP port, and taken there too; RTCP above
	// does not count.
	Mux bool

	// Believed are further addresses that this side's packets may come from, with
	// any port, in the first 10 s after SetPeer and after Start, as long as no
	// source is locked or the locked one is silent: the source of its signalling.
	Believed []netip.Prefix

	// Listed are those that may take the place of a silent source at any time:
	// configured media sources.
	Listed []netip.Prefix

	// Latch is how the source is found among all these.
	Latch LatchMode

	// ClockRate is that of this side's RTP timestamps, in Hz, for the jitter
	// only. 0 means 8000.
	ClockRate uint32

	// Held: the side wants no media (RFC 3264 §8.4: it says sendonly or
	// inactive). No RTP is sent to it, RTCP still is where RTP is valid
	// (RFC 3264 §5.1). What comes from it is taken: it may send music.
	Held bool

	// Mute: the side will send no RTP (it says recvonly or inactive). What comes
	// all the same is taken.
	Mute bool

	// Codec is the encoding name (RFC 3551) of what this side sends, in any case,
	// for SideStats.MOS only. Empty leaves the one before.
	Codec string
}

// Session is the media of one call: two sides with a pair of ports each. Its
// methods may be called from any goroutine, but not from OnEvent (Stats may).
// Once one that sets something, or Start, has returned, what it said is in force for
// every packet that arrives later. On a closed session they do nothing, but
// SendDigit says so.
type Session struct {
	// Constant.
	engine *Engine
	worker *worker
	id     uint64
	port   [2]uint16
	relay  *relay
	ledger *ledger

	closed chan struct{} // closed once the ports are back in the pool
}

// Local returns the RTP address that the side is bound to, as asked for: the
// address is unspecified if that is what the engine listens on. RTCP is on the
// port above.
func (s *Session) Local(side Side) netip.AddrPort { return s.relay.local[side] }

// SetPeer says where a side's media is expected. Called again, a changed RTP
// address and port opens the latch, so that the side's source is learned anew;
// an unchanged one keeps the lock, whether held or not. An address that comes
// back after an invalid one is a changed one. A port of our own counts as none, as
// media would go round for ever, and so does our own address for a peer elsewhere.
func (s *Session) SetPeer(side Side, p Peer) {
	if s.engine.forbids(p, p.RTP) {
		p.RTP, p.RTCP = netip.AddrPort{}, netip.AddrPort{}
	}
	if s.engine.forbids(p, p.RTCP) {
		p.RTCP = netip.AddrPort{}
	}
	s.tell(command{op: opPeer, side: side, peer: p.normal()})
}

// SetPayloads says what becomes of the payload types that a side sends: where
// the other side has another number for a codec, speaks the other kind of G.711,
// or does not take it. Those that are not named are relayed as they are. A
// session starts without; changes beyond 8 are ignored.
func (s *Session) SetPayloads(from Side, changes []PayloadChange) {
	c := command{op: opPayloads, side: from}
	copy(c.payloads[:], changes)
	s.tell(c)
}

// SetTelephoneEvents has the telephone-events of a side reported as EventDigit,
// or no longer. A session starts without. Repeated in mid-event, it neither
// loses nor doubles a digit.
func (s *Session) SetTelephoneEvents(side Side, c TelephoneEvents) {
	s.tell(command{op: opEvents, side: side, events: c})
}

// SendDigit presses a key towards a side, after those before it: a
// telephone-event inside the stream that is relayed there, which pauses
// meanwhile (RFC 4733 §2.5.1). At most 32 digits wait, with 40 ms or more
// between them; they are given up when the side is held or its RTP address
// changes, as they were not meant for who is there then. The error is errDigit,
// errDigitsWait, errNoDestination or errClosed.
func (s *Session) SendDigit(to Side, d Digit) error {
	t, err := d.tone()
	if err == nil {
		err = s.worker.do(command{op: opDigit, relay: s.relay, side: to, tone: t})
	}
	if err != nil {
		return fmt.Errorf("media: %w", err)
	}
	return nil
}

// Play puts a sound into the stream towards a side, in the place of one that is
// being played. Where the side is held, or its address is not known, it goes on
// unheard; it is given up when the side's RTP address changes. EventPlayed comes
// at its end. Sounds are of G.711: a side that speaks another codec can't have
// them.
func (s *Session) Play(to Side, p Play) { s.tell(command{op: opPlay, side: to, play: p}) }

// StopPlay ends the sound towards a side; what is relayed follows on.
func (s *Session) StopPlay(to Side) { s.tell(command{op: opStopPlay, side: to}) }

// Start starts the timers of EventSilent and EventOneWay: the answer went out, or early media
// began. Packets are relayed before it too, once both sides have a destination.
// A second call has no effect.
func (s *Session) Start() { s.tell(command{op: opStart}) }

// Stats returns the figures as they are. It is cheap and may be called at any
// time, also after Close, when it returns the final ones.
func (s *Session) Stats() Stats { return s.ledger.stats(s.engine.epoch) }

// Close ends the session and returns its final figures. When it returns, the
// sockets are closed, no event comes any more and the ports are back in the
// pool. Calling it again returns the same figures.
func (s *Session) Close() Stats {
	if s.engine.forget(s.id) {
		_ = s.worker.do(command{op: opClose, relay: s.relay})
		for _, port := range s.port {
			s.engine.ports.release(port)
		}
		close(s.closed)
	}
	<-s.closed
	return s.Stats()
}

// tell has the worker carry out a command, after those before it and before it
// reads a packet that comes later. That a session or its engine is closed
// already is no error: there is nothing left to change.
func (s *Session) tell(c command) {
	c.relay = s.relay
	_ = s.worker.post(c)
}
