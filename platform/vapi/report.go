package vapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"time"
)

// Report is the platform's report of a finished call (Vapi's page "Server events", end-of-call-report). A missing value
// is empty.
type Report struct {
	CallID      string        // the platform's id of the call
	SIPCallID   string        // see Request.SIPCallID
	EndedReason string        // in the platform's words, such as customer-ended-call
	Duration    time.Duration // time from the call's answer to its end
}

// ErrReport is wrapped by each error of ParseReport.
var ErrReport = errors.New("not an end-of-call-report")

// maxReported is the longest duration that is accepted.
const maxReported = 7 * 24 * time.Hour

// ParseReport parses a message of type end-of-call-report.
func ParseReport(body []byte) (Report, error) {
	m, err := parseMessage(body)
	switch {
	case err != nil:
		return Report{}, errors.Join(ErrReport, err)
	case m.kind != "end-of-call-report":
		return Report{}, ErrReport
	}
	r := m.request()
	call, _ := valueOf(m.Call).(map[string]any)
	reason := cmp.Or(text(scalarOf(m.EndedReason)), memberText(call, "endedReason"))
	return Report{CallID: r.CallID, SIPCallID: r.SIPCallID, EndedReason: reason, Duration: m.duration()}, nil
}

// duration returns durationSeconds, or the time between startedAt and endedAt.
func (m message) duration() time.Duration {
	d := time.Duration(0)
	if n, ok := scalarOf(m.DurationSeconds).(json.Number); ok {
		if seconds, err := n.Float64(); err == nil && seconds >= 0 && seconds < maxReported.Seconds() {
			d = time.Duration(seconds * float64(time.Second))
		}
	} else {
		from, err1 := time.Parse(time.RFC3339, text(scalarOf(m.StartedAt)))
		to, err2 := time.Parse(time.RFC3339, text(scalarOf(m.EndedAt)))
		if err1 == nil && err2 == nil {
			d = to.Sub(from)
		}
	}
	if d < 0 || d > maxReported {
		return 0
	}
	return d.Round(time.Millisecond)
}
