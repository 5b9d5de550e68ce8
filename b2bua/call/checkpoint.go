package call

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

	"github.com/emiago/sipgo/sip"
)

// This file writes a call's state to the journal, so that a new process can continue the call: before its 200 is sent,
// and before each later change is confirmed to the peer. Such a write is a checkpoint.

// pendingSend is an effect of a leg that waits until the call's state is in the journal. The ACK to a target waits,
// because after it a new process could no longer cancel the INVITE. The answer to a BYE and what follows from it wait
// too, because the peer does not repeat its BYE once it is answered.
type pendingSend struct {
	wire   *transport.Wire
	effect leg.Effect
}

// postponed appends a leg's effects to the waiting ones.
func postponed(all []pendingSend, l *LegOnWire, effects []leg.Effect) []pendingSend {
	for _, e := range effects {
		all = append(all, pendingSend{&l.wire, e})
	}
	return all
}

// checkpoint writes a call's state to the journal, so that a new process or a standby can continue the call. The rule:
// a peer is told nothing that is not in the journal yet (ARCHITECTURE.md, decision 4).
type checkpoint struct {
	idle
	invite  string    // the INVITE as journalled; empty until the first write
	dirty   bool      // the state has changed, and must be written before the next message, or at the end of the turn
	flushAt time.Time // when the write that flushSoon scheduled is due; zero if none is

	untilFlushed     []pendingSend // ACKs to targets, sent after the next write
	byes             []pendingSend // the answer to a BYE and what follows from it, sent after the next write
	untilReplicated  []pendingSend // messages that wait until a standby has the state
	awaiting         bool          // the call waits for the standby, so that all messages go to untilReplicated
	outstandingSaved bool          // the journal has the legs of this finished call that still have messages to send
}

// urgency says how soon an answered call's state is written after a fact or an event.
type urgency int

const (
	atOnce    urgency = iota // before the next message, and at the latest at the end of the turn
	inAMoment                // after flushDelay
	quiet                    // no write: the call flushes by itself, or a new process can do without this change
)

// urgency returns how soon the state is written after this fact or event: at once, except for those listed here. Before
// a call is answered, the state is written only because of messages that it sends, and because a target rings.
func (h happening) urgency() urgency {
	switch h.fact.(type) {
	case leg.Progress, leg.Refused, leg.Offered, leg.Asked, leg.Replied:
		return quiet
	case leg.Confirmed:
		if !message.IsStream(h.from.Leg.Local.Transport) { // only over UDP does the peer repeat its ACK
			return inAMoment
		}
	case leg.Gone, leg.Cancelled, leg.Answered, leg.Withdrawn, leg.AnswerReady, leg.OfferRefused:
	}
	in, _ := h.event.(inBridge)
	switch in.Event.(type) {
	case media.EventWithheld, media.EventDigit, media.EventLatched, media.EventBeep, media.EventPlayed,
		media.EventRestarted:
		return quiet
	case media.EventChanged:
		return inAMoment
	case media.EventSilent, media.EventGone, bridge.HandshakeOver, bridge.Said, media.EventAnsweredBy,
		media.EventOneWay, media.EventHeard, media.EventSideSilent: // so that viewers of the call see the change
	}
	if _, is := h.event.(ready); is {
		return quiet
	}
	return atOnce
}

// after schedules the write that a fact or an event needs. Several changes in one turn are written together.
func (p *checkpoint) after(h happening) {
	switch h.urgency() {
	case atOnce:
		p.markDirty()
	case inAMoment:
		p.flushSoon()
	case quiet:
	}
}

// inviteOf returns the caller's INVITE as text.
func (p *checkpoint) inviteOf(invite *sip.Request) string {
	if p.invite == "" {
		b := message.TakeBuffer()
		defer b.Release()
		b.Append(invite)
		p.invite = string(b.Bytes)
	}
	return p.invite
}

// forgetInvite drops the caller's INVITE, because its headers are enough from now on.
func (p *checkpoint) forgetInvite() { p.invite = "" }

// markDirty schedules a write before the call's next message, or at the end of the turn.
func (p *checkpoint) markDirty() { p.dirty, p.flushAt = true, time.Time{} }

func (p *checkpoint) deadline() time.Time { return p.flushAt }

func (p *checkpoint) due(time.Time) { p.markDirty() }

func (p *checkpoint) busy() error {
	if p.awaiting {
		return bridge.ErrRequest
	}
	return nil
}

func (p *checkpoint) end() { p.flushAt = time.Time{} }

// flush writes the state if it has changed, if changes says that the next message changes it, or if an ACK waits for
// it. Then it sends these ACKs.
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

// awaitReplica holds back every message of the call until a standby has the call's newest state. A standby with an
// older state would hang up a call that was just answered.
func (p *checkpoint) awaitReplica() {
	c := p.call
	p.awaiting = p.awaiting || !c.finished && c.host.Await != nil &&
		c.host.Await(c.id, func() { c.mailbox.Post(item{kept: true}) })
}

// handle sends the messages with which a leg reacts to something, or postpones them until the next write.
func (p *checkpoint) handle(l *LegOnWire, facts []leg.Fact, effects []leg.Effect) {
	switch {
	case slices.ContainsFunc(facts, leg.IsAnswer):
		p.untilFlushed = postponed(p.untilFlushed, l, effects)
	case !p.call.finished && (len(p.byes) > 0 || slices.ContainsFunc(facts, leg.IsBye)):
		p.byes = postponed(p.byes, l, effects)
	default:
		p.perform(l, effects)
	}
}

// perform sends a leg's messages, after writing the state if they need that.
func (p *checkpoint) perform(l *LegOnWire, effects []leg.Effect) {
	p.flush(!p.call.finished && l.Leg.NeedsCheckpoint(effects))
	if l.Leg.AnswersCall(effects) {
		p.awaitReplica()
	}
	if p.awaiting {
		p.untilReplicated = postponed(p.untilReplicated, l, effects)
	} else {
		l.wire.Perform(effects)
	}
}

func (p *checkpoint) send(all []pendingSend) {
	if p.awaiting {
		p.untilReplicated = append(p.untilReplicated, all...)
		return
	}
	for _, h := range all {
		h.wire.Perform([]leg.Effect{h.effect})
	}
}

// replicated sends the messages that waited for the standby.
func (p *checkpoint) replicated() {
	all := p.untilReplicated
	p.untilReplicated, p.awaiting = nil, false
	p.send(all)
}

// release writes the state if needed, and then sends all messages that waited for the write, including the answer to a
// BYE.
func (p *checkpoint) release() {
	byes := p.byes
	p.byes = nil
	p.flush(len(byes) > 0)
	p.send(byes)
}

// flushSoon schedules a write after flushDelay. After an answer, the ACK, the media sources and the first speech arrive
// one by one; one write covers them. If the process dies before, the new process sends the 200 again and learns the
// sources again. With SRTP, the write happens in this turn, because SRTP counters can't be learned.
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
		r.Attempts = slices.Clip(r.Attempts) // clipped, because the call may still append to it
		c.host.Sink.Journal(r, text)
	})
}

// saveOutstanding calls write with the state of the legs that still have messages to send, of a finished call. It calls
// write with nil if there are no such legs.
func (p *checkpoint) saveOutstanding(write func(state []byte)) {
	p.outstandingSaved = len(p.call.legs) > 0
	if p.outstandingSaved {
		snapshot.Note(p.outstanding, write)
	} else {
		write(nil)
	}
}

// writeOutstanding writes that state of the legs to the journal, without the call's record. nil removes it.
func (p *checkpoint) writeOutstanding(state []byte) { p.call.host.Sink.Owe(p.call.id, state) }

// saveEnded journals that the call has ended, because its record still waits for its recordings. Without this, a new
// process would continue the call.
func (p *checkpoint) saveEnded(r *record.Record) {
	snapshot.Note(func(k *snapshot.Sheet) { k.ID, k.Ended = p.call.id, r.Cause },
		func(text []byte) { p.call.host.Sink.Journal(*r, text) })
}

// refusedMark is appended to the call's id, to form the id under which its refusal is stored. The refusal is
// independent of the call's legs.
const refusedMark = "#refused"

// saveRefusal journals the refusal of the caller's INVITE until the caller's ACK has come. A caller that got a
// provisional response does not repeat its INVITE (RFC 3261 section 17.1.1.2), so a new process must be able to repeat
// the refusal.
func (p *checkpoint) saveRefusal() {
	c := p.call
	refused, onSettled := c.a.wire.Refused()
	if refused == nil {
		return
	}
	sink, id := c.host.Sink, c.id+refusedMark
	snapshot.Note(func(k *snapshot.Sheet) { k.ID, k.Ended, k.Refused = id, c.ended.Cause, refused },
		func(text []byte) { sink.Owe(id, text) })
	onSettled(func() { sink.Owe(id, nil) })
}

// outstanding adds to a sheet the legs of a finished call that still have messages to send.
func (p *checkpoint) outstanding(k *snapshot.Sheet) {
	c := p.call
	c.saveOrigin(&k.Call)
	c.saveLegs(&k.Call)
	k.Ended = c.ended.Cause
}

// clearOutstanding removes these legs from the journal, because they have sent everything.
func (p *checkpoint) clearOutstanding() {
	if p.outstandingSaved {
		p.outstandingSaved = false
		p.writeOutstanding(nil)
	}
}
