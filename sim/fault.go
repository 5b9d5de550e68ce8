package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FaultKind is a way in which a stand-in misbehaves.
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
	FaultHTML      FaultKind = "html"      // the API answers with an HTML page, as a proxy does: 502, or the given status
	FaultGzipBomb  FaultKind = "gzipbomb"  // the API answers 200 with gzip that unpacks to 128 MiB
	FaultHuge      FaultKind = "huge"      // the API answers 200 with 10 MiB of JSON
	FaultEcho      FaultKind = "echo"      // the API answers 400 with the Authorization header in it
	FaultTypes     FaultKind = "types"     // ids in an answer are numbers
	FaultReused    FaultKind = "reused"    // ids in an answer repeat earlier ids
	FaultCRLF      FaultKind = "crlf"      // ids in an answer contain a line break and a header
	FaultEmptyID   FaultKind = "emptyid"   // ids in an answer are empty
	faultSilent    FaultKind = "silent"    // an INVITE gets no response at all
	FaultBusy      FaultKind = "busy"      // an INVITE gets 486
	FaultStatus    FaultKind = "status"    // an INVITE gets the given SIP status
	faultEarly     FaultKind = "early"     // 183 with early media at once, 503 after a while
	FaultLate      FaultKind = "late"      // 180 at once, 200 after a while
	FaultHangup    FaultKind = "hangup"    // the agent hangs up a while after its answer
)

// Fault is a kind with its duration or status.
type Fault struct {
	Kind   FaultKind
	After  time.Duration // for Fault429: the value of Retry-After; 0 means no header
	Status int           // a SIP status for FaultStatus, an HTTP status for FaultHTML; 0 means 502
}

// FaultUsage lists the faults in the format of ParseFault.
const FaultUsage = "slow[:D], hang, reset, 500, 401, 403, 429[:D], redirect, malformed, html[:N], gzipbomb, huge, echo,\n" +
	"failed, types, reused, crlf, emptyid (the API), silent, busy, status:N, early[:D], late[:D], hangup[:D] (the agent)"

// ParseFault parses "kind" or "kind:argument". slow (2s), early (1s), late (10s), hangup (2s) and 429 (no Retry-After)
// take a duration, status takes a final SIP status other than 2xx, and html (502) an HTTP status.
func ParseFault(s string) (Fault, error) {
	return FaultSet{
		Usage: FaultUsage,
		Plain: []FaultKind{
			FaultNone, FaultFailed, Fault500, FaultHang, FaultMalformed, FaultReset, Fault401, Fault403, FaultRedirect,
			FaultGzipBomb, FaultHuge, FaultEcho, FaultTypes, FaultReused, FaultCRLF, FaultEmptyID, faultSilent, FaultBusy,
		},
		After: map[FaultKind]time.Duration{
			FaultSlow: 2 * time.Second, FaultHangup: 2 * time.Second, faultEarly: time.Second,
			FaultLate: 10 * time.Second, Fault429: 0,
		},
		Status: map[FaultKind]statuses{FaultStatus: {300, 699, true}, FaultHTML: {200, 599, false}},
	}.Parse(s)
}

// FaultSet holds the faults of a stand-in, by the kind of their argument.
type FaultSet struct {
	Usage  string                      // lists the faults
	Plain  []FaultKind                 // faults without an argument
	After  map[FaultKind]time.Duration // faults with a duration; the value is the default
	Status map[FaultKind]statuses      // faults with a status
}

// statuses is a range of statuses.
type statuses struct {
	Low, High int
	Required  bool
}

// Parse parses "kind" or "kind:argument".
func (set FaultSet) Parse(s string) (Fault, error) {
	name, argument, given := strings.Cut(s, ":")
	f := Fault{Kind: FaultKind(name)}
	var err error
	if r, takes := set.Status[f.Kind]; takes {
		if !given && !r.Required {
			return f, nil
		}
		if f.Status, err = strconv.Atoi(argument); err != nil || f.Status < r.Low || f.Status > r.High {
			return Fault{}, fmt.Errorf("fault %q: want %s:N with N from %d to %d", name+":"+argument, name, r.Low, r.High)
		}
		return f, nil
	}
	after, takes := set.After[f.Kind]
	switch {
	case !takes && !slices.Contains(set.Plain, f.Kind):
		return Fault{}, fmt.Errorf("fault %q: want one of %s", name, set.Usage)
	case !given:
		f.After = after
		return f, nil
	case !takes:
		return Fault{}, fmt.Errorf("fault %q takes no argument", name)
	}
	if f.After, err = time.ParseDuration(argument); err != nil || f.After <= 0 {
		return Fault{}, fmt.Errorf("fault %q: %q is not a duration such as 2s", name, argument)
	}
	return f, nil
}
