// Package outbound makes the INVITE to a target: its URI, From and identity headers, diversion and privacy, the
// configured and the passed headers, and X-EI. It chooses the headers to drop if the INVITE exceeds the target's size
// budget, and interprets the end of an INVITE (OutcomeOf).
//
// # Decisions
//
// An INVITE is measured as it will be on the wire, before it is sent. If it exceeds the target's budget, headers are
// dropped in a fixed order and listed in the record. TestTrim here and TestBudgetOnTheWire in calltest check this.
//
// Only an INVITE that may go over TCP reserves room for credentials in advance. An INVITE
// that stays on UDP makes room when it is challenged. TestCredentialsFit in calltest.
//
// A caller can't forge X-EI: a value in it that contains a ; fails the attempt.
// TestXEIInjection in calltest.
//
// A caller can't choose the host: a rendered URI must have the same structure as its
// template. TestRenderURI and FuzzRenderURI.
//
// The platform's caller is the lead (CallingParty): the person whom the agent talks to, even if a PBX has called that
// person and hands over the call. So with direction outbound, From, P-Asserted-Identity and prepare name the called
// party. The record's from and to are those of the carrier's INVITE. lead_test.go in calltest.
package outbound
