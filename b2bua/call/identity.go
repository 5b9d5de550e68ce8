package call

import (
	"net/http"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/stir"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// This file implements trunks[].identity: the caller is verified before the call is routed, so before any target rings.

// identity verifies a call's caller.
type identity struct {
	idle
	found *template.IdentityVars // the result, for templates; nil if the caller was not verified
}

// verified is the result of verifying the caller.
type verified struct{ stir.Result }

func (verified) isPartEvent() {}

func (i *identity) on(h happening) (next phase, handled bool) {
	of, _ := h.event.(ofPart)
	e, handled := of.partEvent.(verified)
	if handled {
		next = i.verified(e)
	}
	return next, handled
}

func (i *identity) restore(k *snapshot.Call, r *record.Record) error {
	if r.Verstat != "" && k.Times.Answered != 0 { // before the answer, the new process verifies the caller again
		i.found = &template.IdentityVars{Verstat: r.Verstat, Attest: r.Attest, OrigID: r.OrigID}
	}
	return nil
}

// verify starts to verify the caller, concurrently with the call because a certificate may have to be fetched. It
// returns the next phase, which is routing at once if the trunk wants no verification.
func (i *identity) verify() phase {
	c := i.call
	if c.trunk.Caller.Identity == nil {
		return c.routing()
	}
	c.a.Trying()
	policy, request := outbound.Verification(c.invite, c.trunk.Caller, &c.vars, c.times.started)
	c.host.Beside(func() {
		e := verified{stir.Unverified()}
		defer func() { c.mailbox.PostLast(item{event: ofPart{e}}) }()
		defer c.host.Recovered("verify")
		e.Result = c.host.Verifier.Verify(policy, request)
	})
	return (*Call).verifying
}

// verifying is the phase in which the caller is being verified.
func (c *Call) verifying() phase { return c.setUp("preparing", (*Call).verifying) }

// set sets what templates know of the caller's identity.
func (i *identity) set(found *template.IdentityVars) { i.found = found }

// verified continues the call or refuses it, depending on the result and the trunk's configuration.
func (i *identity) verified(e verified) phase {
	c := i.call
	i.set(&template.IdentityVars{Verstat: e.Verstat, Attest: e.Attest, OrigID: e.OrigID})
	c.record.verified(e.Result)
	c.ladder.Decide("the caller's identity: %s", e.String())
	if e.Status == 0 {
		return c.routing()
	}
	c.peerLog.Info().Int("code", e.Status).Str("from", c.vars.From.Number).AnErr("err", e.Err).Msg("caller not verified")
	if !slices.Contains(c.trunk.Caller.Identity.Refuse, e.Status) {
		return c.routing()
	}
	c.checkpoint.flush(true) // the journal gets the result before the refusal is sent
	refusal := leg.Refuse{Code: e.Status, Reason: stir.ReasonPhrase(e.Status)}
	if e.Status == stir.StatusStale { // RFC 8224 section 6.2.2: with the Date header, the caller can set its clock
		refusal.Headers = []sip.Header{sip.NewHeader("Date", time.Now().UTC().Format(http.TimeFormat))}
	}
	c.step(c.a, refusal)
	return c.end(cause.IdentityRefused, record.EndedBySystem, e.Status, 0)
}
