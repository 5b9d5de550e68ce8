package sim

import (
	"fmt"
	"strconv"
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
	FaultHTML      FaultKind = "html"      // the API answers 502 and a page of HTML, as a proxy before it does
	Fault401       FaultKind = "401"       // the API knows no key
	FaultReset     FaultKind = "reset"     // the API resets the connection instead of answering
	FaultSilent    FaultKind = "silent"    // an INVITE gets no response at all
	FaultBusy      FaultKind = "busy"      // an INVITE gets 486
	FaultStatus    FaultKind = "status"    // an INVITE gets this SIP status
	FaultEarly     FaultKind = "early"     // 183 with early media at once, 503 after a while
	FaultLate      FaultKind = "late"      // 180 at once, 200 after a while
	FaultHangup    FaultKind = "hangup"    // the agent hangs up a while after its answer
)

// Fault is a kind and, for those that have one, a duration or a SIP status.
type Fault struct {
	Kind   FaultKind
	After  time.Duration
	Status int
}

// FaultUsage lists the faults as ParseFault reads them.
const FaultUsage = "slow[:D], failed, 500, hang, malformed, html, 401, reset (the API), silent, busy, status:N, early[:D], late[:D], hangup[:D] (the agent)"

// ParseFault reads "kind" or "kind:argument". slow (2s), early (1s), late (10s)
// and hangup (2s) take a duration, status a final status other than 2xx, the
// others nothing.
func ParseFault(s string) (Fault, error) {
	name, argument, given := strings.Cut(s, ":")
	f := Fault{Kind: FaultKind(name)}
	switch f.Kind {
	case FaultSlow, FaultHangup:
		f.After = 2 * time.Second
	case FaultEarly:
		f.After = time.Second
	case FaultLate:
		f.After = 10 * time.Second
	case FaultStatus:
		n, err := strconv.Atoi(argument)
		if err != nil || n < 300 || n > 699 {
			return Fault{}, fmt.Errorf("fault %q: want status:N with N from 300 to 699", s)
		}
		f.Status = n
		return f, nil
	case FaultNone, FaultFailed, Fault500, FaultHang, FaultMalformed, FaultHTML, Fault401, FaultReset, FaultSilent, FaultBusy:
		if given {
			return Fault{}, fmt.Errorf("fault %q takes no argument", name)
		}
	default:
		return Fault{}, fmt.Errorf("fault %q: want one of %s", name, FaultUsage)
	}
	if !given {
		return f, nil
	}
	d, err := time.ParseDuration(argument)
	if err != nil || d <= 0 {
		return Fault{}, fmt.Errorf("fault %q: %q is no duration such as 2s", name, argument)
	}
	f.After = d
	return f, nil
}
