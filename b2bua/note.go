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

// What a call notes of itself, for the process after this one: before its 200 leaves, and
// before each later change is confirmed.

// held is what waits until the call's state is on file. The ACK of a target's answer does: it has the call from that
// on, and the next process could not cancel it. The answer to a BYE does, too, with what follows it: its peer never
// says again that it has left.
type held struct {
	wire    *transport.Wire
	effects []leg.Effect
}

// notes are what a call has noted for the next process, and what waits for that.
type notes struct {
	idle
	invite string    // the INVITE as they have it; empty: none has it yet
	marked bool      // before the next message leaves, and before the call rests
	at     time.Time // deadline, of soon
	acks   []held
	byes   []held // the answer to a BYE, and what it has led to
	shared []held // what the call says after it was answered or transferred, until other machines have it, too
	shares bool   // they are waited for
	owes   bool   // what the legs owe is on file
}

// noting says when a call that is answered is noted after something has happened to it.
type noting int

const (
	atOnce    noting = iota // before its next message leaves, at the latest when its turn ends
	inAMoment               // by soon
	quiet                   // not: what it says in answer is noted by before, or the next process need not know of it
)

// noted says when a fact or an event is noted: at once, but for those that are listed here. Of the quiet ones the next
// process need not know, or what the call says in answer is noted by before. A call without an answer is noted by what
// it says alone.
func (h happening) noted() noting {
	switch h.fact.(type) {
	case leg.Progress, leg.Refused, leg.Offered, leg.Asked, leg.Replied:
		return quiet
	case leg.Confirmed:
		if !message.IsStream(h.from.Leg.Local.Transport) { // only over UDP the peer repeats it
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
		media.EventOneWay, media.EventHeard: // those who watch the call are shown it
	}
	if _, is := h.event.(ready); is {
		return quiet
	}
	return atOnce
}

// after has the call noted after a fact or an event. Several of a turn are one note.
func (n *notes) after(h happening) {
	switch h.noted() {
	case atOnce:
		n.mark()
	case inAMoment:
		n.soon()
	case quiet:
	}
}

func (n *notes) mark() { n.marked, n.at = true, time.Time{} }

func (n *notes) deadline() time.Time { return n.at }

func (n *notes) due(time.Time) { n.mark() }

func (n *notes) busy() error {
	if n.shares {
		return errRequest
	}
	return nil
}

func (n *notes) end() { n.at = time.Time{} }

// before notes the call's state before what comes next is sent, if that changes it, a change before it waits for its
// note, or an ACK does. No other place writes to the journal while a call goes on.
func (n *notes) before(changes bool) {
	acks := n.acks
	n.acks = nil
	if changes || n.marked || len(acks) > 0 {
		n.write()
	}
	if len(acks) > 0 {
		n.share()
	}
	n.send(acks)
}

// share has all that the call says from now on wait until other machines have its newest note, too: a machine that had
// only the one before would end what has just been answered.
func (n *notes) share() {
	c := n.call
	n.shares = n.shares || !c.finished && c.server.await != nil &&
		c.server.await(c.id, func() { c.mailbox.Post(item{kept: true}) })
}

// perform sends what a leg tells its peer, once the call is noted.
func (n *notes) perform(l *legOnWire, effects []leg.Effect) {
	n.before(!n.call.finished && l.Leg.IsNotable(effects))
	if l == n.call.a && l.Leg.AnswersCall(effects) {
		n.share()
	}
	if n.shares {
		effects = slices.Clone(effects)
	}
	n.send([]held{{&l.wire, effects}})
}

func (n *notes) send(all []held) {
	if n.shares {
		n.shared = append(n.shared, all...)
		return
	}
	for _, h := range all {
		h.wire.Perform(h.effects)
	}
}

// letGo sends what has waited for other machines.
func (n *notes) letGo() {
	all := n.shared
	n.shared, n.shares = nil, false
	n.send(all)
}

// release notes the call and lets go of what is held, also of the answer to a BYE.
func (n *notes) release() {
	byes := n.byes
	n.byes = nil
	n.before(len(byes) > 0)
	n.send(byes)
}

// soon notes the call's state in a moment: the ACK of its answer, the sources of its
// media and the first words of both sides come one after the other. Until then the next
// process sends the answer again, and learns the sources. The numbers of SRTP can't wait.
func (n *notes) soon() {
	c := n.call
	if c.bridge.Keying.Suite(media.SideA) != "" || c.bridge.Keying.Suite(media.SideB) != "" {
		n.mark()
	} else if n.at.IsZero() && !c.finished {
		n.at = time.Now().Add(noteDelay)
	}
}

// noteDelay is how long such a note waits.
const noteDelay = 2 * time.Second

// write notes the call's state and its record so far.
func (n *notes) write() {
	c := n.call
	n.marked = false
	if c.finished {
		return
	}
	n.at = time.Time{}
	snapshot.Note(c.save, func(text []byte) {
		r := c.cdr()
		r.Attempts = slices.Clip(r.Attempts) // which are only appended to
		c.server.sink.Journal(r, text)
	})
}

// owe notes what the legs of a call that is over owe their peers; nil: nothing.
func (n *notes) owe(note func(state []byte)) {
	n.owes = len(n.call.legs) > 0
	if n.owes {
		snapshot.Note(n.owed, note)
	} else {
		note(nil)
	}
}

// oweOnly notes what the legs owe where the record does not come with it.
func (n *notes) oweOnly(state []byte) { n.call.server.sink.Owe(n.call.id, state) }

// over notes that the call is over, whose record waits for its recordings: the next process must not go on with it.
func (n *notes) over(r *record.Record) {
	snapshot.Note(func(k *snapshot.Sheet) { k.ID, k.Ended = n.call.id, r.Cause },
		func(text []byte) { n.call.server.sink.Journal(*r, text) })
}

// refusedMark follows the call's id in the id of its refusal, which has nothing to do with its legs.
const refusedMark = "#refused"

// oweRefusal notes the refusal of the caller's INVITE until its ACK has come: who has a provisional answer does not ask
// again (RFC 3261 section 17.1.1.2), so the next process repeats it.
func (n *notes) oweRefusal() {
	c := n.call
	refused, onSettled := c.a.wire.Refused()
	if refused == nil {
		return
	}
	sink, id := c.server.sink, c.id+refusedMark
	snapshot.Note(func(k *snapshot.Sheet) { k.ID, k.Ended, k.Refused = id, c.ended.Cause, refused },
		func(text []byte) { sink.Owe(id, text) })
	onSettled(func() { sink.Owe(id, nil) })
}

// owed is a call that is over as plain data.
func (n *notes) owed(k *snapshot.Sheet) {
	c := n.call
	c.saveOrigin(&k.Call)
	c.saveLegs(&k.Call)
	k.Ended = c.ended.Cause
}

// paid: the legs owe nothing any more.
func (n *notes) paid() {
	if n.owes {
		n.owes = false
		n.oweOnly(nil)
	}
}
