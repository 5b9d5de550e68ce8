// Package bridge connects the two legs of a call. It negotiates sessions and later changes, relays the media and
// applies its SRTP keys, plays our sounds, records, masks keys, and passes requests from one side to the other.
//
// # Decisions
//
// A bridge opens no socket and sends no message itself: it asks its call (Call) to step a leg, and the relay to carry
// media. It sees a leg as a Half: the leg with its SRTP keys, its configuration and its session. Only the call decides
// which leg is on a side at the moment.
//
// A bridge belongs to its call's goroutine. Events of the media and of handshakes are posted to the call's inbox
// (Call.Post). The call passes them to Tell when it handles its inbox.
//
// Each side is described in its own terms. SDP that is passed on has the payload numbers of the side that gets it, and
// that side's kind of G.711 if the sides have none in common; the relay changes the payload types. So both sides may
// keep their numbers for the whole call (RFC 3264 section 8.3.2). TestCodecs checks this.
//
// Flowbridge answers a re-INVITE without SDP itself, also with reinvite: relay. If it passed the re-INVITE on, its ACK
// to the other side would have to wait for the first side's ACK. TestLateOffer checks this.
//
// Our offer to a caller without SDP names one codec, the target's choice. With two codecs the caller might choose the
// other one, and we would have to ask the target again. TestLateOffer checks this.
//
// A caller over UDP is unconfirmed until it sends a request within its dialog: only such a request shows that our
// answer has reached the caller. The media is told at once, or, if it is not open yet, with the leg's next description.
// TestCallerIsConfirmedByItsACK and TestCallerThatCannotBeForged check this.
package bridge
