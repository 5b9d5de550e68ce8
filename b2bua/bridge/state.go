package bridge

import (
	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
)

// What the next process needs to go on.

// Save writes the bridge into a sheet.
func (b *Bridge) Save(k *snapshot.Sheet) {
	s := &k.Bridge
	s.Agreement = b.Agreement.State(s.Agreement.Described)
	b.Media.save(k)
	b.Sounds.save(&s.Sounds, k.Handed)
	b.Masking.save(&s.Masking)
	b.Recordings.save(&s.Recordings)
	b.Relays.save(&s.Relays)
}

// Restore goes on with the bridge of an answered call, or of one that we place, whose legs are restored. It sends
// nothing yet. agent: there is one, or there was. complete: every side has its description.
func (b *Bridge) Restore(k *snapshot.Bridge, sockets *media.Sockets, agent bool) (complete bool, err error) {
	b.Agreement = agreement.Restore(&k.Agreement)
	b.Relays.restore(&k.Relays)
	b.Masking.restore(&k.Masking, true)
	b.Recordings.restore(&k.Recordings)
	for _, side := range []media.Side{media.SideA, media.SideB} {
		if agent && b.Agreement.Description[side] == nil && (side == media.SideB || !b.Agreement.Late) {
			return false, nil
		}
		b.Agreement.Changes[side], _ = b.Agreement.PayloadChanges(side)
	}
	session, err := b.Relay.Resume(media.SessionConfig{OnEvent: b.Media.On, Sockets: sockets}, *k.Session)
	if err != nil {
		return true, err
	}
	b.Media.restore(&k.Media, session)
	b.Media.followed = k.Session.Talk != nil
	if b.Sounds.restore(&k.Sounds); k.Sounds.OnHold { // before a packet is relayed
		b.Sounds.Update()
	}
	return true, nil
}

// Restart restores what the caller of a call without an answer knows: the masking that was ordered, and with a session
// our answer.
func (b *Bridge) Restart(k *snapshot.Bridge, session RelaySession) {
	if b.Masking.restore(&k.Masking, session != nil); session == nil {
		return
	}
	b.Agreement = agreement.Restore(&k.Agreement)
	b.Media.restore(&k.Media, session)
}

// HandOver gives the media to another process, with its state in the sheet, and ends the recording. nil: there are no
// sockets to give.
func (b *Bridge) HandOver(k *snapshot.Sheet) (sockets *media.Sockets) {
	b.Relays.endAllKeys("the process was replaced")
	if s, ok := b.Media.session.(interface {
		HandOver() (media.SessionState, media.Sockets)
	}); ok {
		state, all := s.HandOver()
		k.SetSession(state)
		sockets = &all
	}
	b.Recordings.Stop()
	b.Recordings.again = k.Bridge.Recordings // for GoOn, if nothing comes of it
	return sockets
}

// Discard undoes Restore.
func (b *Bridge) Discard() {
	if b.Media.session != nil {
		b.Media.session.Close()
	}
}

// GoOn begins again what the media's state does not have: handshakes, sounds that last, and the recording.
func (b *Bridge) GoOn() {
	b.Media.ShakeHands(media.SideA)
	b.Media.ShakeHands(media.SideB)
	b.Sounds.Update()
	b.Recordings.GoOn()
}
