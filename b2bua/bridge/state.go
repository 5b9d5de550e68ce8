package bridge

import (
	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
)

// Save writes the bridge into a sheet.
func (b *Bridge) Save(k *snapshot.Sheet) {
	k.Bridge.Agreement = b.Agreement.State(k.Bridge.Agreement.Described)
	b.each(func(p part) { p.save(k) })
}

// Restore restores the bridge of an answered call, or of a call that we place, after its legs. It sends nothing yet.
// agent says that there is or was an agent. complete reports whether every side has its description.
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

// Restart restores the bridge of a call that is set up again: its orders, and, if there is a session, the answer that
// the caller already has.
func (b *Bridge) Restart(k *snapshot.Bridge, session RelaySession) {
	b.Media.session = session
	if session != nil {
		b.Agreement = agreement.Restore(&k.Agreement)
	}
	b.each(func(p part) { p.restore(k) })
}

// HandOver hands the media over to another process, with its state in the sheet, and ends everything that would
// otherwise keep running here. It returns nil if there are no sockets.
func (b *Bridge) HandOver(k *snapshot.Sheet) (sockets *media.Sockets) {
	sockets = b.Media.handOver(k)
	b.Tell(replaced{&k.Bridge})
	return sockets
}

// Discard undoes Restore.
func (b *Bridge) Discard() { b.Media.close() }

// GoOn restarts the parts' activities that are not in the media's state.
func (b *Bridge) GoOn() { b.each(part.begin) }
