package vapi

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A report is parsed with all its values. Impossible values are refused or left out.
func TestParseReport(t *testing.T) {
	const whole = `{"message":{"type":"end-of-call-report","endedReason":"customer-ended-call","durationSeconds":61.5,
		"call":{"id":"v-1","phoneCallProviderDetails":{"sbcCallId":"abc@host"}},"artifact":{"transcript":"hi"}}}`
	want := Report{CallID: "v-1", SIPCallID: "abc@host", EndedReason: "customer-ended-call", Duration: 61500 * time.Millisecond}
	if got, err := ParseReport([]byte(whole)); got != want || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	for change, duration := range map[string]time.Duration{
		`"startedAt":"2026-11-20T12:00:00.000Z","endedAt":"2026-11-20T12:01:00.250Z"`: time.Minute + 250*time.Millisecond,
		`"startedAt":"2026-11-20T12:01:00Z","endedAt":"2026-11-20T12:00:00Z"`:         0,
		`"startedAt":"now"`:       0,
		`"durationSeconds":-1`:    0,
		`"durationSeconds":1e300`: 0,
		`"durationSeconds":"61"`:  0,
	} {
		if got, err := ParseReport([]byte(strings.Replace(whole, `"durationSeconds":61.5`, change, 1))); got.Duration != duration || err != nil {
			t.Errorf("%s: got %v, %v; want %v", change, got.Duration, err, duration)
		}
	}
	for _, bad := range []string{``, `{}`, `{"message":{"type":"status-update"}}`, `<html>`} {
		if got, err := ParseReport([]byte(bad)); !errors.Is(err, ErrReport) {
			t.Errorf("%s: got %+v, %v", bad, got, err)
		}
	}
}

// FuzzReport checks that any report is either refused or has a possible duration.
func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"message":{"type":"end-of-call-report","durationSeconds":1e400,"call":{"id":7}}}`))
	f.Add([]byte(`{"message":{"type":"end-of-call-report","startedAt":"2026-11-20T12:00:00Z","endedAt":"9999-11-20T12:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseReport(body)
		if err == nil && (r.Duration < 0 || r.Duration > maxReported || len(r.CallID) > maxField || len(r.EndedReason) > maxField) {
			t.Errorf("got %+v", r)
		}
	})
}
