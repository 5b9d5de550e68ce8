package bridge

import (
	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/kept"
	"flowbridge/media"
)

// What the next process needs to go on.

// State writes the bridge of an answered call into a sheet.
func (b *Bridge) State(k *kept.Sheet) {
	k.Watched = b.Relays.Watcher != nil && b.Relays.Watcher == b.Call.Connected()
	k.Agreement = b.Agreement.State(k.Agreement.Described)
	k.SetMedia(b.Media.session.State())
	k.Addr, k.OneWay, k.Listening = b.Media.Addr, b.Media.oneWay, b.Media.listening
	k.Masked, k.MaskedTo, k.OnHold = b.Masking.On, b.Masking.upTo, b.Sounds.OnHold
	r := &b.Recordings
	k.Recording = r.current != nil && !r.current.Failed()
	k.Paused = k.Recording && r.current.Paused()
	k.Parts = r.parts + len(r.All)
	for side, v := range b.Sounds.voices {
		if v != nil && v.lasts && v.loop {
			k.Voices[side] = &kept.Voice{Name: v.name}
		}
	}
}

// StateOfRinging writes the bridge of a call without an answer, whose caller hears our sound, into a sheet.
func (b *Bridge) StateOfRinging(k *kept.Sheet) {
	k.Agreement, k.Addr = b.Agreement.State(nil), b.Media.Addr
	if v := b.Sounds.voices[media.SideA]; v != nil {
		k.Voices[media.SideA] = &kept.Voice{Name: v.name}
	}
}

// HandOver gives the media to another process, with its state in the sheet, and ends the recording. A sound that is
// heard once begins again there. nil: there are no sockets to give.
func (b *Bridge) HandOver(k *kept.Sheet) (sockets *media.Sockets) {
	b.Relays.endAllKeys("the process was replaced")
	for side, v := range b.Sounds.voices {
		if v != nil && v.lasts && !v.loop && !v.mix {
			k.Voices[side] = &kept.Voice{Name: v.name, Once: true}
		}
	}
	if s, ok := b.Media.session.(interface {
		HandOver() (media.SessionState, media.Sockets)
	}); ok {
		state, all := s.HandOver()
		k.SetMedia(state)
		sockets = &all
	}
	b.Recordings.Stop()
	return sockets
}

// TakeUp restores the bridge of an answered call, or of one that we place, whose legs are restored. It sends nothing
// yet. complete: every side has its description.
func (b *Bridge) TakeUp(k *kept.Call, sockets *media.Sockets) (complete bool, err error) {
	b.Agreement = agreement.Restore(&k.Agreement)
	if k.Watched {
		b.Relays.Watcher = b.Call.Connected()
	}
	b.Masking.On, b.Masking.applied, b.Masking.upTo = k.Masked, k.Masked, k.MaskedTo
	if k.Masked || k.MaskedTo > 0 { // keys of before may come again
		b.Ladder.Mask(k.Masked)
	}
	b.Media.oneWay, b.Media.listening, b.Media.Addr = k.OneWay, k.Listening, k.Addr
	b.Recordings.parts = k.Parts
	for _, side := range []media.Side{media.SideA, media.SideB} {
		d := b.Agreement.Description[side]
		if d == nil && len(k.Agents) == 0 && (side == media.SideB || !b.Agreement.Late) {
			return false, nil
		}
		if side == media.SideA || b.Call.Connected() != nil {
			b.Media.secured[side] = secured{leg: b.Call.Half(side).Crypto, plain: d == nil || !d.Secured()}
		}
		b.Agreement.Changes[side], _ = b.Agreement.PayloadChanges(side)
	}
	session, err := b.Relay.Resume(media.SessionConfig{OnEvent: b.Media.On, Sockets: sockets}, *k.Media)
	if err != nil {
		return true, err
	}
	b.Media.session, b.Media.followed = session, k.Media.Talk != nil
	if b.Sounds.OnHold = k.OnHold; k.OnHold { // before a packet is relayed
		b.Sounds.Update()
	}
	b.Ladder.Watch(session)
	return true, nil
}

// Discard undoes TakeUp.
func (b *Bridge) Discard() {
	if b.Media.session != nil {
		b.Media.session.Close()
	}
}

// SoundAgain begins again what the media's state does not have: handshakes, lasting sounds, and the recording.
func (b *Bridge) SoundAgain(k *kept.Call) {
	b.Media.ShakeHands(media.SideA)
	b.Media.ShakeHands(media.SideB)
	for side, kept := range k.Voices {
		if kept == nil {
			continue
		}
		if sound, ok := b.Sounds.named(kept.Name); ok {
			b.Sounds.voices[side] = &voice{name: kept.Name, sound: sound, loop: !kept.Once, lasts: true}
		}
	}
	b.Sounds.Update()
	b.Recordings.GoOn(k)
}

// BeginAgain restores what the caller of a call without an answer knows: the masking that was ordered, and with a
// session our answer and its sound.
func (b *Bridge) BeginAgain(k *kept.Call, session RelaySession) {
	if k.Masked { // ordered before the answer
		b.Masking.On, b.Masking.applied = true, session != nil
		b.Ladder.Mask(true)
	}
	if session == nil {
		return
	}
	b.Agreement = agreement.Restore(&k.Agreement)
	b.Media.session, b.Media.Addr = session, k.Addr
	d := b.Agreement.Description[media.SideA]
	b.Media.secured[media.SideA] = secured{leg: b.Call.Half(media.SideA).Crypto, plain: d == nil || !d.Secured()}
	b.Ladder.Watch(session)
}
