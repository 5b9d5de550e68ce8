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

// Replica keeps the states of calls, and the records of finished calls, on other machines.
type Replica interface {
	// Keep replaces the text of this id. It does not block. answered says that the text is the state of an answered call.
	Keep(id string, text []byte, answered bool)
	// Over replaces the state of a call, if the replica has one, by the record of the call's end. It does not block.
	Over(id string, text []byte)
}

// Replicate sets the replica that keeps everything that the journal keeps from now on. It must be called before the
// first call.
func (s *Store) Replicate(to Replica) { s.replica = to }

// replicate gives the replica the record of a call so far with its state. The text has the kind, the record's size,
// the record with its time, and the state. The record of a finished call is complete and has no state.
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

// LeaveUnwritten gives the replica the records that the disk has not taken, including records of calls that the
// replica does not know, because another machine must write them.
func (s *Store) LeaveUnwritten() {
	now := record.TimeOf(time.Now())
	for _, f := range s.queue.unwritten() {
		noted := record.AppendRecord(now.AppendTo(nil), f.record)
		s.replica.Keep(f.id, replicaText(callEnded, noted, nil), false)
	}
}

var errReplica = errors.New("not what a replica is given")

// FromReplica decodes a text of the replica into a call that another machine has left. over reports that the call is
// over and its record complete.
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

// Disown drops the calls that a killed process has left here, because another machine has continued or ended them. If
// a call is in unknown, no machine knows it, and it gets the record of an interrupted call.
func (s *Store) Disown(unknown []string) (calls int) {
	for i := range s.Left {
		if l := &s.Left[i]; !l.Owed && slices.Contains(unknown, l.Record.ID) {
			_, _ = s.queue.put(newFinish(&l.Interrupted)) // if the queue is full, the journal's entry stays
		}
	}
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	for i := range s.Left {
		id := s.Left[i].Record.ID
		switch {
		case s.Left[i].Owed:
			id = owedID(id)
		case slices.Contains(unknown, id): // the entry stays until its record is written
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
