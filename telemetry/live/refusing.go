package live

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"flowbridge/store/record"
)

// A target refuses if it has ended refusesAfter attempts in a row without an answer, and with one final status or
// cause. They must be of refusedNumbers called numbers, because a single number may be wrong, unless every call of the
// target has the same URI.
const refusesAfter, refusedNumbers = 10, 3

// Refusing says how a target refuses its calls.
type Refusing struct {
	// With is the final SIP status, as a decimal, or a cause.
	With string `json:"with"`
	// Attempts counts the refused attempts since the last one with another end.
	Attempts uint64 `json:"attempts"`
}

// String returns what the screens show beside the health, as "404 × 97".
func (r *Refusing) String() string { return fmt.Sprintf("%s × %d", r.With, r.Attempts) }

// refusals counts the last attempts of a target in a row that had no answer and the same end.
type refusals struct {
	Refusing

	numbers []string // called ones, at most refusedNumbers
	refused tally    // attempts that do not count as failed, because a working target may end one so
	last    TargetError
}

// note takes an attempt that says something about its target. A target that is busy, or whose user declines, works.
func (f *refusals) note(slot int, r *record.Record, a *record.Attempt) {
	end := a.Cause
	if end != "" && a.SIPStatus > 0 && a.Cause != onlyRings { // its status, if any, answers our CANCEL
		end = strconv.Itoa(a.SIPStatus)
	}
	switch end {
	case "", "target_busy", "486", "487", "600", "603":
		*f = refusals{}
		return
	case f.With:
	default:
		*f = refusals{Refusing: Refusing{With: end}}
	}
	f.Attempts++
	if len(f.numbers) < refusedNumbers && !slices.Contains(f.numbers, r.To) {
		f.numbers = append(f.numbers, r.To)
	}
	f.last = TargetError{
		At: endOf(a), Cause: a.Cause, SIPStatus: a.SIPStatus, PrepareStatus: a.PrepareStatus, Call: r.ID,
		Text: "it refuses every call with " + end,
	}
	switch f.last.Cause {
	case onlyRings:
		f.last.Text = "it rings, and answers no call"
	case hangsUp:
		f.last.Text = "it answers, and hangs up at once without a sound"
	}
	if faultOf(a) == "" {
		f.refused.add(slot, 1)
	}
}

// onlyRings is the cause of an attempt that rang until its time was over.
const onlyRings = "ring_timeout"

// hangsUp is the cause of a call whose called side hung up. atOnce is how long such a call lasts at most if the target
// took it only to end it.
const (
	hangsUp = "agent_hangup"
	atOnce  = 2000 // milliseconds
)

// ended takes an answered call: a target that hangs up at once, and has sent no audio, serves nobody.
func (f *refusals) ended(slot int, r *record.Record) {
	a := record.Attempt{SIPStatus: r.SIPStatus, StartedAt: r.AnsweredAt, MS: r.DurationMS}
	if r.Cause == hangsUp && r.DurationMS < atOnce && r.Media.B.Rx == 0 {
		a.Cause, a.SIPStatus = hangsUp, 0
	}
	f.note(slot, r, &a)
}

// refuses returns how a target refuses its calls, or nil. The people whom a trunk calls may not pick up.
func (t *target) refuses(p *Peer) *refusals {
	if t == nil {
		return nil
	}
	for _, f := range []*refusals{&t.row, &t.hangups} {
		if f.Attempts >= refusesAfter && (p.Fixed || len(f.numbers) >= refusedNumbers) &&
			(p.Kind != KindTrunk || f.last.Cause != onlyRings && f.last.Cause != hangsUp) {
			return f
		}
	}
	return nil
}

// show makes a target say that it refuses its calls.
func (f *refusals) show(t *Target) {
	now, last := f.Refusing, f.last
	t.Health, t.Refusing, t.LastError = HealthRefusing, &now, &last
	t.Failed += f.refused.sum
}

// endOf returns when an attempt ended.
func endOf(a *record.Attempt) record.Time {
	return record.Time{Time: a.StartedAt.Add(time.Duration(a.MS) * time.Millisecond)}
}
