package twilio

import (
	"fmt"
	"time"

	"flowbridge/sim"
)

// The faults of Twilio's requests. With sim.FaultSlow, the body of a POST comes after
// a while.
const (
	faultBadSignature sim.FaultKind = "badsignature" // signed with another token
	faultNoSignature  sim.FaultKind = "nosignature"  // not signed
	faultNoCalled     sim.FaultKind = "nocalled"     // without Called, an alias of To
	faultNoPlus       sim.FaultKind = "noplus"       // the plus of numbers is not escaped and reads as a space
	faultTwice        sim.FaultKind = "twice"        // the first request is repeated, the second answer counts
	faultImpatient    sim.FaultKind = "impatient"    // gives up waiting for an answer after this time
)

// FaultUsage lists the faults as ParseFault reads them.
const FaultUsage = "badsignature, nosignature, nocalled, noplus (GET), twice, slow[:D] (POST), impatient[:D]"

// ParseFault reads "kind" or "kind:duration". slow (2s) and impatient (1s) take a
// duration.
func ParseFault(s string) (sim.Fault, error) {
	return sim.FaultSet{
		Usage: FaultUsage,
		Plain: []sim.FaultKind{sim.FaultNone, faultBadSignature, faultNoSignature, faultNoCalled, faultNoPlus, faultTwice},
		After: map[sim.FaultKind]time.Duration{sim.FaultSlow: 2 * time.Second, faultImpatient: time.Second},
	}.Parse(s)
}

// checkFault says whether a fault is possible with this method.
func checkFault(f sim.Fault, method string) error {
	switch {
	case f.Kind == sim.FaultSlow && method != "POST":
		return fmt.Errorf("fault %s needs method POST: a GET has no body", f.Kind)
	case f.Kind == faultNoPlus && method != "GET":
		return fmt.Errorf("fault %s needs method GET: it changes the query", f.Kind)
	}
	return nil
}
