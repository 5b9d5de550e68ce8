package peers

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"flowbridge/config"
	"flowbridge/config/template"
)

// splitBy puts the one first to whose share of a route's calls a call belongs, and gives
// its weight; 0 means the call belongs to no share. The others stay in their order behind
// it.
//
// This is weighted rendezvous hashing: each share draws a lot by the customer's number, and
// the heavier it is, the better its lots are. It has no state, so a reload or a restart
// changes nothing. A new weight moves callers only to or from its share.
func splitBy(r *config.Route, vars *template.Vars, all []*Target) (weight int) {
	best, first := math.Inf(1), -1
	for i, t := range all {
		if w := r.Weight(t.Dial.Name); w > 0 {
			if lot := lotOf(r, vars, t.Dial.Name) / float64(w); lot < best {
				best, first, weight = lot, i, w
			}
		}
	}
	if first > 0 {
		chosen := all[first]
		copy(all[1:first+1], all[:first])
		all[0] = chosen
	}
	return weight
}

// lotOf draws the lot of a name for a call: exponentially distributed, with mean 1. A call
// without a number is drawn for by its Call-ID. A route without a name draws like all others
// without one, and not by its place, which changes.
func lotOf(r *config.Route, vars *template.Vars, name string) float64 {
	caller := vars.Lead().Number
	if !config.IsDialString(caller) {
		caller = vars.SIPCallID
	}
	var room [256]byte
	text := room[:0]
	for _, part := range [...]string{r.Name, name, caller} {
		text = append(append(text, part...), 0) // which is in none of them
	}
	sum := sha256.Sum256(text)
	const bits = 53 // of a float's precision
	return -math.Log((float64(binary.BigEndian.Uint64(sum[:])>>(64-bits)) + 0.5) / (1 << bits))
}
