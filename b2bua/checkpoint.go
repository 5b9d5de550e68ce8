package b2bua

import (
	"slices"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// A call writes its state to the journal for the next process: before its 200 is sent, and before each later change is
// confirmed. Such a write is a checkpoint.

// pendingSend holds the effects of a leg that wait until the call's state is in the journal. The ACK to a target waits,
// because from then on the target has the call, and the next process could not cancel it. The answer to a BYE and its
// consequences also wait, because the peer will not repeat its BYE.
type pendingSend struct {
	wire    *transport.Wire
	effects []leg.Effect
}

// checkpoint writes a call's state to the journal, so that the next process or a standby can continue the call. The
// rule: a peer is told nothing that is not in the journal yet (ARCHITECTURE.md, decision 4).
type checkpoint struct {
	idle
	invite  string    // the journalled INVITE; empty until the first write
	dirty   bool      // the state has changed: write it before the next message, or at the end of the turn
	flushAt time.Time // when the write of flushSoon is due

	untilFlushed     []pendingSend // ACKs to targets
	byes             []pendingSend // the answer to a BYE, and its consequences
	untilReplicated  []pendingSend // all messages after an answer or a transfer, until a standby has the state
	awaiting         bool          // messages wait for the standby
	outstandingSaved bool          // the journal has the messages that the legs still have to send
}

// urgency says when an answered call's state is written after a fact or an event.
type urgency int

const (
	atOnce    urgency = iota // before the next message, at the latest at the end of the turn
	inAMoment                // by flushSoon
	quiet                    // not because of this: the call flushes by itself, or the next process can do without
)

// urgency returns when the state is written after a fact or an event: at once, except for those listed here. Before a
// call is answered, only the messages that it sends cause a write.
func (h happening) urgency() urgency {
	switch h.fact.(type) {
	case leg.Progress, leg.Refused, leg.Offered, leg.Asked, leg.Replied:
		return quiet
	case leg.Confirmed:
		if !message.IsStream(h.from.Leg.Local.Transport) { // only over UDP does the peer repeat it
			return inAMoment
		}
	case leg.Gone, leg.Cancelled, leg.Answered, leg.Withdrawn, leg.AnswerReady, leg.OfferRefused:
	}
	in, _ := h.event.(inBridge)
	switch in.Event.(type) {
	case media.EventWithheld, media.EventDigit, media.EventLatched, media.EventBeep, media.EventPlayed:
		return quiet
	case media.EventChanged:
		return inAMoment
	case media.EventSilent, bridge.HandshakeOver, bridge.Announced, media.EventAnsweredBy,
		media.EventOneWay, media.EventHeard: // viewers of the call see the change
	}
	if _, is := h.event.(ready); is {
		return quiet
	}
	return atOnce
}

// after schedules a write after a fact or an event. Several changes in one turn are written once.
func (p *checkpoint) after(h happening) {
	switch h.urgency() {
	case atOnce:
		p.markDirty()
	case inAMoment:
		p.flushSoon()
	case quiet:
	}
}

// markDirty schedules a write before the call's next message, or at the end of the turn.
func (p *checkpoint) markDirty() { p.dirty, p.flushAt = true, time.Time{} }

func (p *checkpoint) deadline() time.Time { return p.flushAt }

func (p *checkpoint) due(time.Time) { p.markDirty() }

func (p *checkpoint) busy() error {
	if p.awaiting {
		return errRequest
	}
	return nil
}

func (p *checkpoint) end() { p.flushAt = time.Time{} }

// flush writes the state if it has changed, or if the next message changes it (changes), or if an ACK is waiting, and
// then sends the ACKs. Nothing else writes to the journal while the call is up.
func (p *checkpoint) flush(changes bool) {
	acks := p.untilFlushed
	p.untilFlushed = nil
	if changes || p.dirty || len(acks) > 0 {
		p.write()
	}
	if len(acks) > 0 {
		p.awaitReplica()
	}
	p.send(acks)
}

// awaitReplica holds everything that the call sends until a standby has its newest state. A standby with an older state
// would hang up a call that was just answered.
func (p *checkpoint) awaitReplica() {
	c := p.call
	p.awaiting = p.awaiting || !c.finished && c.server.await != nil &&
		c.server.await(c.id, func() { c.mailbox.Post(item{kept: true}) })
}

// perform performs the effects of a leg once the state is written.
func (p *checkpoint) perform(l *legOnWire, effects []leg.Effect) {
	p.flush(!p.call.finished && l.Leg.NeedsCheckpoint(effects))
	if l == p.call.a && l.Leg.AnswersCall(effects) {
		p.awaitReplica()
	}
	if p.awaiting {
		effects = slices.Clone(effects)
	}
	p.send([]pendingSend{{&l.wire, effects}})
}

func (p *checkpoint) send(all []pendingSend) {
	if p.awaiting {
		p.untilReplicated = append(p.untilReplicated, all...)
		return
	}
	for _, h := range all {
		h.wire.Perform(h.effects)
	}
}

// replicated sends all messages that waited for the standby.
func (p *checkpoint) replicated() {
	all := p.untilReplicated
	p.untilReplicated, p.awaiting = nil, false
	p.send(all)
}

// release writes the state if needed, and sends all messages that waited for that, including the answer to a BYE.
func (p *checkpoint) release() {
	byes := p.byes
	p.byes = nil
	p.flush(len(byes) > 0)
	p.send(byes)
}

// flushSoon schedules a write in flushDelay. After an answer the ACK, the media sources and the first speech arrive one
// by one; one write covers them. If the process dies before, the next one sends the 200 again and learns the sources
// again. SRTP counters can't be learned, so with SRTP the write is immediate.
func (p *checkpoint) flushSoon() {
	c := p.call
	if c.bridge.Keying.Suite(media.SideA) != "" || c.bridge.Keying.Suite(media.SideB) != "" {
		p.markDirty()
	} else if p.flushAt.IsZero() && !c.finished {
		p.flushAt = time.Now().Add(flushDelay)
	}
}

// flushDelay is the delay of flushSoon.
const flushDelay = 2 * time.Second

// write writes the call's state, and its record so far, to the journal.
func (p *checkpoint) write() {
	c := p.call
	p.dirty = false
	if c.finished {
		return
	}
	p.flushAt = time.Time{}
	snapshot.Note(c.save, func(text []byte) {
		r := c.cdr()
		r.Attempts = slices.Clip(r.Attempts) // attempts are only appended
		c.server.sink.Journal(r, text)
	})
}

// saveOutstanding calls write with the state of a finished call's legs that still have messages to send, or with nil if
// there are none.
func (p *checkpoint) saveOutstanding(write func(state []byte)) {
	p.outstandingSaved = len(p.call.legs) > 0
	if p.outstandingSaved {
		snapshot.Note(p.outstanding, write)
	} else {
		write(nil)
	}
}

// writeOutstanding writes that state to the journal, without the call's record.
func (p *checkpoint) writeOutstanding(state []byte) { p.call.server.sink.Owe(p.call.id, state) }

// saveEnded writes that the call has ended while its record waits for its recordings: the next process must not
// continue it.
func (p *checkpoint) saveEnded(r *record.Record) {
	snapshot.Note(func(k *snapshot.Sheet) { k.ID, k.Ended = p.call.id, r.Cause },
		func(text []byte) { p.call.server.sink.Journal(*r, text) })
}

// refusedMark follows the call's id in the id of its stored refusal, which is independent of its legs.
const refusedMark = "#refused"

// saveRefusal stores the refusal of the caller's INVITE in the journal until its ACK has come. A caller that got a
// provisional answer does not send its INVITE again (RFC 3261 section 17.1.1.2), so the next process must repeat the
// refusal.
func (p *checkpoint) saveRefusal() {
	c := p.call
	refused, onSettled := c.a.wire.Refused()
	if refused == nil {
		return
	}
	sink, id := c.server.sink, c.id+refusedMark
	snapshot.Note(func(k *snapshot.Sheet) { k.ID, k.Ended, k.Refused = id, c.ended.Cause, refused },
		func(text []byte) { sink.Owe(id, text) })
	onSettled(func() { sink.Owe(id, nil) })
}

// outstanding adds the legs of a finished call that still have messages to send to a sheet.
func (p *checkpoint) outstanding(k *snapshot.Sheet) {
	c := p.call
	c.saveOrigin(&k.Call)
	c.saveLegs(&k.Call)
	k.Ended = c.ended.Cause
}

// clearOutstanding removes that state from the journal, because the legs have sent everything.
func (p *checkpoint) clearOutstanding() {
	if p.outstandingSaved {
		p.outstandingSaved = false
		p.writeOutstanding(nil)
	}
}
