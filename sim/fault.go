package sim

import (
	"fmt"
	"strings"
	"time"
)

// FaultKind names a way for the platform to misbehave.
type FaultKind string

// The faults.
const (
	FaultNone      FaultKind = ""
	FaultSlow      FaultKind = "slow"      // the API answers after a while
	FaultFailed    FaultKind = "failed"    // the API answers 200 with call_status failed
	Fault500       FaultKind = "500"       // the API answers 500
	FaultHang      FaultKind = "hang"      // the API never answers
	FaultMalformed FaultKind = "malformed" // the API answers broken JSON
	FaultSilent    FaultKind = "silent"    // an INVITE gets no response at all
	FaultBusy      FaultKind = "busy"      // an INVITE gets 486
	FaultLate      FaultKind = "late"      // 180 at once, 200 after a while
	FaultHangup    FaultKind = "hangup"    // the agent hangs up a while after its answer
)

// Fault is a kind and, for those that have one, a duration.
type Fault struct {
	Kind  FaultKind
	After time.Duration
}

// String is what ParseFault reads.
func (f Fault) String() string {
	if f.After == 0 {
		return string(f.Kind)
	}
	return string(f.Kind) + ":" + f.After.String()
}

// ParseFault reads "kind" or "kind:duration". slow (2s), late (10s) and
// hangup (2s) take a duration, the others none.
func ParseFault(s string) (Fault, error) {
	name, after, timed := strings.Cut(s, ":")
	f := Fault{Kind: FaultKind(name)}
	switch f.Kind {
	case FaultSlow, FaultHangup:
		f.After = 2 * time.Second
	case FaultLate:
		f.After = 10 * time.Second
	case FaultNone, FaultFailed, Fault500, FaultHang, FaultMalformed, FaultSilent, FaultBusy:
		if timed {
			return Fault{}, fmt.Errorf("fault %q takes no duration", name)
		}
	default:
		return Fault{}, fmt.Errorf("fault %q: want one of slow[:D], failed, 500, hang, malformed, silent, busy, late[:D], hangup[:D]", name)
	}
	if !timed {
		return f, nil
	}
	d, err := time.ParseDuration(after)
	if err != nil || d <= 0 {
		return Fault{}, fmt.Errorf("fault %q: %q is no duration such as 2s", name, after)
	}
	f.After = d
	return f, nil
}
