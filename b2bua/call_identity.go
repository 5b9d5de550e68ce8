package b2bua

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

// trunks[].identity: the caller is verified before the call has a route, and before anything rings.

// identity is who calls.
type identity struct{ idle }

// Verifier verifies who calls.
func (s *Server) Verifier() *stir.Verifier { return s.verifier }

// verified is what the verification of the caller says.
type verified struct{ stir.Result }

func (verified) isPartEvent() {}

func (i *identity) on(h happening) (next phase, mine bool) {
	of, _ := h.event.(ofPart)
	e, mine := of.partEvent.(verified)
	if mine {
		next = i.verified(e)
	}
	return next, mine
}

func (i *identity) restore(k *snapshot.Call, r *record.Record) error {
	if r.Verstat != "" && k.Times.Answered != 0 { // else the caller is verified again
		i.call.vars.Verified = &template.IdentityVars{Verstat: r.Verstat, Attest: r.Attest, OrigID: r.OrigID}
	}
	return nil
}

// verify has the caller verified beside the call, because a certificate may have to come first. Where the trunk does
// not want that, the call goes on at once.
func (i *identity) verify() phase {
	c := i.call
	if c.trunk.Caller.Identity == nil {
		return c.routing()
	}
	c.a.Trying()
	policy, request := outbound.Verification(c.invite, c.trunk.Caller, &c.vars, c.times.started)
	c.server.beside(func() {
		e := verified{stir.Unverified()}
		defer func() { c.mailbox.PostLast(item{event: ofPart{e}}) }()
		defer c.server.recovered("verify")
		e.Result = c.server.verifier.Verify(policy, request)
	})
	return (*Call).verifying
}

// verifying: it is not known yet who calls.
func (c *Call) verifying() phase { return c.setUp("preparing", (*Call).verifying) }

// verified goes on with the call, or refuses it, as the trunk says.
func (i *identity) verified(e verified) phase {
	c := i.call
	c.vars.Verified = &template.IdentityVars{Verstat: e.Verstat, Attest: e.Attest, OrigID: e.OrigID}
	c.record.Verstat, c.record.Attest, c.record.OrigID = e.Verstat, e.Attest, e.OrigID
	c.ladder.Decide("the caller's identity: %s", e.String())
	if e.Status == 0 {
		return c.routing()
	}
	c.peerLog.Info().Int("code", e.Status).Str("from", c.vars.From.Number).AnErr("err", e.Err).Msg("caller not verified")
	if !slices.Contains(c.trunk.Caller.Identity.Refuse, e.Status) {
		return c.routing()
	}
	c.checkpoint.flush(true) // with who calls
	refusal := leg.Refuse{Code: e.Status, Reason: stir.ReasonPhrase(e.Status)}
	if e.Status == stir.StatusStale { // RFC 8224 section 6.2.2: the caller sets its clock by it
		refusal.Headers = []sip.Header{sip.NewHeader("Date", time.Now().UTC().Format(http.TimeFormat))}
	}
	c.step(c.a, refusal)
	return c.end(cause.IdentityRefused, record.EndedBySystem, e.Status, 0)
}
