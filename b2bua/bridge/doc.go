// Package bridge is what lies between the two legs of a call: the agreement of their descriptions, the offers and
// answers that change it, media with its keys, our sounds, recordings, masked keys, and requests that pass from one
// side to the other.
//
// # Decisions
//
// A bridge opens no socket and sends no message itself: it asks its call (Call) to step a leg, and the relay to carry
// media. It knows a leg as a Half: its keys, its configuration, its session. Which leg a side has at the moment is the
// call's to say, at one place.
//
// One goroutine, the call's, owns a bridge. Events of the media and of handshakes come to the call's inbox (Call.Post),
// and back to Handle in its turn.
//
// The target's side is described in the target's terms. A description goes to the
// other side in that side's payload numbers, and in its kind of G.711 where the
// sides share none; the relay changes the payload types. So both sides may keep
// their numbers for the whole call (RFC 3264 section 8.3.2). TestCodecs.
//
// We answer every re-INVITE without SDP, whatever reinvite says. Passing it on would
// hold back the other side's ACK until the first side's has come. TestLateOffer.
//
// Our offer to a caller without SDP names one codec, the target's choice. With two
// the caller might pick the other one, and the target would have to be asked again.
// TestLateOffer.
//
// A caller over UDP is unconfirmed until it sends a request within its dialog: only
// that shows that our answer has reached it. What is confirmed is the leg, and the
// media is told with the leg's next description, or at once. TestCallerIsConfirmedByItsACK,
// TestCallerThatCannotBeForged.
package bridge
