package media

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"flowbridge/media/ice"
	"flowbridge/media/latch"
	"flowbridge/media/stage"
)

// SessionConfig configures a session.
type SessionConfig struct {
	// Addr is the address that each side is bound to. It must be in Config.Listen. The zero value means the first address
	// there.
	Addr [2]netip.Addr

	// Sockets are the sockets from Session.HandOver, for Engine.Resume only; if nil, Resume opens new ones.
	Sockets *Sockets

	// OnEvent is called for each event. It runs in an engine goroutine that also relays the media of other calls, so it
	// must not block. It must not call the session. It may be nil.
	OnEvent func(Event)
}

// Peer says where one side's media is expected from and where media for it is sent, according to the side's SDP. 4-in-6
// addresses count as IPv4. An address that can't receive unicast (0.0.0.0, multicast, port 0) counts as invalid.
type Peer struct {
	// RTP is the address of c= with the port of m=. If it is invalid, nothing is sent to this side.
	RTP netip.AddrPort `cbor:"1,keyasint,omitzero"`

	// RTCP is the address of a=rtcp; invalid means the port above RTP.
	RTCP netip.AddrPort `cbor:"2,keyasint,omitzero"`

	// Believed lists further addresses that this side's packets may come from, with any port: the source of its
	// signalling. They count for 10 s after SetPeer and after Start, if no source is locked or the locked one is silent.
	Believed []netip.Prefix `cbor:"4,keyasint,omitempty"`

	// Listed contains addresses that may replace a silent source at any time: the configured media sources.
	Listed []netip.Prefix `cbor:"5,keyasint,omitempty"`

	// Codec is the encoding name (RFC 3551) of the media that this side sends; case does not matter. It is used only for
	// SideStats.MOS. An empty name keeps the previous codec.
	Codec string `cbor:"11,keyasint,omitempty"`

	// ClockRate is the clock rate of this side's RTP timestamps in Hz, used only for the jitter. 0 means 8000.
	ClockRate uint32 `cbor:"8,keyasint,omitempty"`

	// Latch says how the side's source is chosen among these addresses.
	Latch latch.Mode `cbor:"6,keyasint,omitempty"`

	// Comfort is the payload type of comfort noise (RFC 3389); 0 means 13. After such a packet the side may send nothing.
	Comfort uint8 `cbor:"13,keyasint,omitempty"`

	// DTX says that the side may stop sending while it does not speak, because that was agreed.
	DTX bool `cbor:"14,keyasint,omitempty"`

	// Mux says that RTP and RTCP share a port on both ends of this side (RFC 5761). RTCP goes to the address of RTP, from
	// our RTP port, and is accepted there too. The field RTCP is ignored.
	Mux bool `cbor:"3,keyasint,omitempty"`

	// Unconfirmed says that the side may not exist, or that a stranger may have named its address. Until the side is
	// confirmed, it is sent at most one second of media, except at addresses in Believed and Listed. Session.Confirm
	// confirms it, and so does RTP or RTCP from the address in RTP.
	Unconfirmed bool `cbor:"7,keyasint,omitempty"`

	// Held says that the side wants no media (RFC 3264 §8.4: its SDP has sendonly or inactive). It is sent no RTP, but it
	// is sent RTCP if RTP is valid (RFC 3264 §5.1). Its own packets are accepted: it may send music.
	Held bool `cbor:"9,keyasint,omitempty"`

	// Mute says that the side will send no RTP (its SDP has recvonly or inactive). RTP that comes anyway is accepted.
	Mute bool `cbor:"10,keyasint,omitempty"`

	// Events are the payload types of telephone-events that this side sends. They are relayed within its stream even if
	// they come from its source with a separate SSRC.
	Events PayloadSet `cbor:"12,keyasint,omitzero"`

	// ICE says that the side proves its address by connectivity checks (RFC 8445). Then its RTP and RTCP share a port, and
	// RTP, RTCP, Mux, Latch, Believed and Listed are ignored. The side must have SRTP. nil means no ICE.
	ICE *ice.Setup `cbor:"15,keyasint,omitempty"`
}

// Session is the media of one call: two sides with a pair of ports each. Its methods may be called from any goroutine,
// but not from OnEvent. When a setter returns, its setting applies to every packet that arrives later. On a closed
// session the methods do nothing, except that SendDigit returns an error.
type Session struct {
	// Constant.
	engine *Engine
	worker *worker

	relay relay // owned by the worker until the session is closed
	once  sync.Once

	mu      sync.Mutex // guards the fields below, and the order of commands about them
	pair    [2]pair
	muxed   [2]bool // Peer.Mux, by side
	closed  bool    // the pairs no longer belong to the session
	parting bool    // its ports are steered (see relay.shares), but its sockets are not closed yet

	steered atomic.Bool // it has no sockets, because the kernel relays its RTP; changed under mu
	wanted  *wanted     // guarded by mu; nil if nothing was set
}

// wanted holds the latest settings, whether or not the worker has applied them. The values it points to are never
// modified.
type wanted struct {
	peer     [2]*Peer // normalised; nil means not set, as in all these fields
	crypto   [2]*Crypto
	payloads [2]*[maxPayloadChanges]PayloadChange
	settings [2]stage.Settings

	confirmed [2]bool
	started   bool
	datagrams [2]*Datagrams // nil while no keys are negotiated
}

// Local returns the RTP address that the side is bound to. It is unspecified if the engine listens on the unspecified
// address. RTCP is on the port above.
func (s *Session) Local(side Side) netip.AddrPort { return s.relay.local[side] }

// SetPeer says where a side's media is expected. If the RTP address or port changes, the latch opens, and the side's
// source is learned again. Otherwise the lock stays, whether the side is held or not. An address that returns after an
// invalid one counts as changed. A leased port counts as invalid, because media would loop forever, and so does our own
// address if the peer is elsewhere.
func (s *Session) SetPeer(side Side, p Peer) {
	p = s.engine.permitted(p, s.relay.local[side].Addr())
	s.set(command{op: opPeer, side: side, peer: &p})
	s.reopenRTCP(side, p.Mux)
}

// Confirm confirms that a side exists (Peer.Unconfirmed). SetPeer does not undo it.
func (s *Session) Confirm(side Side) { s.set(command{op: opConfirm, side: side}) }

// SetPayloads says how to change the payload types that a side sends, if the other side has another number for a codec,
// uses the other G.711 law, or does not accept it. Other payload types are relayed unchanged. A session starts without
// changes; changes after the eighth are ignored.
func (s *Session) SetPayloads(from Side, changes []PayloadChange) {
	c := command{op: opPayloads, side: from, payloads: new([maxPayloadChanges]PayloadChange)}
	copy(c.payloads[:], changes)
	s.set(c)
}

// Start starts the timers of EventSilent and EventOneWay. Call it when the answer was sent or early media has started.
// If both sides have a destination, packets are relayed before that, too. A second call has no effect.
func (s *Session) Start() {
	s.set(command{op: opStart})
	s.awaitRTCP()
}

// Stats returns the current figures, cheaply. After Close it returns the final figures.
func (s *Session) Stats() Stats {
	s.refresh()
	return s.relay.ledger.stats(s.engine.epoch)
}

// refresh brings the figures of offloaded flows up to date.
func (s *Session) refresh() {
	if r := &s.relay; r.offloaded.Load() > 0 && r.enter() {
		r.refresh(anyAge)
		r.leave()
	}
}

// Close ends the session and returns its final figures. When it returns, its ports are free, its sockets read nothing
// more for it, and no more events come. It waits for at most one packet, not for the worker. A second call returns the
// same figures.
func (s *Session) Close() Stats {
	s.once.Do(func() {
		e := s.engine
		e.forget(s)
		if s.relay.enter() { // packets read later change nothing
			s.relay.reclaim() // adds what the kernel has heard
			s.relay.endpoint[SideA][RTP].overflows()
			s.relay.endpoint[SideB][RTP].overflows()
			s.relay.stages.End(e.now())
			s.relay.endPauses(e.now())
			s.relay.leave()
		}
		s.relay.end()
		s.relay.reclaim()
		s.vacate(false)
	})
	return s.Stats()
}

// vacate gives up the ports of an ended session. If the session was handed over, the kernel keeps relaying its flows.
func (s *Session) vacate(handedOver bool) {
	defer s.engine.settle(s) // must come last, because Engine.Close waits until then
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.endDatagrams(SideA, SideB)
	if s.steered.Load() {
		s.unsteered()
		return
	}
	s.engine.awake.Add(-1)
	if s.parting && !handedOver {
		s.endSteering(*s.relay.shares())
	}
	s.rest([2]netip.Addr{s.relay.local[SideA].Addr(), s.relay.local[SideB].Addr()}, s.pair[:])
}

// rest lets the session's pairs rest. The command is posted before the pairs are free, so that it precedes the commands
// of their next session.
func (s *Session) rest(addr [2]netip.Addr, pairs []pair) {
	_ = s.worker.post(command{op: opClose, relay: &s.relay, pairs: pairs}, false)
	for side, p := range pairs {
		s.engine.ports.keep(place{addr[side], s.worker}, p, s.engine.now())
	}
}

// set sends the worker a command and records its setting.
func (s *Session) set(c command) {
	s.wake()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted == nil {
		s.wanted = &wanted{}
	}
	s.wanted.note(c)
	c.relay = &s.relay
	_ = s.worker.post(c, false)
}

func (w *wanted) note(c command) {
	switch c.op {
	case opPeer:
		if was := w.peer[c.side]; was != nil && c.peer.Codec == "" {
			c.peer.Codec = was.Codec
		}
		w.peer[c.side] = c.peer
	case opConfirm:
		w.confirmed[c.side] = true
	case opCrypto:
		w.crypto[c.side] = c.keys
	case opPayloads:
		w.payloads[c.side] = c.payloads
	case opOrder:
		w.settings[c.side].Note(c.order)
	case opStart:
		w.started = true
	default: // no lasting setting
	}
}

// tell sends the worker a command. The worker runs it after earlier commands and before it reads a later packet, but is
// not woken for it. If the session is closed, tell does nothing.
func (s *Session) tell(c command) {
	s.wake()
	c.relay = &s.relay
	_ = s.worker.post(c, false)
}
