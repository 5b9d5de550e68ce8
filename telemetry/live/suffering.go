package live

import (
	"slices"

	"flowbridge/store/record"
)

// Suffering says how many answered calls of the window had a kind of trouble.
type Suffering struct {
	// Code is TroubleOneWay, TroubleSilent or TroubleCutOff.
	Code string
	// Side is the side that was not heard; empty for TroubleCutOff.
	Side string
	// Target has most of the calls, and Cause is the most frequent one of TroubleCutOff.
	Target, Cause string
	Calls         uint64
}

// cutOff are the causes that end an answered call against the will of both sides.
var cutOff = []string{
	"no_ack", "bad_ack", "session_expired", "dialog_lost", "missed_hangup", "no_media", "media_timeout", "consent_expired",
	"dead_air", "dtls_failed", "inbox_overflow", "internal_error",
}

// suffers counts what a call suffers, each kind once.
func (w *Watcher) suffers(c *call, r *record.Record) {
	for _, of := range sufferingsOf(r) {
		if slices.ContainsFunc(c.suffered, func(s Suffering) bool { return s.Code == of.Code && s.Side == of.Side }) {
			continue
		}
		c.suffered = append(c.suffered, of)
		if w.suffering[of] == nil && len(w.suffering) < maxNames {
			w.suffering[of] = &tally{}
		}
		if t := w.suffering[of]; t != nil {
			t.add(w.clock.slot(), 1)
		}
	}
}

// sufferingsOf returns what the caller of an answered call suffers.
func sufferingsOf(r *record.Record) (all []Suffering) {
	if r.AnsweredAt.IsZero() {
		return nil
	}
	if side := r.Media.OneWay; side != "" {
		all = append(all, Suffering{Code: TroubleOneWay, Side: side, Target: r.Target})
	}
	for i := range r.Media.Silences {
		s := Suffering{Code: TroubleSilent, Side: r.Media.Silences[i].Side, Target: r.Target}
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	if slices.Contains(cutOff, r.Cause) {
		all = append(all, Suffering{Code: TroubleCutOff, Target: r.Target, Cause: r.Cause})
	}
	return all
}

// sufferings sums up the window by kind and side. Each sum has the target and the cause of most of its calls.
func (w *Watcher) sufferings() (all []Suffering) {
	for _, kind := range []Suffering{
		{Code: TroubleOneWay, Side: "a"},
		{Code: TroubleOneWay, Side: "b"},
		{Code: TroubleSilent, Side: "a"},
		{Code: TroubleSilent, Side: "b"},
		{Code: TroubleCutOff},
	} {
		sum, most := kind, uint64(0)
		for of, t := range w.suffering {
			if of.Code != kind.Code || of.Side != kind.Side {
				continue
			}
			if sum.Calls += t.sum; t.sum > most || t.sum == most && of.Target+of.Cause < sum.Target+sum.Cause {
				most, sum.Target, sum.Cause = t.sum, of.Target, of.Cause
			}
		}
		if sum.Calls > 0 {
			all = append(all, sum)
		}
	}
	return all
}
