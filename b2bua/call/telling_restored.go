package call

import (
	"errors"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file continues a statement of an earlier process.

func (t *telling) save(k *snapshot.Sheet) {
	if t.Stage == snapshot.ToldNothing || t.call.customer.placement == nil {
		return
	}
	said := snapshot.Telling{Stage: t.Stage, Sound: t.Sound, Again: t.Again, Accepted: t.Accepted, Required: t.Required}
	if k.Handed && t.Stage == snapshot.Tells {
		now := t.call.bridge.Saying.Progress()
		said.At, said.Packets, said.Missed, said.First = now.At, now.Packets, now.Missed, leg.InstantOf(now.First)
		said.Talked = t.told.TalkedOver || t.call.bridge.Saying.TalkedOver()
		said.Key = t.call.bridge.Saying.Pressed(now)
	}
	k.Customer.Telling = &said
}

func (t *telling) restore(k *snapshot.Call, _ *record.Record) error {
	if k.Customer.Telling != nil {
		t.Telling = *k.Customer.Telling
	}
	return nil
}

// resume continues an old process's statement. It returns false if there is none.
func (t *telling) resume() bool {
	c := t.call
	is, from := t.Telling, media.Sent{}
	if is.Stage == snapshot.ToldNothing {
		return false
	}
	err := error(nil)
	switch {
	case !t.underway():
	case t.config() == nil && t.Required && c.peers.IndexOf(c.route) < 0:
		t.logNotTold(errGoneRoute)
		c.record.told(record.Told{Sound: is.Sound, Language: is.Sound})
		c.hangup(cause.NotTold, record.EndedBySystem)
		return true
	case t.config() == nil:
		err = errTellsNothing
	case is.Stage == snapshot.TellsNotTaken:
		if !t.sayNotTaken() {
			c.hangup(c.attempts.last.cause, record.EndedBySystem)
		}
		return true
	case !c.bridge.Sounds.Has(is.Sound):
		err = errGoneSound
	}
	switch {
	case err != nil && t.config() != nil && !t.recordNotTold(err):
		c.hangup(cause.NotTold, record.EndedBySystem)
		return true
	case err != nil, !t.underway():
		if t.Stage != snapshot.ToldMailbox {
			t.setStage(snapshot.ToldAll)
		}
		c.bridge.Saying.ReleaseHoldBack()
		return false
	}
	if is.Packets > 0 {
		from = media.Sent{At: is.At, Packets: is.Packets, Missed: is.Missed, First: leg.TimeOf(is.First)}
	}
	t.initTold(is.Talked)
	t.beginStatement()
	c.bridge.Saying.Resume(from, is.Key)
	t.speak()
	return true
}

// Why another process can't continue a statement.
var (
	errGoneRoute    = errors.New("the route is no longer configured as it was")
	errGoneSound    = errors.New("the sound is no longer configured")
	errTellsNothing = errors.New("the route no longer tells anything")
)
