package kept

import (
	"context"
	"slices"
	"strings"

	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Sink takes the records of calls; *store.Store is one.
type Sink interface {
	// Journal notes the record of a call that is not over, and what it needs to go on in another process; nil: it can't.
	// It does not block.
	Journal(r record.Record, state []byte)
	// Owe notes what a call that is over owes its peers; nil: nothing any more. It does not block. It keeps nothing of
	// the state, as Journal and Keep.
	Owe(id string, state []byte)
	// Put keeps the record of a finished call and returns when it is safe.
	Put(ctx context.Context, r record.Record) error
	// Keep is Put that does not block: what it returned is told to done, once at most. r must not change any more.
	// owes is as for Owe.
	Keep(ctx context.Context, r *record.Record, owes []byte, done func(error))
}

// Predecessor is a process that this one replaces.
type Predecessor interface {
	// Take gives a socket by its name, once.
	Take(name string) (fd int, ok bool)
	// Restore gives a stack what the other one's had beside its sockets.
	Restore(s *transport.Stack) error
	// Calls are the calls of the old process.
	Calls() []Handed
}

// Handed is a call that goes to another process.
type Handed struct {
	State   []byte
	Record  record.Record
	Owed    bool           // it is over, and its legs owe their peers something
	Sockets *media.Sockets // of its media; nil: none

	// Again is the caller's INVITE of a call that is being set up: the other process begins with it again. Then State is
	// what the legs to targets are owed, Noted the call as it is noted until it has begun again, and Tag that of the
	// caller's leg. Noted has the media, too, if the caller hears a sound of ours.
	Again *transport.HeldState
	Noted []byte
	Tag   string
}

// Invites are the INVITEs of calls that are begun again, in the order in which the calls came: who waits for a target
// longest is served first.
func Invites(all []Handed) (invites []transport.HeldState) {
	again := slices.DeleteFunc(slices.Clone(all), func(h Handed) bool { return h.Again == nil })
	slices.SortFunc(again, func(a, b Handed) int { return strings.Compare(a.Record.ID, b.Record.ID) })
	for i := range again {
		invites = append(invites, *again[i].Again)
	}
	return invites
}

// Note fills a sheet, and calls use with its text. Neither function may keep a part of it.
func Note(fill func(*Sheet), use func(state []byte)) {
	k := TakeSheet()
	defer k.Release()
	fill(k)
	text, err := k.Encode()
	if err != nil { // never: it has nothing that can't be encoded
		text = nil
	}
	use(text)
}

// Part moves all legs but the caller's to owed, which is empty, and copies what identifies the call.
func (k *Sheet) Part(owed *Sheet) {
	owed.ID, owed.Trunk, owed.Source, owed.Invite, owed.Settled = k.ID, k.Trunk, k.Source, k.Invite, k.Settled
	legs := k.Legs
	k.Legs = nil
	for _, l := range legs {
		if l.Role == RoleCaller {
			k.Legs = append(k.Legs, l)
		} else {
			owed.Legs = append(owed.Legs, l)
		}
	}
}

// Begins notes the recording and the sounds that the first turn of a call begins again; nil: it has begun.
func (k *Sheet) Begins(again *Call) {
	if again == nil {
		return
	}
	k.Recording, k.Paused = again.Recording, again.Paused
	for side, v := range again.Voices {
		if v != nil && !v.Once { // the next process does not begin it again
			k.Voices[side] = v
		}
	}
}
