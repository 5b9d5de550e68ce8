package store

import (
	"cmp"
	"context"
	"crypto/cipher"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"flowbridge/internal/parallel"
	"flowbridge/store/record"
)

// setAlive and getAlive write and read the last moment at which the process is known to have run.
const (
	setAlive = `INSERT INTO meta (name, value) VALUES ('journal_alive', ?)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`
	getAlive = `SELECT coalesce(max(value), '') FROM meta WHERE name = 'journal_alive'`
)

// Found is what Open found of earlier processes.
type Found struct {
	// Interrupted has the ids of the open calls that Open has closed as interrupted.
	Interrupted []string
	// Recovered is how many finished calls Open has written for an earlier process that could not.
	Recovered int
	// Left holds the calls that may continue, until Disown. They must be taken over before other calls are journalled.
	Left []record.Saved

	lost error // journal data that could not be read, until it is reported; owned by the writer
}

// closeInterrupted finishes the calls that a killed process left in the journal, and notes their ids. Records of calls
// that had already finished stay as they are.
func (s *Store) closeInterrupted(ctx context.Context, seal cipher.AEAD, now time.Time) error {
	j, err := s.readLeft(ctx, seal)
	if err != nil {
		return err
	}
	goesOn := map[string]lastState{}
	err = keepAll(ctx, s.db, s.consumers, func(tx *sql.Tx, keep func(record.Record) (bool, error)) error {
		known, err := recorded(ctx, tx, j.left)
		if err != nil {
			return err
		}
		for i := range j.left {
			l := &j.left[i]
			id := l.record.ID
			switch {
			case l.ended || l.state == nil:
				if err := s.finishLeft(l, now, keep); err != nil {
					return fmt.Errorf("call %s: %w", id, err)
				}
			case !known[id]: // otherwise the process was killed just after it wrote the record
				s.Left = append(s.Left, record.Saved{
					Record: l.record, Interrupted: l.interrupted(now), State: l.state,
					Alive: j.files.alive,
				})
				goesOn[id] = j.states[id]
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.Left = append(s.Left, owed(seal, j.states, goesOn)...)
	s.takeBound(seal, j.states, goesOn)
	return s.beginJournal(seal, &j.files, j.states, goesOn)
}

// leftJournal is the journal of a killed process.
type leftJournal struct {
	files  journalFiles
	states map[string]lastState
	left   []left // its calls, each with the last moment at which the process is known to have run
}

// readLeft reads the journal of the old process.
func (s *Store) readLeft(ctx context.Context, seal cipher.AEAD) (j leftJournal, err error) {
	var alive string // empty in a new database
	if err = s.db.QueryRowContext(ctx, getAlive).Scan(&alive); err != nil {
		return j, err
	}
	if j.files, err = readJournal(s.path); err != nil {
		return j, err
	}
	s.lost = errors.Join(s.lost, j.files.lost)
	j.states = j.files.lastStates()
	j.left = leftInFiles(j.states, seal)
	for i := range j.left {
		j.left[i].lives(momentOf(alive))
		j.left[i].lives(j.files.beat())
	}
	return j, nil
}

// beginJournal continues the journal of an earlier process. If no call continues, it starts a new journal.
func (s *Store) beginJournal(seal cipher.AEAD, files *journalFiles, states, goesOn map[string]lastState) error {
	if len(goesOn) > 0 {
		s.journal = newJournal(s.path, seal)
		s.journal.adopt(files, states, goesOn)
		return nil
	}
	if err := removeJournal(s.path); err != nil {
		return err
	}
	s.journal = openJournal(s.path, seal)
	return nil
}

// finishLeft writes the record of a call that is over or can't be continued.
func (f *Found) finishLeft(l *left, now time.Time, keep func(record.Record) (fresh bool, err error)) error {
	if !l.ended {
		l.record = l.interrupted(now)
	}
	fresh, err := keep(l.record)
	switch {
	case err != nil:
		return err
	case !fresh: // the process was killed just after it wrote the record
	case l.ended:
		f.Recovered++
	default:
		f.Interrupted = append(f.Interrupted, l.record.ID)
	}
	return nil
}

// recorded returns the ids of calls that may continue although they have records. It uses one query for all, because
// their callers hear silence until it is answered.
func recorded(ctx context.Context, tx *sql.Tx, left []left) (map[string]bool, error) {
	var ids []string
	for i := range left {
		if l := &left[i]; l.state != nil {
			ids = append(ids, l.record.ID)
		}
	}
	text, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	var id string
	err = eachRow(ctx, tx, []any{&id}, func() { known[id] = true },
		`SELECT id FROM calls WHERE id IN (SELECT value FROM json_each(?))`, string(text))
	return known, err
}

// owed returns the states of finished calls that still owe their peers messages.
func owed(seal cipher.AEAD, states, goesOn map[string]lastState) (left []record.Saved) {
	for id, l := range states {
		if l.kind != callOwes {
			continue
		}
		if state := openState(seal, id, l.state); state != nil {
			left = append(left, record.Saved{
				Record: record.Record{ID: strings.TrimSuffix(id, owedMark)},
				State:  state, Owed: true,
			})
			goesOn[id] = l
		}
	}
	return left
}

// left is the last state of a call of a killed process.
type left struct {
	record record.Record
	noted  moment        // zero if unknown
	until  record.Time   // the last moment at which the process is known to have run
	lived  time.Duration // time from noted to until
	ended  bool          // the record is complete
	state  []byte        // the state to continue the call from; nil if it can't continue
}

// lives records that the process was alive at a moment. It ignores the zero moment.
func (l *left) lives(at moment) {
	if d := at.since(l.noted); d > l.lived && !at.Wall.IsZero() {
		l.until, l.lived = record.Time{Time: at.Wall}, d
	}
}

// interrupted returns the finished record. The wall clock does not tell how long the call lasted, because it may have
// been set since.
func (l *left) interrupted(now time.Time) record.Record {
	r := l.record.InterruptedAt(l.until, now)
	if l.noted.Boot != 0 && !r.AnsweredAt.IsZero() {
		r.DurationMS = l.record.DurationMS + l.lived.Milliseconds()
	}
	return r
}

// leftInFiles returns the calls of the journal, in the order of their start.
func leftInFiles(states map[string]lastState, seal cipher.AEAD) []left {
	ids := make([]string, 0, len(states))
	for id, e := range states {
		if e.kind == callState || e.kind == callEnded {
			ids = append(ids, id)
		}
	}
	all := make([]left, len(ids))
	_ = parallel.Do(len(ids), func(i int) error {
		id, e := ids[i], states[ids[i]]
		l := leftBy(e.entry)
		if e.kept != nil {
			l.state = openState(seal, id, e.kept)
		}
		all[i] = l
		return nil
	})
	slices.SortFunc(all, func(a, b left) int {
		return cmp.Or(a.record.StartedAt.Compare(b.record.StartedAt.Time), strings.Compare(a.record.ID, b.record.ID))
	})
	return all
}

// leftBy reads the entry of a call with a record.
func leftBy(e entry) left {
	at := min(len(record.TimeLayout), len(e.state))
	return newLeft(e.kind, string(e.id), string(e.state[:at]), string(e.state[at:]))
}

func newLeft(kind entryKind, id, written, text string) left {
	l := left{ended: kind == callEnded}
	if json.Unmarshal([]byte(text), &struct {
		*record.Record
		*moment
	}{&l.record, &l.noted}) != nil {
		l = left{} // the record can't be read, but the call took place: its id and time deserve a record
	}
	_ = l.until.UnmarshalText([]byte(written)) // zero if unknown
	l.noted.Wall = l.until.Time
	l.record.ID = id
	return l
}

// SettleRecordings sets the size and the end of the interrupted calls' recordings from their files. A recording whose
// file can't be read stays unknown: 0 bytes, and no end.
func (s *Store) SettleRecordings(ctx context.Context, look record.FinishedFile) error {
	settled := map[string]string{} // as JSON, by call
	for _, id := range s.Interrupted {
		r, ok, err := s.Get(ctx, id)
		if err != nil {
			return fmt.Errorf("recordings of call %s: %w", id, err)
		}
		if !ok || !r.SettleRecordings(look) {
			continue
		}
		text, err := json.Marshal(r.Recordings)
		if err != nil {
			return fmt.Errorf("recordings of call %s: %w", id, err)
		}
		settled[id] = string(text)
	}
	if len(settled) == 0 {
		return nil
	}
	return s.do(ctx, "recordings of killed calls", func(wctx context.Context, c *sql.Conn) error {
		defer s.outboxFilled()
		return inTx(wctx, c, func(tx *sql.Tx) error {
			for id, recordings := range settled {
				if _, err := tx.ExecContext(wctx, `UPDATE calls SET recordings = ? WHERE id = ?`, recordings, id); err != nil {
					return err
				}
				if err := s.outboxLater(wctx, tx, record.OutboxRecording, id); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
