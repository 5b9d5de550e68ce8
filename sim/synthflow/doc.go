// Package synthflow is a stand-in for Synthflow: the HTTP API (prepare_inbound, and an account of phone numbers,
// assistants and calls), the webhooks, and the SIP agent.
//
//	(under test) ── POST prepare_inbound ──▶ API
//	(under test) ── INVITE, X-EI ──────────▶ agent
//	             ◀── RTP: greeting, answers  agent ── webhook after the call ───────▶ (under test)
//
// The stand-in is strict about what a call depends on: numbers, ids, headers, workspaces and each number's agent. It
// checks no more than the JSON type of other members.
//
// Ownership: a call's goroutine calls its methods Admit, Settle and Over. The call's lock guards what the API reads of
// it, and the account's lock guards numbers and agents. The webhook after a call has a goroutine of its own, which
// Close waits for.
package synthflow
