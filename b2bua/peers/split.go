package peers

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"flowbridge/config"
	"flowbridge/config/template"
)

// splitBy chooses a target by the shares of a route's split, moves it to the front of all, and
// returns its weight. The other targets keep their order. It returns 0 if no target has a weight.
//
// This is weighted rendezvous hashing: each share draws a lot from the caller's number (the called
// number in an outbound call), and a heavier share draws better lots. There is no state, so a
// reload or a restart changes nothing. A new weight moves callers only to or from its share.
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

// lotOf draws the lot of a share for a call: an exponentially distributed number with mean 1. name
// is the share's target. For a call without a number it uses the Call-ID. All routes without a name
// draw the same lots, because a route's position may change.
func lotOf(r *config.Route, vars *template.Vars, name string) float64 {
	caller := vars.Lead().Number
	if !config.IsDialString(caller) {
		caller = vars.SIPCallID
	}
	var room [256]byte
	text := room[:0]
	for _, part := range [...]string{r.Name, name, caller} {
		text = append(append(text, part...), 0) // a separator that no part contains
	}
	sum := sha256.Sum256(text)
	const bits = 53 // precision of a float64
	return -math.Log((float64(binary.BigEndian.Uint64(sum[:])>>(64-bits)) + 0.5) / (1 << bits))
}
