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
	said := t.Telling
	if k.Handed && t.Stage == snapshot.Tells {
		now := t.call.bridge.Saying.Progress()
		said.At, said.Packets, said.Missed, said.First = now.At, now.Packets, now.Missed, leg.InstantOf(now.First)
		said.Talked = t.since.TalkedOver || t.call.bridge.Saying.TalkedOver()
	}
	k.Customer.Telling = &said
}

func (t *telling) restore(k *snapshot.Call, _ *record.Record) error {
	if k.Customer.Telling != nil {
		t.Telling = *k.Customer.Telling
	}
	return nil
}

// resume continues with a caller that an old process was telling something. It returns false if there is none.
func (t *telling) resume() bool {
	c := t.call
	is, from := t.Telling, media.Sent{}
	if is.Stage == snapshot.ToldNothing || is.Stage == snapshot.ToldAll || t.tells() == nil {
		return false
	}
	if is.Stage == snapshot.TellsNotTaken {
		return t.notTaken()
	}
	if !c.bridge.Sounds.Has(is.Sound) {
		if t.mayFail(errGoneSound) {
			return false
		}
		c.hangup(cause.NotTold, record.EndedBySystem)
		return true
	}
	if is.Packets > 0 {
		from = media.Sent{At: is.At, Packets: is.Packets, Missed: is.Missed, First: leg.TimeOf(is.First)}
	}
	t.know(is.Talked)
	t.keepApart()
	c.bridge.Saying.Resume(from)
	t.speak()
	return true
}

var errGoneSound = errors.New("the sound is no longer configured")
