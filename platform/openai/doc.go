// Package openai receives OpenAI's webhook about a ringing call, and accepts or rejects the call over OpenAI's API.
//
//	(ours) ── INVITE sip:proj_…@sip.api.openai.com ──▶ OpenAI ── realtime.call.incoming ──▶ Webhook
//	                                                     ◀── POST /v1/realtime/calls/{id}/accept or /reject ──┘
//
// GPT-Live sends live.transport.incoming, and the answer goes to /v1/live/sessions/{id}/accept or /reject.
//
// Source: https://developers.openai.com/api/docs/guides/realtime-sip and …/voice-sip, and the references of
// realtime/calls and live/sessions (read 22 and 23 November 2026); signatures as on https://www.standardwebhooks.com.
//
// # Decisions
//
// The signature covers the id, the time and the whole body. A webhook is refused if its time differs from ours by more
// than five minutes. No webhook is accepted twice, so copying one has no effect. Tests: TestSignature, TestTakenOnce.
//
// OpenAI may report one call with both events. The session type, live or not, decides which one is answered; the other
// is ignored. For each INVITE of ours one call is accepted: a second call with the same header is a copy, and is
// rejected with 603. Tests: TestLive, TestAcceptedOnce.
//
// A webhook that can't be decided now gets 503, and OpenAI sends it again. A call is rejected only if no INVITE of ours
// matches it, or if its session can't be created. Test: TestDecisions.
package openai
