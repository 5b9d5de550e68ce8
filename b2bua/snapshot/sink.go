package snapshot

import (
	"context"

	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Sink takes the records of calls; *store.Store is one.
type Sink interface {
	// Journal notes the record of a call that is not over, and what it needs to go on in another process; nil means it
	// can't. It does not block.
	Journal(r record.Record, state []byte)
	// Owe notes what a call that is over owes its peers; nil means nothing any more. It does not block. It keeps nothing
	// of the state, as Journal and Keep.
	Owe(id string, state []byte)
	// Put keeps the record of a finished call and returns when it is safe.
	Put(ctx context.Context, r record.Record) error
	// Keep is Put that does not block: what it returned is told to done, once at most. r must not change any more.
	// owes is as for Owe.
	Keep(ctx context.Context, r *record.Record, owes []byte, done func(error))
}

// Predecessor is a process that this one replaces.
type Predecessor interface {
	// Take returns a socket by its name, once.
	Take(name string) (fd int, ok bool)
	// Restore gives a stack what the other one's had beside its sockets.
	Restore(s *transport.Stack) error
	// Calls returns the calls of the old process.
	Calls() []record.Saved
	// Sockets carry the media of a call; nil means it has none.
	Sockets(call string) *media.Sockets
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
	owed.Trunk, owed.Source, owed.Invite = k.Trunk, k.Source, k.Invite
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
