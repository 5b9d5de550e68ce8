package store

import (
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"

	"flowbridge/store/record"
)

// TestSettleRecordings checks that a recording that was running when the process was killed gets the size and the end
// of its file from the next process.
func TestSettleRecordings(t *testing.T) {
	path, s := openNew(t)
	at := record.TimeOf(time.Now().Add(-time.Hour).Truncate(time.Millisecond))
	ended := record.TimeOf(at.Add(time.Minute))
	r, plain := sample("one"), sample("two")
	r.EndedAt, r.Disposition, r.Cause, r.EndedBy = record.Time{}, "", "", ""
	plain.EndedAt, plain.Recordings = record.Time{}, nil
	whole := record.Recording{File: "whole", Format: "wav", StartedAt: at, EndedAt: ended, Bytes: 5}
	r.Recordings = []record.Recording{whole}
	for _, name := range []string{"there", "gone", "unreadable"} {
		r.Recordings = append(r.Recordings, record.Recording{File: name, Format: "wav", StartedAt: at, Bytes: 44, Dropped: 2})
	}
	s.Journal(r, nil)
	s.Journal(plain, nil)
	must(t, s.Close())
	again := openTest(t, path)
	look := func(file string) (int64, time.Time, error) {
		switch file {
		case "there":
			return 32044, ended.Time, nil
		case "gone":
			return 0, time.Time{}, fs.ErrNotExist
		case "unreadable":
			return 0, time.Time{}, errors.New("no")
		}
		t.Errorf("it looks for %q", file)
		return 0, time.Time{}, nil
	}
	must(t, again.SettleRecordings(t.Context(), look))
	got, _, err := again.Get(t.Context(), "one")
	must(t, err)
	want := []record.Recording{
		whole,
		{File: "there", Format: "wav", StartedAt: at, EndedAt: ended, Bytes: 32044, Dropped: 2, Error: "the process was killed"},
		{
			Format: "wav", StartedAt: at, EndedAt: got.EndedAt, Dropped: 2,
			Error: "the process was killed, and gone is not there: nothing had been written, or it was removed",
		},
		{File: "unreadable", Format: "wav", StartedAt: at, Dropped: 2, Error: "the process was killed: it is not known how the file ended"},
	}
	if !slices.Equal(got.Recordings, want) {
		t.Errorf("got  %+v\nwant %+v", got.Recordings, want)
	}
	must(t, again.Close())
	if err := openTest(t, path).SettleRecordings(t.Context(), nil); err != nil {
		t.Errorf("nothing was interrupted: %v", err)
	}
}
