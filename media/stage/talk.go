package stage

import (
	"time"

	"flowbridge/media/kernel"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
)

// Conversation says how to follow the speech of both sides, starting with the first one applied.
type Conversation struct {
	// Agent is the side that answers; the other side is the caller.
	Agent Side `cbor:"1,keyasint,omitempty"`

	// Opus has, by side, the payload types with which it sends Opus that nobody decodes. The ears decode it.
	Opus [2]packet.PayloadSet `cbor:"2,keyasint,omitzero"`

	ears [2]*opusEar `cbor:"-"` // made by Ready
}

// Ready returns the order with the decoders that it needs, which take too long to create in the worker.
func (c Conversation) Ready() (Conversation, error) {
	for side, set := range c.Opus {
		if set == (packet.PayloadSet{}) || c.ears[side] != nil {
			continue
		}
		var err error
		if c.ears[side], err = newOpusEar(set); err != nil {
			return Conversation{}, err
		}
	}
	return c, nil
}

// Interrupt says that the line does not carry the conversation of caller and agent, or carries it again.
type Interrupt bool

// talk follows the conversation of a session.
type talk struct {
	of          *Stages
	config      Conversation
	answered    time.Duration // since the engine's epoch, as recorded
	turns       turns.Talk
	why         turns.Why // why the line carries no conversation
	interrupted bool
	changed     bool          // since the last state
	noted       time.Duration // when that state was taken
	over        bool          // the call has ended

	// restoring is set until CatchUp. What the kernel has heard since the state being resumed waits in caught, by side,
	// because it must first be known whether it is complete.
	restoring bool
	known     time.Duration // the state has all speech until then
	relayed   [2]bool       // by side: the kernel relayed, and may have heard more
	caught    [2]*caught
}

// caught is what the kernel heard of a side up to at.
type caught struct {
	kernel.Speech
	at time.Duration
}

// ear listens to a side, wherever its packets are relayed.
type ear struct {
	idle
	voice.Detector
	way   *way
	told  uint64   // segments so far
	noted uint64   // segments in the last state
	opus  *opusEar // nil: the side sends no Opus to decode
}

// talkNoted is how old a state may be while both sides keep speaking: a kill loses that much of the figures.
const talkNoted = 20 * time.Second

// talkNotedMuch is the same limit if the kernel has much to report. It also counts keys, so that a flood of them asks
// for no more states.
const talkNotedMuch = 3 * time.Second

func (c Conversation) apply(w *way, now time.Duration) {
	s := w.both
	if s.talk == nil {
		s.talk = &talk{of: s, answered: now, turns: *turns.New(now), noted: now}
	}
	s.talk.follow(c)
}

func (t *talk) follow(c Conversation) {
	t.config = c
	for side := range t.of.ways {
		if w := t.of.at(Side(side)); w.ear == nil {
			w.ear = &ear{way: w}
			w.arrange()
		}
		t.of.ways[side].ear.decode(c.Opus[side], c.ears[side])
	}
}

func (on Interrupt) apply(w *way, _ time.Duration) {
	if t := w.both.talk; t != nil {
		t.interrupted = bool(on)
	}
}

// heard returns the ear of a side, or nil if the kernel relays without listening.
func (t *talk) heard(side Side) *ear {
	if t.turns.Missed() {
		return nil
	}
	return t.of.ways[side].ear
}

func (t *talk) party(side Side) turns.Party {
	if side == t.config.Agent {
		return turns.Agent
	}
	return turns.Caller
}

func (e *ear) packet(p *Packet) Verdict {
	t := e.way.both.talk
	if t.turns.Missed() {
		return Relay
	}
	is := voice.Packet{ // as in p.voice, which the compiler does not inline: 8 of 70 ns
		Arrival: p.Now, SSRC: p.SSRC, Timestamp: p.Timestamp, Content: voice.ContentOf(p.PayloadType),
		Payload: packet.Payload(p.Data),
	}
	switch {
	case p.Key:
		is.Content = voice.Keys
	case e.opus != nil && e.opus.takes.Has(p.PayloadType) && e.opus.hear(is, e):
		return Relay
	}
	e.hear(is)
	return Relay
}

// voice returns what detectors use of an RTP packet.
func (p *Packet) voice() voice.Packet {
	return voice.Packet{
		Arrival: p.Now, SSRC: p.SSRC, Timestamp: p.Timestamp, Content: voice.ContentOf(p.PayloadType),
		Payload: packet.Payload(p.Data),
	}
}

// hear adds a packet to the conversation.
func (e *ear) hear(p voice.Packet) {
	heard, ok := e.Packet(p)
	if h := e.way.hold; h != nil && h.kept != nil {
		h.hear(&e.Detector, p)
	}
	if ok {
		t := e.way.both.talk
		e.told++
		t.turns.Hear(t.party(e.way.side), heard)
		t.changed = true
	}
}

// plain reports whether the kernel may relay the side's packets: it can't decode Opus.
func (e *ear) plain(time.Duration) bool { return e.opus == nil }

// hears reports whether the conversation is still measured.
func (e *ear) hears() bool { return !e.way.both.talk.turns.Missed() }

func (e *ear) Miss() { e.way.both.talk.turns.Miss(turns.Kernel) }

func (e *ear) Speech(epoch time.Duration) *kernel.Speech {
	k := &kernel.Speech{Detector: e.Detector, Told: e.told}
	k.Shift(epoch)
	return k
}

func (e *ear) Overhear(heard *kernel.Speech, at, read, epoch time.Duration) {
	t := e.way.both.talk
	if t.over {
		return
	}
	speech := *heard
	speech.Shift(-epoch)
	if t.restoring {
		t.caught[e.way.side] = &caught{speech, at}
		return
	}
	if _, complete := speech.Since(e.told); !complete { // it had not been read for too long
		t.turns.Unheard(read, at)
	}
	e.take(&speech, at)
}

// take adds what the kernel heard until at.
func (e *ear) take(speech *kernel.Speech, at time.Duration) {
	t := e.way.both.talk
	segments, _ := speech.Since(e.told)
	for _, s := range segments {
		t.turns.Hear(t.party(e.way.side), s)
		t.changed = true
	}
	e.Detector, e.told = speech.Detector, speech.Told
	t.turns.Look(t.party(e.way.side), e.View(at))
}

// Look updates the conversation, and reports whether it is followed.
func (s *Stages) Look(now time.Duration) (followed bool) { return s.talk.look(now) }

func (t *talk) look(now time.Duration) (followed bool) {
	if t == nil {
		return false
	}
	for side := range t.of.ways {
		if e := t.heard(Side(side)); e != nil {
			at := now
			if read, away := t.of.session.Away(Side(side)); away {
				at = read
			}
			t.turns.Look(t.party(Side(side)), e.View(at))
		}
	}
	return true
}

// Figures returns the figures of the conversation so far, or nil if it is not followed.
func (s *Stages) Figures() *turns.Figures {
	if s.talk == nil {
		return nil
	}
	f := s.talk.turns.Figures()
	return &f
}

// Waiting returns how long the caller has been waiting for the agent, or 0 if the caller is not waiting.
func (s *Stages) Waiting(now time.Duration) time.Duration {
	if s.talk == nil {
		return 0
	}
	if party, since, ok := s.talk.turns.Waiting(); ok && party == turns.Agent {
		return now - since
	}
	return 0
}

// Spoke returns how long a side has spoken. measured is false if that is unknown.
func (s *Stages) Spoke(side Side) (d time.Duration, measured bool) {
	f := s.Figures()
	if f == nil || f.Confidence == turns.NotMeasured {
		return 0, false
	}
	return f.Parties[s.talk.party(side)].Spoke, true
}

// Speaking returns who is speaking now, by turns.Party.
func (s *Stages) Speaking() (who [2]bool) {
	if s.talk != nil {
		who = s.talk.turns.Speaking()
	}
	return who
}

// Said returns when the call was answered, and when both parties have spoken since. ok is false if that is not known.
func (s *Stages) Said() (answered time.Duration, said [2]turns.Spans, ok bool) {
	if s.talk == nil || s.talk.turns.Figures().Confidence == turns.NotMeasured {
		return 0, said, false
	}
	return s.talk.answered, s.talk.turns.Spans(), true
}

// end evaluates the speech until the end of the call.
func (t *talk) end(now time.Duration) {
	if t.look(now) {
		t.turns.Finish(now)
		t.over = true
	}
}

// line checks whether the line carries a conversation now.
func (t *talk) line(now time.Duration) {
	if t == nil {
		return
	}
	is := t.of.pauses(SideA, now) | t.of.pauses(SideB, now)
	if t.interrupted {
		is |= turns.Transfer
	}
	if t.of.Held {
		is |= turns.Hold
	}
	if ends := t.why &^ is; ends != 0 {
		t.turns.Resume(ends, now)
	}
	if begins := is &^ t.why; begins != 0 {
		t.turns.Pause(begins, now)
	}
	t.why = is
}

// talkState is the state of the conversation that another process needs.
type talkState struct {
	Conversation Conversation      `cbor:"1,keyasint"`
	Answered     time.Duration     `cbor:"2,keyasint"`
	Interrupted  bool              `cbor:"3,keyasint,omitempty"`
	Why          turns.Why         `cbor:"4,keyasint,omitempty"`
	Turns        turns.State       `cbor:"5,keyasint"`
	Heard        [2]voice.Detector `cbor:"6,keyasint"` // by Side, as is Told
	Told         [2]uint64         `cbor:"7,keyasint"`
	Known        time.Duration     `cbor:"8,keyasint"` // it contains all speech until then
	Relayed      [2]bool           `cbor:"9,keyasint"` // by the kernel
}

// save returns the state of the conversation, in a state's times, or nil if it is not followed.
func (t *talk) save(c stream.Clock) *talkState {
	if t == nil {
		return nil
	}
	st := &talkState{
		Conversation: t.config, Answered: c.Epoch + t.answered, Interrupted: t.interrupted, Why: t.why,
		Turns: t.turns.State(), Known: c.Epoch + c.Now,
	}
	for side := range st.Heard {
		e := t.heard(Side(side))
		if e == nil {
			continue
		}
		st.Heard[side], st.Told[side] = e.Detector, e.told
		st.Heard[side].Shift(c.Epoch)
		if read, away := t.of.session.Away(Side(side)); away {
			st.Relayed[side], st.Known = true, min(st.Known, c.Epoch+read)
		}
	}
	return st
}

// restoreTalk continues a conversation. An invalid state loses only the figures.
func (s *Stages) restoreTalk(st *talkState, c stream.Clock) {
	if st == nil {
		return
	}
	answered := st.Answered - c.Epoch
	t, err := turns.Resume(answered, st.Turns)
	if err != nil {
		return
	}
	s.talk = &talk{
		of: s, answered: answered, turns: *t, why: st.Why, interrupted: st.Interrupted, noted: c.Now,
		restoring: true, known: c.Past(st.Known), relayed: st.Relayed,
	}
	if c, err := st.Conversation.Ready(); err == nil {
		s.talk.follow(c)
	} else {
		s.talk.follow(Conversation{Agent: st.Conversation.Agent})
	}
	for side := range st.Heard {
		if e := s.talk.heard(Side(side)); e != nil {
			e.Detector, e.told, e.noted = st.Heard[side], st.Told[side], st.Told[side]
			e.Shift(-c.Epoch)
		}
	}
}

// catchUp adds what was said between a state and now. The kernel may have heard it; if its flows could not be adopted,
// nothing is added. An exact state contains everything that the worker relayed. Unknown speech is not measured.
func (t *talk) catchUp(exact bool, now time.Duration) {
	if t == nil || !t.restoring {
		return
	}
	t.restoring = false
	complete := true
	for side, c := range t.caught {
		is := exact && !t.relayed[side]
		if e := t.heard(Side(side)); c != nil && e != nil {
			_, is = c.Since(e.told)
		}
		complete = complete && is
	}
	if !complete {
		t.turns.Unheard(t.known, now)
	}
	for side, c := range t.caught {
		if e := t.heard(Side(side)); c != nil && e != nil {
			e.take(&c.Speech, c.at)
		}
	}
	t.caught = [2]*caught{}
}

// tick updates the conversation. It reports whether to take a new state: the last one is old and there was speech
// since, or the kernel might soon be unable to report everything after it.
func (t *talk) tick(now time.Duration) (outdated bool) {
	if !t.look(now) || !t.changed || now-t.noted < talkNotedMuch {
		return false
	}
	outdated = now-t.noted >= talkNoted
	for side := range t.of.ways {
		e := t.heard(Side(side))
		if _, away := t.of.session.Away(Side(side)); away && e != nil {
			outdated = outdated || e.told-e.noted >= kernel.Told-2
		}
	}
	if outdated {
		t.noted = now
	}
	return outdated
}

// note records that a state was taken.
func (t *talk) note() {
	if t == nil {
		return
	}
	t.changed = false
	for _, w := range t.of.ways {
		w.ear.noted = w.ear.told
	}
}
