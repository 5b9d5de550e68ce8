// Package bridge connects the two legs of a call. It negotiates their sessions and later changes, relays the media with
// its keys, plays our sounds, records, masks keys, and passes requests from one side to the other.
//
// # Decisions
//
// A bridge opens no socket and sends no message itself: it asks its call (Call) to step a leg, and the relay to carry
// media. It sees a leg as a Half: the leg with its SRTP keys, its configuration and its session. Which leg is on a side
// at the moment is decided only by the call, in one place.
//
// A bridge belongs to the goroutine of its call. Events of the media and of handshakes are posted to the call's inbox
// (Call.Post). The call passes them to Tell in its turn.
//
// The target's side is described in the target's terms. A description is passed on with
// the other side's payload numbers, and with that side's kind of G.711 if the sides have
// none in common; the relay changes the payload types. So both sides may keep their
// numbers for the whole call (RFC 3264 section 8.3.2). TestCodecs.
//
// We answer every re-INVITE without SDP, whatever the reinvite setting. If we passed it
// on, the other side's ACK would have to wait for the first side's. TestLateOffer.
//
// Our offer to a caller without SDP names one codec, the target's choice. With two codecs
// the caller might choose the other one, and we would have to ask the target again.
// TestLateOffer.
//
// A caller over UDP is unconfirmed until it sends a request within its dialog: only such
// a request shows that our answer has reached it. The leg is confirmed, and the media
// learns of it with the leg's next description, or at once.
// TestCallerIsConfirmedByItsACK, TestCallerThatCannotBeForged.
package bridge
