package stage

import (
	"net/netip"
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
	"flowbridge/media/voice/turns"
)

// stage is one thing that is done with what a side sends, or in its place. One that has nothing to do at some of these
// moments embeds idle.
type stage interface {
	// packet is given an RTP packet that was accepted from the side.
	packet(p *Packet) Verdict

	// leave is given an RTP packet of the side as it goes to the other side.
	leave(pkt []byte)

	// due is when to attend to the stage without a packet.
	due() time.Duration
	attend(now time.Duration)

	// plain reports whether the kernel may relay the side's packets, but those of the payload types up.
	plain(now time.Duration) bool
	up() packet.PayloadSet

	// pauses are the reasons of the stage's for which the line carries no conversation.
	pauses(now time.Duration) turns.Why

	// speaks reports whether packets of the stage's own replace those of the side.
	speaks() bool

	// silence ends what is for a receiver that is on hold, or has moved.
	silence(moved bool, now time.Duration)

	// save writes what a hand-over tells, and restore goes on with it. After a kill it is over.
	save(st *State, c stream.Clock)
	restore(st *State, c stream.Clock)
}

// idle is a stage that does nothing.
type idle struct{}

func (idle) packet(*Packet) Verdict         { return Relay }
func (idle) leave([]byte)                   {}
func (idle) due() time.Duration             { return stream.Never }
func (idle) attend(time.Duration)           {}
func (idle) plain(time.Duration) bool       { return true }
func (idle) up() (none packet.PayloadSet)   { return none }
func (idle) pauses(time.Duration) turns.Why { return 0 }
func (idle) speaks() bool                   { return false }
func (idle) silence(bool, time.Duration)    {}
func (idle) save(*State, stream.Clock)      {}
func (idle) restore(*State, stream.Clock)   {}

// Packet is a packet that was accepted from a side.
type Packet struct {
	packet.Header // of RTP

	Data   []byte // RTP, which stages may change, or RTCP
	Now    time.Duration
	Source netip.AddrPort // that it came from
	Key    bool           // of a payload type that the side has for keys
	Port   Kind           // of the socket that it came to
}

// Verdict says what becomes of a packet.
type Verdict uint8

// The verdicts of stages.
const (
	Relay    Verdict = iota
	Masked           // the tap sees it, and nobody else
	Hidden           // nobody sees it
	Diverted         // it is reported instead
	Replaced         // packets of our own are sent in its place
)

// Session is what stages act on. Its sides are those that send: what stages send to a side goes into the stream from
// the other one.
type Session interface {
	Stream(from Side) (*stream.Stream, *stream.Outlet)

	// Send sends a packet of our own in the stream from a side, and reports whether it went. Scratch is room for one.
	Send(from Side, pkt []byte) bool
	Scratch() []byte

	// Receives reports whether somebody is sent the stream from a side.
	Receives(from Side) bool

	// Shifted says that an outlet was changed.
	Shifted()

	// Arm says that the stages of a side may be due earlier than before.
	Arm(from Side)

	// Away reports whether the kernel has the stream from a side, and when it was asked about it last.
	Away(from Side) (read time.Duration, away bool)

	Reports
}

// Stages are those of both sides of a session.
type Stages struct {
	Held bool // a side wants no media, or there is nobody yet

	session Session
	ways    [2]*way // nil before the first order to a side
	talk    *talk   // nil: the conversation is not followed
}

// way is what stands in the way of a side's packets.
type way struct {
	session Session
	both    *Stages
	side    Side
	in      *stream.Stream
	out     *stream.Outlet

	ear      *ear
	answer   *answer
	mask     *masker
	tap      *tapper
	listener *listener
	dialer   *dialer
	player   *player

	all   [7]stage // those that there are, in order
	count int
}

// arrange puts the stages that there are in their order. No stage ever goes.
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
}

// Init makes the stages of a session.
func (s *Stages) Init(of Session) { s.session, s.Held = of, true }

// at has the way of a side, from now on.
func (s *Stages) at(side Side) *way {
	if s.ways[side] == nil {
		w := &way{session: s.session, both: s, side: side}
		w.in, w.out = s.session.Stream(side)
		s.ways[side] = w
	}
	return s.ways[side]
}

// stages are those of a side, in order.
func (s *Stages) stages(from Side) []stage {
	if w := s.ways[from]; w != nil {
		return w.all[:w.count]
	}
	return nil
}

// Order carries an order out that concerns the packets of a side. Only a Digit can be refused.
func (s *Stages) Order(from Side, o Order, now time.Duration) error {
	w := s.at(from)
	if d, ok := o.(Digit); ok {
		return d.press(w, now)
	}
	o.apply(w, now)
	return nil
}

// Packet gives the stages of a side an RTP packet of it, and returns what becomes of it.
func (s *Stages) Packet(from Side, p *Packet) Verdict {
	for _, is := range s.stages(from) {
		switch v := is.packet(p); v {
		case Relay:
		case Masked:
			s.show(from, p, RTP)
			return v
		case Hidden, Diverted, Replaced:
			return v
		}
	}
	if s.Speaks(from) {
		return Replaced
	}
	return Relay
}

// Report gives the stages of a side an RTCP packet of it.
func (s *Stages) Report(from Side, p *Packet) { s.show(from, p, RTCP) }

// Leave gives the stages of a side an RTP packet as it goes to the other side.
func (s *Stages) Leave(from Side, pkt []byte) {
	for _, is := range s.stages(from) {
		is.leave(pkt)
	}
}

// Due is when Attend must be called for a side.
func (s *Stages) Due(from Side) time.Duration {
	due := stream.Never
	for _, is := range s.stages(from) {
		due = min(due, is.due())
	}
	return due
}

// Attend attends to the stages of a side that are due.
func (s *Stages) Attend(from Side, now time.Duration) {
	for _, is := range s.stages(from) {
		if is.due() <= now {
			is.attend(now)
		}
	}
}

// Plain reports whether the kernel may relay the packets of a side, but those of the payload types that Up returns.
func (s *Stages) Plain(from Side, now time.Duration) bool {
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

// Speaks reports whether our own packets replace those of a side.
func (s *Stages) Speaks(from Side) bool {
	for _, is := range s.stages(from) {
		if is.speaks() {
			return true
		}
	}
	return false
}

// Pauses are the reasons of a side's stages for which the line carries no conversation.
func (s *Stages) Pauses(from Side, now time.Duration) (why turns.Why) {
	for _, is := range s.stages(from) {
		why |= is.pauses(now)
	}
	return why
}

// Silence ends what is sent in place of a side's packets to a receiver that is on hold, or has moved.
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

// quiet resumes the stream of the side, unless our own packets still replace it.
func (w *way) quiet(now time.Duration) {
	if !w.both.Speaks(w.side) {
		w.out.End(w.in, now)
		w.session.Shifted()
	}
	w.both.Line(now)
}

// Save writes what a hand-over tells of the stages of a side.
func (s *Stages) Save(from Side, st *State, c stream.Clock) {
	for _, is := range s.stages(from) {
		is.save(st, c)
	}
}

// Restore goes on with the stages of a side. After a kill, which is not exact, only its settings are left.
func (s *Stages) Restore(from Side, st *State, exact bool, c stream.Clock) {
	if set := &st.Settings; set.Events.On || set.Mask.On || exact && st.Dialer != nil {
		w := s.at(from)
		set.Events.apply(w, c.Now)
		set.Mask.apply(w, c.Now)
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
