package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/stir"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/config/template"
)

// This file predicts what happens to the call before it reaches a target.

// Register assumes that we are registered for the trunk, if only the registration tells where its calls come from.
func (c *Caller) Register(q *Question, a *peers.Admission, e *Explanation) {
	if c.Trunk == nil || c.Trunk.Caller.Register == nil || len(c.Trunk.Caller.Sources) > 0 || q.Source.IsValid() {
		return
	}
	a.Registered(c.Trunk.Caller.Name, "", c.Source)
	e.Note("trunk %s is taken to be registered: %v stands for its registrar", c.Trunk.Caller.Name, c.Source)
}

// Screened reports whether the screen would refuse the call before it is parsed. It
// assumes free capacity.
func (c *Caller) Screened(text []byte, p *peers.Snapshot, s *transport.Stack, e *Explanation) bool {
	if who := p.TrustOf(c.Sender()); !who.Known && !who.Open {
		e.Refuse(0, "", fmt.Sprintf("the address %v is in no trunk's sources", c.Source))
		return true
	}
	msg, ok := message.Scan(text)
	if !ok {
		e.Refuse(0, "", "it is not SIP")
		return true
	}
	status := s.Objection(msg, len(text))
	if status == "" {
		return false
	}
	code, reason, _ := strings.Cut(status, " ")
	n, _ := message.Decimal(code, 699)
	e.Refuse(n, reason, "")
	return true
}

// Admit reports on the trunk of the call and its limits.
func (e *Explanation) Admit(t *peers.Trunk, a *peers.Admission) {
	e.Trunk, e.Target = t.TrunkName(), t.TargetName()
	e.MaxCalls, e.MaxCPS, e.MaxDurationMS = t.Caller.MaxCalls, t.Caller.MaxCPS, t.Caller.MaxDuration.Milliseconds()
	e.Limits = Limits(t.Caller.Limits)
	e.Reserved.Setups, e.Reserved.Calls = a.Reserved(t)
}

// Verify predicts the verification of the caller, if the trunk wants one, as far as possible without a certificate. It
// reports whether the call continues.
func (e *Explanation) Verify(invite *sip.Request, by *peers.Caller, vars *template.Vars, came time.Time) (goesOn bool) {
	if by.Identity == nil {
		return true
	}
	policy, request := outbound.Verification(invite, by, vars, came)
	vars.Verified, goesOn = e.verify(policy, request, by.Identity.Refuse)
	return goesOn
}

// verify returns the template variables that a verification would set. refuse lists the failures for which a call is
// refused.
func (e *Explanation) verify(policy *stir.Policy, request *stir.Request, refuse []int) (found *template.IdentityVars,
	goesOn bool,
) {
	out, url := stir.Foresee(policy, request)
	e.Identity = &Identity{
		Verstat: out.Verstat, Attest: out.Attest, OrigID: out.OrigID, Result: out.String(),
		Certificate: url, Refuse: refuse,
	}
	if url != "" {
		e.Note("the certificate at %s is not fetched, and the signature is taken to be right", url)
	}
	goesOn = out.Status == 0 || !slices.Contains(refuse, out.Status)
	if !goesOn {
		e.Refuse(out.Status, stir.ReasonPhrase(out.Status), out.Err.Error())
	}
	return &template.IdentityVars{Verstat: out.Verstat, Attest: out.Attest, OrigID: out.OrigID}, goesOn
}

// Take reports on the route that takes the call.
func (e *Explanation) Take(r *config.Route, vars *template.Vars) {
	e.Row, e.Direction, e.Lead = vars.Row, vars.Direction, vars.Lead().Number
	e.Route, e.Ringing, e.Otherwise = vars.Route, r.Ringing, r.Otherwise
	e.Settings = settingsOf(r)
	e.FailoverOn, e.SetupTimeoutMS = r.FailoverOn, r.SetupTimeout.Milliseconds()
}

// LeadTo returns the targets that the route leads the call to, in the order in which they are tried. It also reports to
// which share the call belongs, and which targets are left out.
func (e *Explanation) LeadTo(p *peers.Snapshot, r *config.Route, vars *template.Vars) []*peers.Target {
	if q := r.Queue; q != nil {
		e.Note("while every target is full, up to %d callers wait for up to %v; others get 486", q.Limit, q.Timeout)
	}
	targets, share := p.DestinationsFor(r, vars)
	if share > 0 {
		e.Split = &Share{Target: targets[0].Dial.Name, Weight: share, Of: r.Total()}
	}
	for _, t := range p.Destinations(r, vars) {
		if !slices.Contains(targets, t) {
			e.Note("target %s is left out: %s", t.Dial.Name, noPhoneNumber(vars.Agent().Number))
		}
	}
	return targets
}

// Sent reports on the INVITE among a leg's effects.
func (t *Target) Sent(effects []leg.Effect) {
	for _, e := range effects {
		if sent, ok := e.(leg.SendRequest); ok {
			text := sent.Req.String()
			head, body, _ := strings.Cut(text, "\r\n\r\n")
			t.Bytes, t.Invite, t.Body = len(text), strings.Split(head, "\r\n"), string(message.MaskKeys([]byte(body)))
		}
	}
}

// Foresee follows the call of a question up to the trunk that accepts it. A nil trunk means that the call is refused.
func (q *Question) Foresee(cfg *config.Config, a *peers.Admission, s *transport.Stack, e *Explanation) (*sip.Request,
	*peers.Trunk, error,
) {
	e.At = q.At
	if e.At.IsZero() {
		e.At = time.Now()
	}
	p := a.Peers.Load()
	from, err := q.Caller(cfg, p, s.Listeners())
	if err != nil {
		return nil, nil, err
	}
	e.Source = from.Source
	from.Register(q, a, e)
	sender := from.Sender()
	text, err := q.Invite(cfg, from.Transport, sender.Addr, sampleAddr(cfg))
	if err != nil || from.Screened(text, p, s, e) {
		return nil, nil, err
	}
	req, err := from.Read(text)
	if err != nil {
		return nil, nil, err
	}
	if problem := message.Malformed(req); problem != "" {
		e.Refuse(400, problem, "")
		return nil, nil, nil
	}
	t, err := from.TrunkOf(req, p, e)
	if err != nil || t == nil {
		return nil, nil, err
	}
	e.Admit(t, a)
	if code, reason, _ := leg.Refusal(req, t.Options(p)); code != 0 {
		e.Refuse(code, reason, "")
		return nil, nil, nil
	}
	e.Local(s, from.Transport, sender.Addr.Addr()) // also reports on the address for the caller's leg
	return req, t, nil
}
