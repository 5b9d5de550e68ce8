package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"flowbridge/store/record"
)

// The duration of a killed process's call covers at least the time for which the process is known to have lived,
// whatever happened to the wall clock. The wall clock is used only if the monotonic clock is unknown or was reset.
func TestInterruptedLastsUntilAlive(t *testing.T) {
	const talked, lived = 10 * time.Minute, 3 * time.Hour
	for name, tt := range map[string]struct {
		set         time.Duration // change of the wall clock after the call was noted
		boot, after uint64
		stop        time.Duration // monotonic clock at the end; 0 if it just ran on
		want        time.Duration
		ended       time.Duration // by the wall clock
	}{
		"known":                 {boot: 7, after: 7, want: lived, ended: lived},
		"not known":             {want: lived, ended: lived},
		"clock set forth":       {set: 48 * time.Hour, boot: 7, after: 7, want: lived, ended: lived + 48*time.Hour},
		"clock set back":        {set: -48 * time.Hour, boot: 7, after: 7, want: lived, ended: lived - 48*time.Hour},
		"started in between":    {boot: 7, after: 8, stop: time.Second, want: lived, ended: lived},
		"known, set, not known": {set: time.Hour, want: lived + time.Hour, ended: lived + time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "alive.db")
			s, err := Open(t.Context(), path)
			must(t, err)
			up, boot := time.Hour, tt.boot
			s.journal.machine = func() (time.Duration, uint64) { return up, boot }
			noted := time.Now()
			answered := noted.Add(-talked)
			s.Journal(record.Record{ID: "a", StartedAt: record.TimeOf(answered), AnsweredAt: record.TimeOf(answered), DurationMS: talked.Milliseconds()}, nil)
			for _, after := range []time.Duration{time.Minute, lived - talked} {
				up, boot = time.Hour+after, tt.after
				if tt.stop != 0 {
					up = tt.stop
				}
				must(t, s.Alive(t.Context(), noted.Add(tt.set+after)))
			}
			if err := s.Close(); err != nil { // the call stays open, as after a kill
				t.Fatal(err)
			}
			s, err = Open(t.Context(), path)
			must(t, err)
			defer s.Close()
			r, ok, err := s.Get(t.Context(), "a")
			if err != nil || !ok || r.Disposition != record.DispositionInterrupted {
				t.Fatalf("%v, %v: %+v", ok, err, r)
			}
			// The record's times are truncated to milliseconds.
			got, ended := time.Duration(r.DurationMS)*time.Millisecond, r.EndedAt.Sub(answered)
			if (got-tt.want).Abs() > time.Millisecond || (ended-tt.ended).Abs() > time.Millisecond {
				t.Errorf("it lasted %v and ended after %v; want %v, %v", got, ended, tt.want, tt.ended)
			}
		})
	}
}

// A killed process lived at least until its last beat. The beat is later than the time in the database, and a new
// database has no time.
func TestInterruptedLastsUntilTheBeat(t *testing.T) {
	const talked, lived = time.Minute, 20 * time.Minute
	up, boot := Uptime()
	for name, boot := range map[string]uint64{"machine's clock not known": 0, "another boot": boot + 1, "the same boot": boot} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "beat.db")
			s := openTest(t, path)
			s.journal.machine = func() (time.Duration, uint64) { return up - time.Hour, boot }
			noted := record.TimeOf(time.Now().Add(-time.Hour))
			answered := record.TimeOf(noted.Add(-talked))
			r := record.Record{ID: "a", StartedAt: answered, AnsweredAt: answered, DurationMS: talked.Milliseconds()}
			s.note(callState, &r, nil, noted.Time)
			if err := s.Close(); err != nil { // the call stays open, as after a kill
				t.Fatal(err)
			}
			must(t, os.Chtimes(path+".live-a", time.Time{}, noted.Add(lived)))
			got, ok, err := openTest(t, path).Get(t.Context(), "a")
			if err != nil || !ok || got.EndedAt != record.TimeOf(noted.Add(lived)) {
				t.Fatalf("%v, %v: it ended %v after its note; want %v", err, ok, got.EndedAt.Sub(noted.Time), lived)
			}
			// In the same boot, the monotonic clock was read slightly earlier.
			if lasted := time.Duration(got.DurationMS) * time.Millisecond; lasted != talked+lived && name != "the same boot" {
				t.Errorf("it lasted %v; want %v", lasted, talked+lived)
			}
		})
	}
}

// A stored moment can be read back. Text that is not a moment is ignored.
func TestMomentText(t *testing.T) {
	at := moment{Wall: record.TimeOf(time.Now()).Time, Uptime: time.Hour, Boot: 1 << 63}
	if got := momentOf(at.text()); got != at {
		t.Errorf("%+v; want %+v", got, at)
	}
	for _, text := range []string{"", "x", "x" + at.text()} {
		if got := momentOf(text); got != (moment{}) {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
