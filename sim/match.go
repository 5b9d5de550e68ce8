package sim

import (
	"cmp"
	"math"
	"slices"
	"time"
)

const (
	hop        = 40 // samples per envelope value: 5 ms
	candidates = 4  // number of offsets at which samples are compared
	// An overlap of less than half the reference proves nothing.
	minOverlap = 2
)

// Match looks for the reference in received audio. The offset is the start of the reference in that audio; it is
// negative if the start is missing. The score is the normalised correlation of the samples: near 1 for the same audio
// through G.711, well under 0.3 for any other.
func Match(heard, reference []int16) (offset time.Duration, score float64) {
	if len(heard) < hop || len(reference) < 2*hop {
		return 0, 0
	}
	float := func(v int16) float32 { return float32(v) }
	h, r := each(heard, float), each(reference, float)
	best, at := 0.0, 0
	for _, coarse := range coarseOffsets(h, r) {
		// The envelope is accurate to about one hop.
		for o := coarse - hop; o <= coarse+hop; o++ {
			if s := correlation(h, r, o); s > best {
				best, at = s, o
			}
		}
	}
	return time.Duration(at) * time.Second / SampleRate, best
}

// coarseOffsets returns the sample offsets at which the loudness fits best.
func coarseOffsets(heard, reference []float32) []int {
	h, r := envelopes(heard), envelopes(reference)
	low, high := -len(r)/minOverlap, len(h)-len(r)/minOverlap
	type found struct {
		offset int
		score  float64
	}
	var all []found
	for o := low; o <= high; o++ {
		all = append(all, found{o, correlation(h, r, o)})
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(b.score, a.score) })
	var out []int
	for _, f := range all {
		near := slices.ContainsFunc(out, func(o int) bool { return max(o-f.offset*hop, f.offset*hop-o) <= hop })
		if !near {
			out = append(out, f.offset*hop)
		}
		if len(out) == candidates {
			break
		}
	}
	return out
}

// envelopes returns the loudness of each hop relative to the mean, on a scale on which quiet parts count as well.
func envelopes(x []float32) []float32 {
	out := make([]float32, len(x)/hop)
	var mean float32
	for i := range out {
		var sum float32
		for _, v := range x[i*hop : (i+1)*hop] {
			sum += v * v
		}
		out[i] = float32(math.Log2(float64(sum/hop) + 1000))
		mean += out[i]
	}
	for i := range out {
		out[i] -= mean / float32(len(out))
	}
	return out
}

// correlation compares the reference with the part of heard that it covers at an offset. It returns 0 if that part is
// too short.
func correlation(heard, reference []float32, offset int) float64 {
	r := reference[max(0, -offset):]
	start := max(0, offset)
	if start >= len(heard) {
		return 0
	}
	h := heard[start:]
	n := min(len(h), len(r))
	if n*minOverlap < len(reference)-1 {
		return 0
	}
	h, r = h[:n], r[:n]
	var dot, hh, rr, sumH, sumR float32
	for i, v := range r {
		w := h[i]
		dot += v * w
		hh += w * w
		rr += v * v
		sumH += w
		sumR += v
	}
	// Both relative to the mean of the overlap. Otherwise a long pause elsewhere, which moves the mean of all received
	// audio, would make other offsets look as good as the right one.
	size := float32(n)
	variance := func(squares, sum float32) float64 {
		if v := squares - sum*sum/size; v > squares/1e4 { // a smaller variance is only the rounding of a constant
			return float64(v)
		}
		return 0
	}
	if both := variance(hh, sumH) * variance(rr, sumR); both > 0 {
		return float64(dot-sumH*sumR/size) / math.Sqrt(both)
	}
	return 0
}
