package stage

import (
	"net/netip"
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/kernel"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
	"flowbridge/media/voice/turns"
)

// stage is one thing that is done with a side's packets or sent in their place. A stage that does nothing in some of
// these methods embeds idle.
type stage interface {
	// packet handles an RTP packet accepted from the side.
	packet(p *Packet) Verdict

	// leave handles an RTP packet of the side as it is sent to the other side.
	leave(pkt []byte)

	// due returns when attend must be called even without a packet.
	due() time.Duration
	attend(now time.Duration)

	// plain reports whether the kernel may relay the side's packets, except the payload types in up.
	plain(now time.Duration) bool
	up() packet.PayloadSet

	// pauses returns the stage's reasons why the line carries no conversation.
	pauses(now time.Duration) turns.Why

	// speaks reports whether the stage's own packets replace the side's.
	speaks() bool

	// silence ends what is meant for a receiver that is on hold or has moved.
	silence(moved bool, now time.Duration)

	// save writes the state that a hand-over passes on, and restore continues it. A kill loses it.
	save(st *SideState, c stream.Clock)
	restore(st *SideState, c stream.Clock)
}

// Hearer is a stage that must also know the packets that the kernel relays: its program listens to them.
type Hearer interface {
	hears() bool
	Miss() // the kernel relays without listening

	// Speech returns what has been heard, for the kernel to continue, and Overhear adds what the kernel has heard until
	// at, since its state was last read. epoch is the epoch of our times by the kernel's clock.
	Speech(epoch time.Duration) *kernel.Speech
	Overhear(heard *kernel.Speech, at, read, epoch time.Duration)
}

// idle is a stage that does nothing.
type idle struct{}

func (idle) packet(*Packet) Verdict           { return Relay }
func (idle) leave([]byte)                     {}
func (idle) due() time.Duration               { return stream.Never }
func (idle) attend(time.Duration)             {}
func (idle) plain(time.Duration) bool         { return true }
func (idle) up() (none packet.PayloadSet)     { return none }
func (idle) pauses(time.Duration) turns.Why   { return 0 }
func (idle) speaks() bool                     { return false }
func (idle) silence(bool, time.Duration)      {}
func (idle) save(*SideState, stream.Clock)    {}
func (idle) restore(*SideState, stream.Clock) {}

// Order tells a stage what to do: a Mask, TelephoneEvents, a Transcode, a Digit, a Play or Stop, a HoldBack, a
// Detect, a Tapping, a Conversation, or an Interrupt.
type Order interface {
	apply(w *way, now time.Duration)
}

// State is the state of a session's stages that another process needs.
type State struct {
	Sides [2]SideState `cbor:"1,keyasint"`
	Talk  *talkState   `cbor:"2,keyasint,omitempty"`
}

// SideState is the state of one side's stages.
type SideState struct {
	Settings Settings       `cbor:"1,keyasint,omitzero"`
	Listener *listenerState `cbor:"2,keyasint,omitempty"`
	Masker   *maskerState   `cbor:"3,keyasint,omitempty"`
	Dialer   *dialerState   `cbor:"4,keyasint,omitempty"`
	Kept     []keptState    `cbor:"5,keyasint,omitempty"` // held back, oldest first
}

// Settings are the orders that stay in force, also in another process.
type Settings struct {
	Events TelephoneEvents `cbor:"1,keyasint,omitzero"`
	Mask   Mask            `cbor:"2,keyasint,omitzero"`

	Transcode *Transcode `cbor:"3,keyasint,omitempty"` // nil: off
	HoldBack  HoldBack   `cbor:"4,keyasint,omitempty"`
}

// Note records an order if it stays in force.
func (s *Settings) Note(o Order) {
	switch o := o.(type) {
	case TelephoneEvents:
		s.Events = o
	case Mask:
		s.Mask = o
	case HoldBack:
		s.HoldBack = o
	case Transcode:
		s.Transcode = nil
		if o.codec = nil; o.On {
			s.Transcode = &o
		}
	}
}

// Valid reports whether the side's settings are possible.
func (s *SideState) Valid() bool {
	return s.Settings.Events.PayloadType <= 127 && s.Settings.Transcode.valid()
}

// Packet is a packet accepted from a side.
type Packet struct {
	packet.Header // RTP only

	Data   []byte // RTP, which stages may change, or RTCP
	Now    time.Duration
	Source netip.AddrPort // that it came from
	Key    bool           // its payload type is one of the side's telephone-events
	Port   Kind           // the socket it arrived at
}

// Verdict says what happens to a packet.
type Verdict uint8

// The verdicts of stages.
const (
	Relay    Verdict = iota
	Masked           // only the tap sees it
	Hidden           // not even the tap sees it
	Diverted         // reported instead of relayed
	Replaced         // our own packets are sent in its place, or it was left out of what is held back
	Kept             // it is held back, and may be sent later

	// Verdicts of an edge:
	Overtaken // it came too late: others stand in its place
	Ahead     // it came too far ahead of time
)

// Session is what stages act on. Its sides are senders: what stages send to a side goes into the stream from the other
// side.
type Session interface {
	Stream(from Side) (*stream.Stream, *stream.Outlet)

	// Send sends a packet of our own in the stream from a side, and reports whether it was sent. Scratch is a buffer for
	// one packet.
	Send(from Side, pkt []byte) bool
	Scratch() []byte

	// Forward relays a packet from a side that was held back. Its numbers are those before the shift of the outlet.
	Forward(from Side, pkt []byte)

	// Receives reports whether the stream from a side has a receiver.
	Receives(from Side) bool

	// Shifted tells the session that an outlet was changed.
	Shifted()

	// Clock returns the time of day at a time of the session.
	Clock(at time.Duration) time.Time

	// Arm tells the session that a side's stages may be due earlier than before.
	Arm(from Side)

	// Pass gives a packet that an edge made from a side's packets to the stages, and Put sends one to a side. Cut
	// counts a packet from a side of which an edge makes nothing. Broke reports that an edge has failed, which ends its
	// side's audio.
	Pass(from Side, p *Packet)
	Put(to Side, pkt []byte) bool
	Cut(from Side, why Verdict)
	Broke(side Side, err error)

	// Away reports whether the kernel carries the stream from a side, and when its state was last read.
	Away(from Side) (read time.Duration, away bool)

	// What stages find out:
	Pressed(by Side, digit byte, duration time.Duration)
	Played(to Side, id uint64, s Sent)
	Restarted(to Side, id uint64) // a whole sound begins again, because the side has moved
	Answered(side Side, a answerer.Answer)
	Beeped(side Side, b answerer.Beep)
}

// Stages are the stages of both sides of a session.
type Stages struct {
	Held bool // a side wants no media, or is not there yet

	session Session
	ways    [2]*way // nil before the first order to a side
	talk    *talk   // nil if the conversation is not followed
}

// way is the sequence of stages that a side's packets pass.
type way struct {
	session Session
	both    *Stages
	side    Side
	in      *stream.Stream
	out     *stream.Outlet

	edge     edge // nil if the side's packets are those of the stages
	ear      *ear
	answer   *answer
	mask     *masker
	tap      *tapper
	listener *listener
	dialer   *dialer
	player   *player
	hold     *holdBack

	all   [8]stage // the existing stages, in order
	count int
}

// arrange puts the existing stages in their order. A stage is never removed.
func (w *way) arrange() {
	w.count = 0
	add := func(is bool, s stage) {
		if is {
			w.all[w.count] = s
			w.count++
		}
	}
	add(w.ear != nil, w.ear)
	add(w.answer != nil, w.answer)
	add(w.mask != nil, w.mask)
	add(w.tap != nil, w.tap)
	add(w.listener != nil, w.listener)
	add(w.dialer != nil, w.dialer)
	add(w.player != nil, w.player)
	add(w.hold != nil, w.hold)
}

// Init prepares the stages of a session.
func (s *Stages) Init(of Session) { s.session, s.Held = of, true }

// at returns the way of a side, creating it if necessary.
func (s *Stages) at(side Side) *way {
	if s.ways[side] == nil {
		w := &way{session: s.session, both: s, side: side}
		w.in, w.out = s.session.Stream(side)
		s.ways[side] = w
	}
	return s.ways[side]
}

// stages returns a side's stages in order.
func (s *Stages) stages(from Side) []stage {
	if w := s.ways[from]; w != nil {
		return w.all[:w.count]
	}
	return nil
}

// Order carries out an order about a side's packets. Only a Digit can be refused.
func (s *Stages) Order(from Side, o Order, now time.Duration) error {
	w := s.at(from)
	if d, ok := o.(Digit); ok {
		return d.press(w, now)
	}
	o.apply(w, now)
	return nil
}

// Packet passes an RTP packet of a side through its stages, and returns their verdict.
func (s *Stages) Packet(from Side, p *Packet) Verdict {
	for _, is := range s.stages(from) {
		switch v := is.packet(p); v {
		case Relay:
		case Masked:
			s.show(from, p, RTP)
			return v
		case Hidden, Diverted, Replaced, Kept, Overtaken, Ahead:
			return v
		}
	}
	if s.Speaks(from) {
		return Replaced
	}
	return Relay
}

// Report passes an RTCP packet of a side to its stages.
func (s *Stages) Report(from Side, p *Packet) { s.show(from, p, RTCP) }

// Leave passes an RTP packet to a side's stages as it is sent to the other side.
func (s *Stages) Leave(from Side, pkt []byte) {
	for _, is := range s.stages(from) {
		is.leave(pkt)
	}
}

// Due returns when Attend must be called for a side.
func (s *Stages) Due(from Side) time.Duration {
	due := stream.Never
	if e := s.edge(from); e != nil {
		due = e.due()
	}
	for _, is := range s.stages(from) {
		due = min(due, is.due())
	}
	return due
}

// Attend calls the stages of a side that are due.
func (s *Stages) Attend(from Side, now time.Duration) {
	if e := s.edge(from); e != nil {
		e.attend(now)
	}
	for _, is := range s.stages(from) {
		if is.due() <= now {
			is.attend(now)
		}
	}
}

// Plain reports whether the kernel may relay the packets of a side, except the payload types that Up returns.
func (s *Stages) Plain(from Side, now time.Duration) bool {
	if s.HasEdge(SideA) || s.HasEdge(SideB) {
		return false
	}
	for _, is := range s.stages(from) {
		if !is.plain(now) {
			return false
		}
	}
	return true
}

// Up returns the payload types whose packets the kernel must not relay.
func (s *Stages) Up(from Side) (all packet.PayloadSet) {
	for _, is := range s.stages(from) {
		up := is.up()
		all[0], all[1] = all[0]|up[0], all[1]|up[1]
	}
	return all
}

// Hearer returns the stage that hears a side now, or nil.
func (s *Stages) Hearer(from Side) Hearer {
	for _, is := range s.stages(from) {
		if h, ok := is.(Hearer); ok && h.hears() {
			return h
		}
	}
	return nil
}

// Speaks reports whether our own packets replace a side's.
func (s *Stages) Speaks(from Side) bool {
	w := s.ways[from]
	return w != nil && w.speaker(nil) != nil
}

// Inserts reports whether packets of our own are sent in a side's stream now, and not the side's that were held back.
func (s *Stages) Inserts(from Side) bool {
	w := s.ways[from]
	return w != nil && w.inserts()
}

func (w *way) inserts() bool {
	is := w.speaker(nil)
	return is != nil && is != stage(w.hold)
}

// speaker returns the first stage before another one whose packets replace the side's, or nil.
func (w *way) speaker(before stage) stage {
	for _, is := range w.all[:w.count] {
		switch {
		case is == before:
			return nil
		case is.speaks():
			return is
		}
	}
	return nil
}

// pauses returns the reasons of a side's stages why the line carries no conversation.
func (s *Stages) pauses(from Side, now time.Duration) (why turns.Why) {
	for _, is := range s.stages(from) {
		why |= is.pauses(now)
	}
	return why
}

// Silence ends what replaces a side's packets if the receiver is on hold or has moved.
func (s *Stages) Silence(from Side, moved bool, now time.Duration) {
	spoke := s.Speaks(from)
	for _, is := range s.stages(from) {
		is.silence(moved, now)
	}
	if spoke && !s.Speaks(from) {
		w := s.ways[from]
		w.out.End(w.in, now)
	}
}

// quiet resumes the side's stream, unless our own packets still replace it.
func (w *way) quiet(now time.Duration) {
	if !w.both.Speaks(w.side) {
		w.out.End(w.in, now)
		w.session.Shifted()
	}
	w.both.Changed(now)
}

// Changed tells the stages that something of the session has changed.
func (s *Stages) Changed(now time.Duration) { s.talk.line(now) }

// Tick tells the stages that time has passed. It reports whether to take a new state.
func (s *Stages) Tick(now time.Duration) (outdated bool) { return s.talk.tick(now) }

// Noted records that a state was taken.
func (s *Stages) Noted() { s.talk.note() }

// CatchUp tells the stages that Hearer was told what the kernel heard between a restored state and now.
func (s *Stages) CatchUp(exact bool, now time.Duration) { s.talk.catchUp(exact, now) }

// End tells the stages that the call has ended.
func (s *Stages) End(now time.Duration) {
	for _, w := range s.ways {
		if w != nil {
			w.hold.forget()
		}
	}
	s.talk.end(now)
}

// Save writes the state of the stages. An exact one is for a hand-over.
func (s *Stages) Save(st *State, exact bool, c stream.Clock) {
	st.Talk = s.talk.save(c)
	for side := range st.Sides {
		for _, is := range s.stages(Side(side)) {
			if exact {
				is.save(&st.Sides[side], c)
			}
		}
	}
}

// Restore continues the stages; CatchUp must follow. After a kill, when the state is not exact, what they were doing is
// lost.
func (s *Stages) Restore(st *State, exact bool, c stream.Clock) {
	s.restoreTalk(st.Talk, c)
	for side := range st.Sides {
		s.restoreSide(Side(side), &st.Sides[side], exact, c)
	}
}

func (s *Stages) restoreSide(from Side, st *SideState, exact bool, c stream.Clock) {
	set, kept := &st.Settings, exact && len(st.Kept) > 0
	if set.Transcode != nil || set.Events.On || set.Mask.On || bool(set.HoldBack) || kept || exact && st.Dialer != nil {
		w := s.at(from)
		if set.Transcode != nil {
			set.Transcode.apply(w, c.Now)
		}
		set.Events.apply(w, c.Now)
		set.Mask.apply(w, c.Now)
		if set.HoldBack.apply(w, c.Now); kept {
			HoldBack(true).apply(w, c.Now)
			w.hold.on = bool(set.HoldBack)
		}
		if exact && st.Dialer != nil {
			w.dialer = &dialer{way: w, next: stream.Never}
			w.arrange()
		}
	}
	for _, is := range s.stages(from) {
		if exact {
			is.restore(st, c)
		}
	}
}
