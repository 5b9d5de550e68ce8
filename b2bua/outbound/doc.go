// Package outbound makes the INVITE to a target: its URI, From and identity headers,
// diversion and privacy, the configured and the passed headers, X-EI, and the choice of
// what is left out to keep the target's size budget; and what the INVITE's end means (OutcomeOf).
//
// # Decisions
//
// An INVITE is measured as it will be on the wire, before it is sent. What is over the
// target's budget is left out in a known order and noted in the record. Held by TestTrim
// here and TestBudgetOnTheWire in calltest.
//
// Only an INVITE that may go over TCP keeps room for credentials that were not asked for
// yet. One that stays on UDP makes room when it is challenged. Held by TestCredentialsFit
// in calltest.
//
// A caller can't write X-EI: a value within it that contains a ; fails the attempt. Held by
// TestXEIInjection in calltest.
//
// A caller can't choose the host: a rendered URI must have its parts where the template
// has them. Held by TestRenderURI and FuzzRenderURI.
//
// The platform's caller is the lead (CallingParty): with direction outbound, From,
// P-Asserted-Identity and prepare name the called party. The record's from and to stay
// as in the carrier's INVITE. Held by lead_test.go in calltest.
package outbound
