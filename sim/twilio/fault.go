package twilio

import "flowbridge/sim"

// These are the faults that Twilio's requests may have.
const (
	faultBadSignature sim.FaultKind = "badsignature" // signed with another token
	faultNoSignature  sim.FaultKind = "nosignature"  // not signed
	faultNoCalled     sim.FaultKind = "nocalled"     // without Called, an alias of To
	faultNoPlus       sim.FaultKind = "noplus"       // the plus of numbers is not escaped, so it is read as a space
)

// FaultUsage lists the faults in the format of ParseFault.
const FaultUsage = "badsignature, nosignature, nocalled, noplus (GET)"

// ParseFault parses the name of a fault.
func ParseFault(s string) (sim.Fault, error) {
	return sim.FaultSet{
		Usage: FaultUsage,
		Plain: []sim.FaultKind{sim.FaultNone, faultBadSignature, faultNoSignature, faultNoCalled, faultNoPlus},
	}.Parse(s)
}
