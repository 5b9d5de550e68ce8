package store

import (
	"testing"
	"time"

	"flowbridge/store/record"
)

// TestInterruptedRecordings checks that the journal knows neither the end nor the size of a
// recording that was running when the process was killed.
func TestInterruptedRecordings(t *testing.T) {
	at := record.TimeOf(time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC))
	ended := record.TimeOf(at.Add(time.Minute))
	r := record.Record{StartedAt: at, Recordings: []record.Recording{
		{File: "a", StartedAt: at, EndedAt: ended, Bytes: 5}, {File: "b", StartedAt: at, Bytes: 7},
	}}.InterruptedAt(record.TimeOf(at.Add(time.Hour)), at.Add(2*time.Hour))
	if f := r.Recordings[0]; f.EndedAt != ended || f.Error != "" {
		t.Errorf("the finished one: %+v", f)
	}
	if f := r.Recordings[1]; f.EndedAt != (record.Time{}) || f.Error == "" || f.Bytes != 0 {
		t.Errorf("the other one: %+v", f)
	}
}
