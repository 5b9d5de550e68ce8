package record

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"time"
)

// q850Unspecified is the ISDN cause (ITU-T Q.850) of a call that neither party has ended.
const q850Unspecified = 31

// Saved is a call that one process leaves to the next: after a kill, in an upgrade, or to another machine. The call of
// a killed process stays in the journal until its record is written.
type Saved struct {
	Record Record // the record so far
	State  []byte // as given to Journal or Owe
	Owed   bool   // the call is over, but still owes its peers messages

	// For a killed process: the record if the call can't continue, and when the process was last alive, which may be too
	// early by beatEvery.
	Interrupted Record
	Alive       time.Time
}

// InterruptedAt returns the record ended at the last moment at which its process is known to have run, or at now if
// that is zero.
func (r Record) InterruptedAt(alive Time, now time.Time) Record {
	r.EndedAt = cmp.Or(alive, TimeOf(now))
	r.StartedAt = cmp.Or(r.StartedAt, r.EndedAt)
	r.Disposition, r.Cause, r.EndedBy = DispositionInterrupted, CauseProcessRestart, EndedBySystem
	r.DurationMS = 0
	r.Killed()
	if !r.AnsweredAt.IsZero() {
		r.SIPStatus, r.Q850 = 200, q850Unspecified
		r.DurationMS = max(0, r.EndedAt.Sub(r.AnsweredAt.Time).Milliseconds())
	}
	return r
}

// Interrupted returns the record of a call that ended now with its process.
func (r Record) Interrupted(now time.Time) Record { return r.InterruptedAt(TimeOf(now), now) }

// Killed ends the recordings that were running when their process died. SettleRecordings has better figures. When a
// listener left is not known.
func (r *Record) Killed() {
	for i := range r.Recordings {
		switch f := &r.Recordings[i]; {
		case !f.EndedAt.IsZero():
		case f.Format == FormatLive:
			f.Error = killed
		default:
			f.Bytes, f.Error = 0, killedUnknown
		}
	}
}

// Errors in the recordings of a killed process. The journal's sizes are as old as its last entry, so SettleRecordings
// looks at the files.
const (
	killed        = "the process was killed"
	killedUnknown = killed + ": it is not known how the file ended"
)

// Settled reports whether no recording waits for SettleRecordings.
func (r *Record) Settled() bool {
	return !slices.ContainsFunc(r.Recordings, func(f Recording) bool { return f.Error == killedUnknown })
}

// FinishedFile returns the size in bytes of a recording and when it was last written. The error is fs.ErrNotExist if
// there is no such file.
type FinishedFile func(file string) (bytes int64, ended time.Time, err error)

// SettleRecordings sets the size and the end of a killed process's recordings from their files. It reports whether the
// record has changed.
func (r *Record) SettleRecordings(look FinishedFile) (changed bool) {
	for i := range r.Recordings {
		f := &r.Recordings[i]
		if f.Error != killedUnknown {
			continue
		}
		switch size, ended, err := look(f.File); {
		case errors.Is(err, fs.ErrNotExist):
			f.Error = killed + ", and " + f.File + " is not there: nothing had been written, or it was removed"
			f.File, f.EndedAt = "", cmp.Or(r.EndedAt, f.StartedAt)
		case err != nil:
			continue
		default:
			f.Bytes, f.EndedAt, f.Error = size, TimeOf(ended), killed
		}
		changed = true
	}
	return changed
}
