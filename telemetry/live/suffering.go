package live

import (
	"slices"

	"flowbridge/store/record"
)

// suffering is what callers of answered calls suffer, by which calls are counted.
type suffering struct{ code, side, target, cause string }

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
	"no_ack", "bad_ack", "session_expired", "dialog_lost", "missed_hangup", "no_media", "media_timeout", "dead_air",
	"dtls_failed", "inbox_overflow", "internal_error",
}

// suffers counts what a call suffers, each kind once.
func (w *Watcher) suffers(c *call, r *record.Record) {
	count := func(counted *bool, is bool, code, side, cause string) {
		if !is || *counted || r.AnsweredAt.IsZero() {
			return
		}
		*counted = true
		of := suffering{code: code, side: side, target: r.Target, cause: cause}
		t := w.suffering[of]
		if t == nil && len(w.suffering) < maxNames {
			t = &tally{}
			w.suffering[of] = t
		}
		if t != nil {
			t.add(w.clock.slot(), 1)
		}
	}
	count(&c.oneWay, r.Media.OneWay != "", TroubleOneWay, r.Media.OneWay, "")
	if s := r.Media.Silences; len(s) > 0 {
		count(&c.silent, true, TroubleSilent, s[0].Side, "")
	}
	count(&c.cut, slices.Contains(cutOff, r.Cause), TroubleCutOff, "", r.Cause)
}

// sufferings sums up the window by kind and side.
func (w *Watcher) sufferings() (all []Suffering) {
	for _, kind := range []suffering{
		{code: TroubleOneWay, side: "a"},
		{code: TroubleOneWay, side: "b"},
		{code: TroubleSilent, side: "a"},
		{code: TroubleSilent, side: "b"},
		{code: TroubleCutOff},
	} {
		s, most := Suffering{Code: kind.code, Side: kind.side}, uint64(0)
		for of, t := range w.suffering {
			if of.code != kind.code || of.side != kind.side {
				continue
			}
			if s.Calls += t.sum; t.sum > most || t.sum == most && of.target+of.cause < s.Target+s.Cause {
				most, s.Target, s.Cause = t.sum, of.target, of.cause
			}
		}
		if s.Calls > 0 {
			all = append(all, s)
		}
	}
	return all
}
