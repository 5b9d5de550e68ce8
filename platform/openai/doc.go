// Package openai takes OpenAI's webhook of a call that rings at it, and accepts or rejects the call by OpenAI's API.
//
//	(ours) ── INVITE sip:proj_…@sip.api.openai.com ──▶ OpenAI ── realtime.call.incoming ──▶ Webhook
//	                                                     ◀── POST /v1/realtime/calls/{id}/accept or /reject ──┘
//
// GPT-Live asks by live.transport.incoming, and is told at /v1/live/sessions/{id}/accept or /reject.
//
// Source: https://developers.openai.com/api/docs/guides/realtime-sip and …/voice-sip, and the references of
// realtime/calls and live/sessions (read 22 and 23 November 2026); signatures as on https://www.standardwebhooks.com.
//
// # Decisions
//
// The signature covers the id, the time and the whole body. A webhook that is older or newer than five minutes is
// refused, and one that was taken is not taken again, so that a copy of one does nothing. Held by TestSignature and
// TestTakenOnce.
//
// OpenAI may tell of one call by both events. The type of the session, live or another, says which of them is answered;
// the other is left alone. For one INVITE of ours one call is accepted: a second one that shows the same header is a
// copy, and is rejected with 603. Held by TestLive and TestAcceptedOnce.
//
// What cannot be decided now gets 503: OpenAI sends it again. It is told of a rejection only where nobody here asks for
// the call, or its session cannot be made. Held by TestDecisions.
package openai
