package b2bua

import (
	"net/http"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/report"
	"flowbridge/config/template"
	"flowbridge/stir"
	"flowbridge/store"
)

// trunks[].identity: who calls is verified before the call has a route, and before anything
// rings.

// identityOf is what a caller's INVITE says for the verification (RFC 8224 section 5.1).
func (c *Call) identityOf() (*stir.Policy, *stir.Request) {
	by := c.trunk.Caller.Identity
	to := message.PartyOf("", &c.invite.To().Address, c.trunk.Caller.Country)
	return &stir.Policy{Roots: by.Roots, Hosts: by.Hosts, Fresh: by.Fresh, Timeout: by.Timeout}, &stir.Request{
		Identity: message.RawValues(c.invite, "Identity", "y"), Date: message.FirstHeader(c.invite, "Date"),
		From: c.vars.From.Number, To: to.Number, Called: c.vars.To.Number, CallID: c.vars.SIPCallID, FromTag: message.TagOf(c.invite.From().Params),
		Diverted: c.vars.Diversion != "" || message.FirstHeader(c.invite, "Diversion") != "",
	}
}

// verify has the caller verified beside the call, because a certificate may have to come
// first.
func (c *Call) verify() phase {
	c.journal()
	c.a.wire.Trying()
	policy, request := c.identityOf()
	c.server.beside(func() {
		e := Verified{stir.Unverified()}
		defer func() { c.mailbox.PostLast(item{event: e}) }()
		defer c.server.recovered("verify")
		e.Result = c.server.verifier.Verify(policy, request)
	})
	return (*Call).verifying
}

// verifying: nobody knows yet who calls.
func (c *Call) verifying() phase { return c.setUp("preparing", (*Call).verifying) }

// onVerified goes on with the call, or refuses it, as the trunk says.
func (c *Call) onVerified(e Verified) phase {
	c.vars.Verified = &template.IdentityVars{Verstat: e.Verstat, Attest: e.Attest, OrigID: e.OrigID}
	c.ladder.Decide("the caller's identity: %s", e.String())
	if e.Status == 0 {
		return c.routing()
	}
	c.peerLog.Info().Int("code", e.Status).Str("from", c.vars.From.Number).AnErr("err", e.Err).Msg("caller not verified")
	if !slices.Contains(c.trunk.Caller.Identity.Refuse, e.Status) {
		return c.routing()
	}
	c.journal()
	refusal := leg.Refuse{Code: e.Status, Reason: stir.ReasonPhrase(e.Status)}
	if e.Status == stir.StatusStale { // RFC 8224 section 6.2.2: the caller sets its clock by it
		refusal.Headers = []sip.Header{sip.NewHeader("Date", time.Now().UTC().Format(http.TimeFormat))}
	}
	c.step(c.a, refusal)
	return c.end(cause.IdentityRefused, store.EndedBySystem, e.Status, 0)
}

// identity foresees the verification as far as that goes without a certificate. False: it
// has the call refused.
func (x *explainer) identity(c *Call) bool {
	policy, request := c.identityOf()
	out, url := stir.Foresee(policy, request)
	x.out.Identity = &report.Identity{Verstat: out.Verstat, Attest: out.Attest, OrigID: out.OrigID, Result: out.String(), Certificate: url, Refuse: c.trunk.Caller.Identity.Refuse}
	c.vars.Verified = &template.IdentityVars{Verstat: out.Verstat, Attest: out.Attest, OrigID: out.OrigID}
	if url != "" {
		x.out.Note("the certificate at %s is not fetched, and the signature is taken to be right", url)
	}
	if out.Status == 0 || !slices.Contains(c.trunk.Caller.Identity.Refuse, out.Status) {
		return true
	}
	x.out.Refuse(out.Status, stir.ReasonPhrase(out.Status), out.Err.Error())
	return false
}
