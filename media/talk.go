package media

import (
	"time"

	"flowbridge/media/kernel"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
)

// Conversation says how the speech of both sides is followed.
type Conversation struct {
	// Agent is the side that answers; the other one is the caller.
	Agent Side `cbor:"1,keyasint,omitempty"`
}

// Follow has the conversation measured from the first call on.
func (s *Session) Follow(c Conversation) { s.set(command{op: opFollow, follow: &c}) }

// Interrupt says that the line carries no conversation of the caller with the agent, or does again.
func (s *Session) Interrupt(on bool) { s.set(command{op: opInterrupt, on: on}) }

// Talk returns what the conversation was like so far; nil: it is not followed. After Close it returns what it was like.
func (s *Session) Talk() *turns.Figures {
	r := &s.relay
	open := r.enter()
	if open {
		defer r.leave()
	} // else nobody changes it any more
	if r.talk == nil {
		return nil
	}
	if open {
		r.refresh(anyAge)
		r.talk.look(r, s.engine.now())
	}
	f := r.talk.turns.Figures()
	return &f
}

// AgentWaited returns for how long the caller has been waiting for the agent to say something; 0: it does not, or that
// is not known.
func (s *Session) AgentWaited() time.Duration {
	r := &s.relay
	if !r.enter() {
		return 0
	}
	defer r.leave()
	if r.talk == nil {
		return 0
	}
	r.refresh(atOnce)
	now := s.engine.now()
	r.talk.look(r, now)
	party, since, ok := r.talk.turns.Waiting()
	if !ok || party != turns.Agent {
		return 0
	}
	return now - since
}

// Speaking returns who speaks now, by turns.Party; false for both where the conversation is not followed.
func (s *Session) Speaking() (now [2]bool) {
	r := &s.relay
	if !r.enter() {
		return now
	}
	defer r.leave()
	if r.talk == nil {
		return now
	}
	r.refresh(anyAge)
	r.talk.look(r, s.engine.now())
	return r.talk.turns.Speaking()
}

// Speech returns when the call was answered and what both parties said since, by turns.Party, to be shown. ok is false
// if the conversation is not followed, or not measured.
func (s *Session) Speech() (answered time.Time, said [2]turns.Spans, ok bool) {
	r := &s.relay
	if r.enter() {
		defer r.leave()
	}
	if r.talk == nil || r.talk.turns.Figures().Confidence == turns.NotMeasured {
		return time.Time{}, said, false
	}
	return s.engine.epoch.Add(r.talk.answered), r.talk.turns.Spans(), true
}

// talk follows the conversation of a session. Who has the turn owns it.
type talk struct {
	config      Conversation
	answered    time.Duration // since the engine's epoch, as noted
	turns       turns.Talk
	why         turns.Why // that the line carries no conversation
	interrupted bool
	changed     bool          // since the last state
	noted       time.Duration // when that was
	over        bool          // the call has ended

	// restoring: what the kernel has heard since the state that is being resumed waits in caught, by side, because it
	// has to be known first whether that is all.
	restoring bool
	known     time.Duration // until when the state has all that was said
	relayed   [2]bool       // by side: the kernel relayed, and may have heard more
	caught    [2]*caught
}

// caught is what the kernel has heard of a side until a moment.
type caught struct {
	kernel.Speech
	at time.Duration
}

// detector is what is heard of a side, wherever its packets are relayed.
type detector struct {
	voice.Detector
	told  uint64 // segments so far
	noted uint64 // of them, those of the last state
}

// talkNoted is how old a state may be while both go on to speak: a kill costs as much of the conversation's figures.
const talkNoted = 20 * time.Second

// talkNotedMuch is the same where the kernel has much to tell. Keys are told, too: a flood of them asks for no more
// states.
const talkNotedMuch = 3 * time.Second

func (r *relay) follow(c Conversation, now time.Duration) {
	if r.talk == nil {
		r.talk = &talk{answered: now, turns: *turns.New(now), noted: now}
	}
	r.talk.config = c
	for side := range r.endpoint {
		if ep := &r.endpoint[side][RTP]; ep.rtpState != nil {
			r.listen(ep)
		}
	}
}

// listen has a side's speech heard, if the conversation is followed.
func (r *relay) listen(ep *endpoint) {
	if ep.voice == nil && r.talk != nil && !r.talk.turns.Missed() {
		ep.voice = &detector{}
	}
}

func (t *talk) party(side Side) turns.Party {
	if side == t.config.Agent {
		return turns.Agent
	}
	return turns.Caller
}

// hear judges a packet that was accepted from ep.
func (t *talk) hear(ep *endpoint, h packet.Header, pkt []byte, now time.Duration) {
	if ep.voice == nil {
		return
	}
	p := voice.Packet{Arrival: now, SSRC: h.SSRC, Timestamp: h.Timestamp, Content: voice.ContentOf(h.PayloadType)}
	if ep.relay.party[ep.side].named.Events.Has(h.PayloadType) {
		p.Content = voice.Keys
	}
	p.Payload = packet.Payload(pkt)
	if heard, ok := ep.voice.Packet(p); ok {
		ep.voice.told++
		t.turns.Hear(t.party(ep.side), heard)
		t.changed = true
	}
}

// overhear takes what the kernel has heard of ep's side since it was asked last. The caller has the turn.
func (t *talk) overhear(ep *endpoint, k *kernel.State) {
	if k.Speech == nil || ep.voice == nil || t.over {
		return
	}
	speech, at := *k.Speech, k.At-ep.offload.by.epoch
	speech.Shift(-ep.offload.by.epoch)
	if t.restoring {
		t.caught[ep.side] = &caught{speech, at}
		return
	}
	if _, complete := speech.Since(ep.voice.told); !complete { // it was not asked for long
		t.turns.Unheard(ep.offload.read, at)
	}
	t.take(ep, &speech, at)
}

// take goes on with what the kernel has heard until a moment.
func (t *talk) take(ep *endpoint, speech *kernel.Speech, at time.Duration) {
	segments, _ := speech.Since(ep.voice.told)
	for _, s := range segments {
		t.turns.Hear(t.party(ep.side), s)
		t.changed = true
	}
	ep.voice.Detector, ep.voice.told = speech.Detector, speech.Told
	t.turns.Look(t.party(ep.side), ep.voice.View(at))
}

// miss ends the listening: the kernel relays from now on, and its program does not listen.
func (t *talk) miss(r *relay) {
	t.turns.Miss(turns.Kernel)
	for side := range r.endpoint {
		if ep := &r.endpoint[side][RTP]; ep.rtpState != nil {
			ep.voice = nil
		}
	}
}

// look brings turns up to date.
func (t *talk) look(r *relay, now time.Duration) {
	for side := range r.endpoint {
		at, heard := now, &detector{} // of a side without packets
		if ep := &r.endpoint[side][RTP]; ep.rtpState != nil {
			if heard = ep.voice; ep.offload.by != nil {
				at = ep.offload.read
			}
		}
		if heard != nil && !t.turns.Missed() {
			t.turns.Look(t.party(Side(side)), heard.View(at))
		}
	}
}

// ends judges what was said until the end of the call.
func (t *talk) ends(r *relay, now time.Duration) {
	if t != nil {
		t.look(r, now)
		t.turns.Finish(now)
		t.over = true
	}
}

// line tells turns whether the line carries a conversation now. It comes after each change of that.
func (r *relay) line(now time.Duration) {
	t := r.talk
	if t == nil {
		return
	}
	is := turns.Why(0)
	if t.interrupted {
		is |= turns.Transfer
	}
	for side := range r.party {
		if p := r.party[side].named; p.Held || p.Mute || !p.RTP.IsValid() {
			is |= turns.Hold
		}
		is |= r.stages.Pauses(Side(side), now)
	}
	if ends := t.why &^ is; ends != 0 {
		t.turns.Resume(ends, now)
	}
	if begins := is &^ t.why; begins != 0 {
		t.turns.Pause(begins, now)
	}
	t.why = is
}

// tellsMuch reports whether the kernel has nearly as much to tell of ep's side since the last state as it can keep.
func (ep *endpoint) tellsMuch() bool {
	return ep.rtpState != nil && ep.voice != nil && ep.offload.by != nil && ep.voice.told-ep.voice.noted >= kernel.Told-2
}

// talkState is the conversation of a SessionState.
type talkState struct {
	Conversation Conversation      `cbor:"1,keyasint"`
	Answered     time.Duration     `cbor:"2,keyasint"`
	Interrupted  bool              `cbor:"3,keyasint,omitempty"`
	Why          turns.Why         `cbor:"4,keyasint,omitempty"`
	Turns        turns.State       `cbor:"5,keyasint"`
	Heard        [2]voice.Detector `cbor:"6,keyasint"` // by Side, as the next one
	Told         [2]uint64         `cbor:"7,keyasint"`
	Known        time.Duration     `cbor:"8,keyasint"` // until when all that was said is in it
	Relayed      [2]bool           `cbor:"9,keyasint"` // by the kernel
}

// state returns the conversation as it is now, with times of another clock, by the epoch of this one.
func (t *talk) state(r *relay, now, epoch time.Duration) *talkState {
	if t == nil {
		return nil
	}
	st := &talkState{
		Conversation: t.config, Answered: epoch + t.answered, Interrupted: t.interrupted, Why: t.why,
		Turns: t.turns.State(), Known: epoch + now,
	}
	for side := range st.Heard {
		if ep := &r.endpoint[side][RTP]; ep.rtpState != nil && ep.voice != nil {
			st.Heard[side], st.Told[side] = ep.voice.Detector, ep.voice.told
			st.Heard[side].Shift(epoch)
			if st.Relayed[side] = ep.offload.by != nil; st.Relayed[side] {
				st.Known = min(st.Known, epoch+ep.offload.read)
			}
		}
	}
	return st
}

// resumeTalk goes on with a conversation; catchUp follows. A state that makes no sense costs the figures, not the call.
func (r *relay) resumeTalk(st *SessionState, c stream.Clock) {
	s := st.Talk
	if s == nil {
		return
	}
	answered := s.Answered - c.Epoch
	t, err := turns.Resume(answered, s.Turns)
	if err != nil {
		return
	}
	r.talk = &talk{
		answered: answered, turns: *t, why: s.Why, interrupted: s.Interrupted, noted: c.Now,
		restoring: true, known: c.Past(s.Known), relayed: s.Relayed,
	}
	r.follow(s.Conversation, c.Now)
	for side := range s.Heard {
		if v := r.heard(Side(side)).voice; v != nil {
			v.Detector, v.told, v.noted = s.Heard[side], s.Told[side], s.Told[side]
			v.Shift(-c.Epoch)
		}
	}
}

// catchUp adds what was said between a state and now. The kernel may have heard it; if its flows could not be
// adopted, it tells nothing. A state that is exact has all that the worker relayed. What is not known is not
// measured.
func (r *relay) catchUp(exact bool, now time.Duration) {
	t := r.talk
	if t == nil || !t.restoring {
		return
	}
	t.restoring = false
	complete := true
	for side, c := range t.caught {
		is := exact && !t.relayed[side]
		if v := r.endpoint[side][RTP].voice; c != nil && v != nil {
			_, is = c.Since(v.told)
		}
		complete = complete && is
	}
	if !complete {
		t.turns.Unheard(t.known, now)
	}
	for side, c := range t.caught {
		if ep := &r.endpoint[side][RTP]; c != nil && ep.voice != nil {
			t.take(ep, &c.Speech, c.at)
		}
	}
	t.caught = [2]*caught{}
}

// checkTalk brings turns up to date, and asks for a state where the last one is old and something was said since, or
// where the kernel could not tell soon what came after it.
func (r *relay) checkTalk(now time.Duration) {
	t := r.talk
	if t == nil {
		return
	}
	t.look(r, now)
	much := r.endpoint[SideA][RTP].tellsMuch() || r.endpoint[SideB][RTP].tellsMuch()
	if t.changed && (now-t.noted >= talkNoted || much && now-t.noted >= talkNotedMuch) {
		t.noted = now
		r.outdated()
	}
}
