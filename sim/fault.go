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
	FaultFailed    FaultKind = "failed"    // the API answers 200 with call_status failed, or a status other than ok
	Fault500       FaultKind = "500"       // the API answers 500
	FaultHang      FaultKind = "hang"      // the API never answers
	FaultMalformed FaultKind = "malformed" // the API answers broken JSON
	FaultReset     FaultKind = "reset"     // the API resets the connection instead of answering
	Fault401       FaultKind = "401"       // the API answers 401
	Fault403       FaultKind = "403"       // the API answers 403
	Fault429       FaultKind = "429"       // the API answers 429, with Retry-After if a time is given
	FaultRedirect  FaultKind = "redirect"  // the API answers 307
	FaultHTML      FaultKind = "html"      // the API answers with a page, as a proxy before it does: 502, or the status that is given
	FaultGzipBomb  FaultKind = "gzipbomb"  // the API answers 200 with gzip that grows to 128 MiB
	FaultHuge      FaultKind = "huge"      // the API answers 200 with 10 MiB of JSON
	FaultEcho      FaultKind = "echo"      // the API answers 400 with the Authorization header in it
	FaultTypes     FaultKind = "types"     // ids of an answer are numbers
	FaultReused    FaultKind = "reused"    // ids of an answer were given before
	FaultCRLF      FaultKind = "crlf"      // ids of an answer have a line break and a header in them
	FaultEmptyID   FaultKind = "emptyid"   // ids of an answer are empty
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
	After  time.Duration // for Fault429: Retry-After; 0: without
	Status int           // for FaultStatus of SIP, for FaultHTML of HTTP; 0: 502
}

// FaultUsage lists the faults as ParseFault reads them.
const FaultUsage = "slow[:D], hang, reset, 500, 401, 403, 429[:D], redirect, malformed, html[:N], gzipbomb, huge, echo,\n" +
	"failed, types, reused, crlf, emptyid (the API), silent, busy, status:N, early[:D], late[:D], hangup[:D] (the agent)"

// ParseFault reads "kind" or "kind:argument". slow (2s), early (1s), late (10s),
// hangup (2s) and 429 (no Retry-After) take a duration, status a final SIP status
// other than 2xx, html (502) an HTTP status, the others nothing.
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
	case Fault429:
	case FaultStatus:
		return f.withStatus(argument, 300, 699)
	case FaultHTML:
		if given {
			return f.withStatus(argument, 200, 599)
		}
	case FaultNone, FaultFailed, Fault500, FaultHang, FaultMalformed, FaultReset, Fault401, Fault403, FaultRedirect,
		FaultGzipBomb, FaultHuge, FaultEcho, FaultTypes, FaultReused, FaultCRLF, FaultEmptyID, FaultSilent, FaultBusy:
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

// withStatus reads the status that a fault is about.
func (f Fault) withStatus(argument string, low, high int) (Fault, error) {
	n, err := strconv.Atoi(argument)
	if err != nil || n < low || n > high {
		return Fault{}, fmt.Errorf("fault %q: want %s:N with N from %d to %d", string(f.Kind)+":"+argument, f.Kind, low, high)
	}
	f.Status = n
	return f, nil
}
