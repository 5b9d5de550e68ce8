package sim

import (
	"math"
	"slices"
	"time"
)

// Delays holds the one-way delays of the packets that both ends logged.
type Delays struct {
	Packets int // pairs found
	Min     time.Duration
	P50     time.Duration
	P99     time.Duration
	Max     time.Duration
}

// MarkPair has the packets of one direction of one call.
type MarkPair struct {
	Sent  []PacketMark
	Heard []PacketMark
}

// PooledDelays matches the packets that one end sent with the packets that the other end received, over several calls.
// Both ends must run in one process, on one clock. A received packet is matched with the latest packet of the same
// payload sent before it, because a relay rewrites the header.
func PooledDelays(pairs []MarkPair) Delays {
	var found []time.Duration
	for _, p := range pairs {
		found = append(found, pairByPayload(p.Sent, p.Heard)...)
	}
	if len(found) == 0 {
		return Delays{}
	}
	slices.Sort(found)
	return Delays{len(found), found[0], quantile(found, 0.50), quantile(found, 0.99), found[len(found)-1]}
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[max(0, min(i, len(sorted)-1))]
}

func pairByPayload(sent, heard []PacketMark) (out []time.Duration) {
	at := make(map[uint32][]int64, len(sent))
	for _, m := range sent {
		if m.Sum != 0 {
			at[m.Sum] = append(at[m.Sum], m.At)
		}
	}
	for _, m := range heard {
		for _, sentAt := range slices.Backward(at[m.Sum]) {
			if sentAt <= m.At {
				out = append(out, time.Duration(m.At-sentAt))
				break
			}
		}
	}
	return out
}
