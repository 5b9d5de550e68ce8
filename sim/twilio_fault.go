package sim

import (
	"fmt"
	"strings"
	"time"
)

// TwilioFaultKind names a way for Twilio's request to be other than usual.
type TwilioFaultKind string

// The faults of Twilio's requests.
const (
	TwilioFaultNone         TwilioFaultKind = ""
	TwilioFaultBadSignature TwilioFaultKind = "badsignature" // signed with another token
	TwilioFaultNoSignature  TwilioFaultKind = "nosignature"  // not signed
	TwilioFaultNoCalled     TwilioFaultKind = "nocalled"     // without Called, which is only an alias of To
	TwilioFaultNoPlus       TwilioFaultKind = "noplus"       // the plus of numbers not encoded, so that it reads as a space
	TwilioFaultTwice        TwilioFaultKind = "twice"        // the first request is repeated, the second answer counts
	TwilioFaultSlow         TwilioFaultKind = "slow"         // the body of a POST comes a while after its head
	TwilioFaultImpatient    TwilioFaultKind = "impatient"    // no answer is waited for longer than this
)

// TwilioFault is a kind and, for those that have one, a duration.
type TwilioFault struct {
	Kind  TwilioFaultKind
	After time.Duration
}

// TwilioFaultUsage lists the faults as ParseTwilioFault reads them.
const TwilioFaultUsage = "badsignature, nosignature, nocalled, noplus (GET), twice, slow[:D] (POST), impatient[:D]"

// ParseTwilioFault reads "kind" or "kind:duration". slow (2s) and impatient
// (1s) take a duration, the others nothing.
func ParseTwilioFault(s string) (TwilioFault, error) {
	name, argument, given := strings.Cut(s, ":")
	f := TwilioFault{Kind: TwilioFaultKind(name)}
	switch f.Kind {
	case TwilioFaultSlow:
		f.After = 2 * time.Second
	case TwilioFaultImpatient:
		f.After = time.Second
	case TwilioFaultNone, TwilioFaultBadSignature, TwilioFaultNoSignature, TwilioFaultNoCalled, TwilioFaultNoPlus, TwilioFaultTwice:
		if given {
			return TwilioFault{}, fmt.Errorf("fault %q takes no argument", name)
		}
	default:
		return TwilioFault{}, fmt.Errorf("fault %q: want one of %s", name, TwilioFaultUsage)
	}
	if !given {
		return f, nil
	}
	d, err := time.ParseDuration(argument)
	if err != nil || d <= 0 {
		return TwilioFault{}, fmt.Errorf("fault %q: %q is no duration such as 2s", name, argument)
	}
	f.After = d
	return f, nil
}

// check says whether the fault can happen in a request of this method.
func (f TwilioFault) check(method string) error {
	switch {
	case f.Kind == TwilioFaultSlow && method != "POST":
		return fmt.Errorf("fault %s needs method POST: a GET has no body", f.Kind)
	case f.Kind == TwilioFaultNoPlus && method != "GET":
		return fmt.Errorf("fault %s needs method GET: it is of the query", f.Kind)
	}
	return nil
}
