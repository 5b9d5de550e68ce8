package media

import (
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
)

// Conversation says how the speech of both sides is followed.
type Conversation struct {
	// Agent is the side that answers; the other one is the caller.
	Agent Side `cbor:"1,keyasint,omitempty"`

	// Events are the payload types, by the side that sends them, that are telephone-events.
	Events [2]PayloadSet `cbor:"2,keyasint,omitzero"`
}

// Follow has the conversation measured from the first call on. A later call says what the formats are now.
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
	turns       *turns.Talk
	why         turns.Why // that the line carries no conversation
	interrupted bool
	changed     bool          // since the last state
	noted       time.Duration // when that was
}

// talkNoted is how old a state may be while both go on to speak: a kill costs as much of the conversation's figures.
const talkNoted = 20 * time.Second

func (r *relay) follow(c Conversation, now time.Duration) {
	if r.talk == nil {
		r.talk = &talk{answered: now, turns: turns.New(now), noted: now}
	}
	r.talk.config = c
	for side := range r.endpoint {
		if ep := r.heard(Side(side)); ep.voice == nil && !r.talk.turns.Missed() {
			ep.voice = &voice.Detector{}
		}
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
	if t.config.Events[ep.side].Has(h.PayloadType) {
		p.Content = voice.Keys
	}
	p.Payload = packet.Payload(pkt)
	if heard, ok := ep.voice.Packet(p); ok {
		t.turns.Hear(t.party(ep.side), heard)
		t.changed = true
	}
}

// miss ends the listening: the kernel relays from now on, which does not listen.
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
		if ep := &r.endpoint[side][RTP]; ep.rtpState != nil && ep.voice != nil {
			t.turns.Look(t.party(Side(side)), ep.voice.View(now))
		}
	}
}

// ends judges what was said until the end of the call.
func (t *talk) ends(r *relay, now time.Duration) {
	if t != nil {
		t.look(r, now)
		t.turns.Finish(now)
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
		if p := &r.party[side].named; p.Held || p.Mute || !p.RTP.IsValid() {
			is |= turns.Hold
		}
		ep := &r.endpoint[side][RTP]
		if ep.rtpState == nil {
			continue
		}
		if ep.player != nil && ep.player.speaks() {
			is |= turns.Sound
		}
		if ep.masker != nil && !ep.masker.quiet(now) {
			is |= turns.Mask
		}
	}
	if ends := t.why &^ is; ends != 0 {
		t.turns.Resume(ends, now)
	}
	if begins := is &^ t.why; begins != 0 {
		t.turns.Pause(begins, now)
	}
	t.why = is
}

// talkState is the conversation of a SessionState.
type talkState struct {
	Conversation Conversation      `cbor:"1,keyasint"`
	Answered     time.Duration     `cbor:"2,keyasint"`
	Interrupted  bool              `cbor:"3,keyasint,omitempty"`
	Why          turns.Why         `cbor:"4,keyasint,omitempty"`
	Turns        turns.State       `cbor:"5,keyasint"`
	Heard        [2]voice.Detector `cbor:"6,keyasint"` // by Side
}

// state returns the conversation with times of another clock, by the epoch of this one.
func (t *talk) state(r *relay, epoch time.Duration) *talkState {
	if t == nil {
		return nil
	}
	st := &talkState{
		Conversation: t.config, Answered: epoch + t.answered, Interrupted: t.interrupted, Why: t.why,
		Turns: t.turns.State(),
	}
	for side := range st.Heard {
		if ep := &r.endpoint[side][RTP]; ep.rtpState != nil && ep.voice != nil {
			st.Heard[side] = *ep.voice
			st.Heard[side].Shift(epoch)
		}
	}
	return st
}

// resumeTalk goes on with a conversation. What was said since the state was taken is not known, unless it is exact. A
// state that makes no sense costs the figures, not the call.
func (r *relay) resumeTalk(st *SessionState, c clock) {
	s := st.Talk
	if s == nil {
		return
	}
	answered := s.Answered - c.epoch
	t, err := turns.Resume(answered, s.Turns)
	if err != nil {
		return
	}
	r.talk = &talk{answered: answered, turns: t, why: s.Why, interrupted: s.Interrupted, noted: c.now}
	r.follow(s.Conversation, c.now)
	for side := range s.Heard {
		if v := r.endpoint[side][RTP].voice; v != nil {
			*v = s.Heard[side]
			v.Shift(-c.epoch)
		}
	}
	if !st.Exact {
		t.Pause(turns.Away, c.past(st.At))
		t.Resume(turns.Away, c.now)
	}
}

// checkTalk brings turns up to date, and asks for a state where the last one is old and something was said since.
func (r *relay) checkTalk(now time.Duration) {
	t := r.talk
	if t == nil {
		return
	}
	if r.offloaded.Load() == 0 { // else it is done when the kernel's figures are read
		t.look(r, now)
	}
	if t.changed && now-t.noted >= talkNoted {
		t.noted = now
		r.outdated()
	}
}
