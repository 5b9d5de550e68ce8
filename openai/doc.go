// Package openai takes OpenAI's webhook of a call that rings at it, and accepts or rejects the call by OpenAI's API.
//
//	(ours) ── INVITE sip:proj_…@sip.api.openai.com ──▶ OpenAI ── realtime.call.incoming ──▶ Webhook
//	                                                     ◀── POST /v1/realtime/calls/{id}/accept or /reject ──┘
//
// Source: https://developers.openai.com/api/docs/guides/realtime-sip and the reference of realtime/calls (read 22 November 2026);
// signatures as on https://www.standardwebhooks.com.
//
// # Decisions
//
// The signature covers the id, the time and the whole body. A webhook that is older or newer than five minutes is refused, and one
// that was taken is not taken again, so that a copy of one does nothing. Held by TestSignature and TestTakenOnce.
//
// What cannot be decided now gets 503: OpenAI sends it again. It is told of a rejection only where nobody here asks for the call, or its
// session cannot be made. Held by TestDecisions.
package openai
