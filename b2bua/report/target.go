package report

import (
	"fmt"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
)

// noPhoneNumber explains why a target can't be dialled with a user part that is not a phone number.
func noPhoneNumber(user string) string {
	if user == "" {
		return "the target's uri dials a number, and the call has none"
	}
	return fmt.Sprintf("the target's uri dials the called number, and %q is not a phone number; only a route whose to is exactly that may dial it", user)
}

// TargetOf returns a Target with the values from the target's configuration.
func TargetOf(of *peers.Target) Target {
	t := of.Dial
	r := Target{
		Target: t.Name, Kind: t.Kind, Transport: t.Transport, Prepares: t.Prepare != nil, Codecs: t.Codecs,
		FirstResponseTimeoutMS: t.FirstResponseTimeout.Milliseconds(), RingTimeoutMS: t.RingTimeout.Milliseconds(),
		MaxCalls: t.MaxCalls, MaxCPS: t.MaxCPS,
		MediaAddress: t.Media.Address, Latch: string(t.Media.Latch), SRTP: string(t.Media.SRTP),
	}
	if of.Trunk != nil {
		r.Kind = "trunk"
	}
	if t.Auth != nil {
		r.Username = t.Auth.Username
	}
	if t.Prepare != nil {
		r.PrepareTimeoutMS, r.OnFailure, r.PrepareSuccess = t.Prepare.Timeout.Milliseconds(), t.Prepare.OnFailure,
			t.Prepare.Answer().String()
	}
	if t.Media.Keying == config.KeyingDTLS {
		r.SRTPKeying = string(t.Media.Keying)
	}
	return r
}

// Budget reports on the size of an INVITE over UDP. dropped returns the headers that have been left out so far.
func (r *Target) Budget(t *peers.Dial, in leg.Invite, dropped func() []string) {
	if in.Shorten == nil || message.IsStream(r.Transport) {
		return
	}
	r.UDPBudget, r.Overflow = t.Budget.Size, t.Overflow
	if t.Auth == nil {
		return
	}
	before := len(dropped())
	_, fits := in.Shorten(outbound.TypicalCredentials)
	r.ForChallenges = &Credentials{Bytes: outbound.TypicalCredentials, Fits: fits, Dropped: dropped()[before:]}
}

// Before reports on the routes up to the matching one, which has the index found: why they don't match the call, or
// which conditions it meets.
func (x *Explanation) Before(found int, p *peers.Snapshot, vars *template.Vars, came time.Time) {
	for i := range p.Routes {
		why := mismatch(i, p, vars, came)
		if i == found {
			why = met(&p.Routes[i])
		}
		x.Routes = append(x.Routes, Route{Route: p.RouteName(i), Matches: i == found, Why: why})
		if i == found {
			return
		}
	}
}

// mostMismatches bounds the routes for which Mismatches gives a reason.
const mostMismatches = 20

// Mismatches returns, for a call that no route takes, why each route does not take it. came is the call's time.
func Mismatches(p *peers.Snapshot, vars *template.Vars, came time.Time) (all []string) {
	for i := range p.Routes {
		if i == mostMismatches {
			return append(all, fmt.Sprintf("%d more routes do not match", len(p.Routes)-i))
		}
		all = append(all, fmt.Sprintf("%s does not match: %s", p.RouteName(i), mismatch(i, p, vars, came)))
	}
	return all
}

// mismatch says in words why a route does not take a call.
func mismatch(index int, p *peers.Snapshot, vars *template.Vars, came time.Time) string {
	r := &p.Routes[index]
	switch p.Mismatch(r, vars, came) {
	case "target":
		if r.Target != "" {
			return "it is for calls of target " + r.Target
		}
		return "it is for calls of trunks"
	case "trunk":
		return "it is for trunk " + r.Trunk
	case "to":
		return fmt.Sprintf("the called number %s does not match to: %s", vars.To.Number, r.To)
	case "from":
		return fmt.Sprintf("the calling number %s does not match from: %s", vars.From.Number, r.From)
	case "hours":
		return fmt.Sprintf("it is open %s, and the time there is %s", r.Hours, r.Hours.Clock(came))
	case "listed":
		return unlisted(r, p.Numbers, vars)
	default:
		return "it matches, but no target is left: " + noPhoneNumber(vars.To.Number)
	}
}
