package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"flowbridge/store/record"
)

// Replica keeps the states of calls, and the records of those that are over, on other machines.
type Replica interface {
	// Keep keeps a text in place of an earlier one of this id. It does not block. answered says that it is the state of a
	// call that is up.
	Keep(id string, text []byte, answered bool)
	// Over keeps the record of a call that is over in place of its state, if it has one. It does not block.
	Over(id string, text []byte)
}

// Replicate has a replica keep what the journal does, from now on. It is to be called before the first call.
func (s *Store) Replicate(to Replica) { s.replica = to }

// replicate gives the replica the record of a call so far with its state: the kind, the record's size, the record with
// its time, the state. The record of a call that is over is whole, and comes alone.
func (s *Store) replicate(kind entryKind, r *record.Record, noted, state []byte) {
	switch {
	case s.replica == nil || kind == callState && state == nil:
	case kind == callEnded:
		s.replica.Over(r.ID, replicaText(kind, noted, nil))
	default:
		s.replica.Keep(r.ID, replicaText(kind, noted, state), !r.AnsweredAt.IsZero())
	}
}

func replicaText(kind entryKind, noted, state []byte) []byte {
	text := append(make([]byte, 0, 5+len(noted)+len(state)), byte(kind))
	text = append(binary.BigEndian.AppendUint32(text, uint32(len(noted))), noted...)
	return append(text, state...)
}

// LeaveUnwritten gives the replica the records that the disk has not taken, also of calls of which it has never heard:
// another machine is to write them.
func (s *Store) LeaveUnwritten() {
	now := record.TimeOf(time.Now())
	for _, f := range s.queue.unwritten() {
		noted := record.AppendRecord(now.AppendTo(nil), f.record)
		s.replica.Keep(f.id, replicaText(callEnded, noted, nil), false)
	}
}

var errReplica = errors.New("not what a replica is given")

// FromReplica reads what a replica was given, as a call that another machine has left. over: it is over, and its record
// is whole.
func FromReplica(id string, text []byte, now time.Time) (l record.Saved, over bool, err error) {
	const head, at = 5, len(record.TimeLayout)
	if len(text) < head {
		return l, false, errReplica
	}
	size, rest := uint64(binary.BigEndian.Uint32(text[1:])), text[head:]
	if size < uint64(at) || size > uint64(len(rest)) {
		return l, false, errReplica
	}
	var noted record.Time
	err = errors.Join(noted.UnmarshalText(rest[:at]), json.Unmarshal(rest[at:size], &l.Record))
	if err != nil || l.Record.ID != id {
		return record.Saved{}, false, errors.Join(fmt.Errorf("call %s: %w", id, errReplica), err)
	}
	l.State, l.Interrupted = rest[size:], l.Record.InterruptedAt(noted, now)
	return l, entryKind(text[0]) == callEnded, nil
}

// Disown drops the calls that a killed process has left here: another machine goes on with them, or has ended them. Of
// the unknown ones no machine has heard: their records are written, as those of interrupted calls.
func (s *Store) Disown(unknown []string) (calls int) {
	for i := range s.Left {
		if l := &s.Left[i]; !l.Owed && slices.Contains(unknown, l.Record.ID) {
			_, _ = s.queue.put(newFinish(&l.Interrupted)) // a queue that is full has the journal's entry stay
		}
	}
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	for i := range s.Left {
		id := s.Left[i].Record.ID
		switch {
		case s.Left[i].Owed:
			id = owedID(id)
		case slices.Contains(unknown, id): // it stays until its record is there
			continue
		default:
			calls++
		}
		s.journal.end(id)
	}
	s.Left = nil
	s.journal.write()
	return calls
}
