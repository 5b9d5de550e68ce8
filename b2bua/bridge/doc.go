// Package bridge connects the two legs of a call: it has the agreement of their descriptions, the offers and answers
// that change it, media with its keys, our sounds, recordings, masked keys, and the requests that pass from one side to
// the other.
//
// # Decisions
//
// A bridge opens no socket and sends no message itself: it asks its call (Call) to step a leg, and the relay to carry
// media. It sees a leg as a Half: its keys, its configuration, its session. Only the call decides which leg a side has
// at the moment, in one place.
//
// One goroutine, the call's, owns a bridge. Events of the media and of handshakes go to the call's inbox (Call.Post),
// and come back through Handle in the call's turn.
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
