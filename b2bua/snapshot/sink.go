package snapshot

import (
	"context"

	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Sink takes the records of calls. *store.Store implements it.
type Sink interface {
	// Journal stores the record of a live call, and the state with which another process can continue the call, or nil if
	// none can. It does not block.
	Journal(r record.Record, state []byte)
	// Owe stores the state of a finished call whose legs still have messages to send, or removes it if state is nil. It
	// does not block. Like Journal and Keep, it does not retain state.
	Owe(id string, state []byte)
	// Put stores the record of a finished call and returns when it is on disk.
	Put(ctx context.Context, r record.Record) error
	// Keep is Put without blocking. done is called with the result, at most one time. r must not change any more. owes is
	// the state for Owe.
	Keep(ctx context.Context, r *record.Record, owes []byte, done func(error))
}

// Predecessor is the process that this process replaces.
type Predecessor interface {
	// Take returns a socket by its name, and each socket only one time.
	Take(name string) (fd int, ok bool)
	// Restore gives a stack the state of the old process's stack, apart from its sockets.
	Restore(s *transport.Stack) error
	// Calls returns the calls of the old process.
	Calls() []record.Saved
	// Sockets returns the sockets of a call's media, or nil if it has none.
	Sockets(call string) *media.Sockets
}

// Note calls fill with an empty sheet, and then use with the encoded state. Neither function may retain its argument.
func Note(fill func(*Sheet), use func(state []byte)) {
	k := TakeSheet()
	defer k.Release()
	fill(k)
	text, err := k.Encode()
	if err != nil { // can't happen: all types can be encoded
		text = nil
	}
	use(text)
}

// Part moves all legs except the caller's to owed, which must be empty, and copies what identifies the call.
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
