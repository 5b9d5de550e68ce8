package bridge

import (
	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
)

// Save writes the state of the bridge into a sheet.
func (b *Bridge) Save(k *snapshot.Sheet) {
	k.Bridge.Agreement = b.Agreement.State(k.Bridge.Agreement.Described)
	b.each(func(p part) { p.save(k) })
}

// Restore restores the bridge of a call that was answered, or that we place. The legs must have been restored before.
// Restore sends nothing yet. agent says whether the call has or had an agent. complete is false if a side's
// description is missing.
func (b *Bridge) Restore(k *snapshot.Bridge, sockets *media.Sockets, agent bool) (complete bool, err error) {
	b.Agreement = agreement.Restore(&k.Agreement)
	for _, side := range []media.Side{media.SideA, media.SideB} {
		if agent && b.Agreement.Description[side] == nil && (side == media.SideB || !b.Agreement.Late) {
			return false, nil
		}
		b.Agreement.Changes[side], _ = b.Agreement.PayloadChanges(side)
	}
	if b.Media.session, err = b.Relay.Resume(
		media.SessionConfig{OnEvent: b.Media.On, Sockets: sockets}, *k.Session); err != nil {
		b.Media.session = nil
		return true, err
	}
	b.each(func(p part) { p.restore(k) })
	return true, nil
}

// Restart restores the bridge of a call whose set-up starts again: the commands given so far, and, if there is a
// session, the answer that the caller already has.
func (b *Bridge) Restart(k *snapshot.Bridge, session RelaySession) {
	b.Media.session = session
	if session != nil {
		b.Agreement = agreement.Restore(&k.Agreement)
	}
	b.each(func(p part) { p.restore(k) })
}

// HandOver hands the media over to another process, writes its state into the sheet, and stops all activity here. It
// returns nil if there are no sockets to hand over.
func (b *Bridge) HandOver(k *snapshot.Sheet) (sockets *media.Sockets) {
	sockets = b.Media.handOver(k)
	b.Tell(replaced{&k.Bridge})
	return sockets
}

// Discard closes the media that Restore opened.
func (b *Bridge) Discard() { b.Media.close() }

// GoOn restarts the activities of all parts after Restore.
func (b *Bridge) GoOn() { b.each(part.begin) }
