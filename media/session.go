package media

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"flowbridge/media/latch"
	"flowbridge/media/stage"
)

// SessionConfig says how to make a session.
type SessionConfig struct {
	// Addr is the address that each side is bound to: one of Config.Listen. The zero value means the first of them.
	Addr [2]netip.Addr

	// Sockets are those that Session.HandOver gave, for Engine.Resume only; nil: it opens some.
	Sockets *Sockets

	// OnEvent is called for each event, by an engine goroutine that also carries other calls' media. It must not
	// block, and it must not call the session. It may be nil.
	OnEvent func(Event)
}

// Peer says where one side's media is expected from and sent to, as its SDP says. 4-in-6 addresses count as IPv4. An
// address that can't receive unicast (0.0.0.0, multicast, port 0) counts as invalid.
type Peer struct {
	// RTP is the address of c= and the port of m=. If it is invalid, nothing is sent to this side.
	RTP netip.AddrPort `cbor:"1,keyasint,omitzero"`

	// RTCP is the address of a=rtcp; invalid means the port above RTP.
	RTCP netip.AddrPort `cbor:"2,keyasint,omitzero"`

	// Believed are further addresses that this side's packets may come from, with any port: the source of its
	// signalling. They count for 10 s after SetPeer and after Start, while no source is locked or the locked one is
	// silent.
	Believed []netip.Prefix `cbor:"4,keyasint,omitempty"`

	// Listed are addresses that may replace a silent source at any time: configured media sources.
	Listed []netip.Prefix `cbor:"5,keyasint,omitempty"`

	// Codec is the encoding name (RFC 3551) of what this side sends, in any case. It is used for SideStats.MOS only.
	// Empty keeps the previous one.
	Codec string `cbor:"11,keyasint,omitempty"`

	// ClockRate is that of this side's RTP timestamps in Hz, for the jitter only. 0 means 8000.
	ClockRate uint32 `cbor:"8,keyasint,omitempty"`

	// Latch says how the source is found among all these.
	Latch latch.Mode `cbor:"6,keyasint,omitempty"`

	// Mux: RTP and RTCP share a port on both ends of this side (RFC 5761). RTCP goes to the address of RTP, from our
	// RTP port, and is accepted there too. RTCP above is ignored.
	Mux bool `cbor:"3,keyasint,omitempty"`

	// Unconfirmed: it is not known yet whether the side is there, or somebody else has named its address. It is sent a
	// second's worth of media at most, except at addresses of Believed and Listed, until it is confirmed: by
	// Session.Confirm, or by its RTP or RTCP from the address of RTP.
	Unconfirmed bool `cbor:"7,keyasint,omitempty"`

	// Held: the side wants no media (RFC 3264 §8.4: it says sendonly or inactive). It is sent no RTP, but it is sent
	// RTCP if RTP is valid (RFC 3264 §5.1). Its own packets are accepted: it may send music.
	Held bool `cbor:"9,keyasint,omitempty"`

	// Mute: the side will send no RTP (it says recvonly or inactive). RTP that comes nevertheless is accepted.
	Mute bool `cbor:"10,keyasint,omitempty"`

	// Events are the payload types of what this side sends that are telephone-events. They are relayed within its stream
	// also where they come beside it, from its source but with an SSRC of their own.
	Events PayloadSet `cbor:"12,keyasint,omitzero"`
}

// Session is the media of one call: two sides with a pair of ports each. Any goroutine may call its methods, but
// OnEvent may call none. When a method that sets something returns, its setting applies to every packet that
// arrives later. On a closed session the methods do nothing, except that SendDigit returns an error.
type Session struct {
	// Constant.
	engine *Engine
	worker *worker

	relay relay // owned by the worker until the session is closed
	once  sync.Once

	mu      sync.Mutex // guards what follows, and the order of commands about it
	pair    [2]pair
	muxed   [2]bool // Peer.Mux, by side
	closed  bool    // pair is not the session's any more
	parting bool    // its ports are steered, as relay.shares says, and its sockets are not closed yet

	steered atomic.Bool // it has no sockets, as the kernel relays its RTP; changed under mu
	wanted  *wanted     // guarded by mu; nil: nothing was set
}

// wanted is what was set last, whether the worker has carried it out or not. What it points to is never modified.
type wanted struct {
	peer     [2]*Peer // normalised; nil: not set, as all of these
	crypto   [2]*Crypto
	payloads [2]*[maxPayloadChanges]PayloadChange
	settings [2]stage.Settings

	confirmed [2]bool
	started   bool
	datagrams [2]*Datagrams // nil: no keys are agreed on
}

// Local returns the RTP address that the side is bound to. The address is unspecified if the engine listens on that.
// RTCP is on the port above.
func (s *Session) Local(side Side) netip.AddrPort { return s.relay.local[side] }

// SetPeer says where a side's media is expected. A changed RTP address or port opens the latch, so that the side's
// source is learned again; an unchanged one keeps the lock, whether the side is held or not. An address that returns
// after an invalid one counts as changed. A leased port counts as invalid, because media would loop for ever. So does
// our own address for a peer that is elsewhere.
func (s *Session) SetPeer(side Side, p Peer) {
	if s.engine.forbids(p, p.RTP) {
		p.RTP, p.RTCP = netip.AddrPort{}, netip.AddrPort{}
	}
	if s.engine.forbids(p, p.RTCP) {
		p.RTCP = netip.AddrPort{}
	}
	p = p.normal()
	s.set(command{op: opPeer, side: side, peer: &p})
	s.reopenRTCP(side, p.Mux)
}

// Confirm says that a side is there (Peer.Unconfirmed). That stays so, whatever SetPeer says later.
func (s *Session) Confirm(side Side) { s.set(command{op: opConfirm, side: side}) }

// SetPayloads says what happens to the payload types that a side sends, if the other side has another number for a
// codec, speaks the other kind of G.711, or does not accept it. Other payload types are relayed unchanged. A session
// starts without changes; more than 8 are ignored.
func (s *Session) SetPayloads(from Side, changes []PayloadChange) {
	c := command{op: opPayloads, side: from, payloads: new([maxPayloadChanges]PayloadChange)}
	copy(c.payloads[:], changes)
	s.set(c)
}

// Start starts the timers of EventSilent and EventOneWay: the answer was sent, or early media began. Packets are
// relayed before it too, when both sides have a destination. A second call has no effect.
func (s *Session) Start() {
	s.set(command{op: opStart})
	s.awaitRTCP()
}

// Stats returns the current figures. It is cheap. After Close it returns the final figures.
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
// more for it, and no event comes any more. It does not wait for the worker's turn, at most for one packet. A second
// call returns the same figures.
func (s *Session) Close() Stats {
	s.once.Do(func() {
		e := s.engine
		e.forget(s)
		if s.relay.enter() { // what is read later is not changed any more
			s.relay.reclaim() // with what the kernel has heard
			s.relay.stages.End(e.now())
			s.relay.leave()
		}
		s.relay.end()
		s.relay.reclaim()
		s.vacate(false)
	})
	return s.Stats()
}

// vacate gives up the ports of a session that has ended. What the kernel relays of one that was handed over goes on.
func (s *Session) vacate(handedOver bool) {
	defer s.engine.settle(s) // last: until then, Engine.Close waits
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

// rest lets pairs of the session rest. The command comes first, so that it is before those of their next session.
func (s *Session) rest(addr [2]netip.Addr, pairs []pair) {
	_ = s.worker.post(command{op: opClose, relay: &s.relay, pairs: pairs}, false)
	for side, p := range pairs {
		s.engine.ports.keep(place{addr[side], s.worker}, p, s.engine.now())
	}
}

// set sends the worker a command and notes what it sets.
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
	default: // it sets nothing that stays
	}
}

// tell sends the worker a command. The worker runs it after the commands before it, and before it reads a later
// packet. It is not woken for that. A closed session is no error: there is nothing left to change.
func (s *Session) tell(c command) {
	s.wake()
	c.relay = &s.relay
	_ = s.worker.post(c, false)
}
