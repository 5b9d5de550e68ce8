// Package sdp reads and writes session descriptions (RFC 8866, RFC 3264): the one audio
// stream that is relayed, its formats in each side's numbers, its direction, its SRTP
// keys (RFC 4568) and the o= line.
//
// A Description never changes after it is read; the other side gets another one that is
// made of it. Other streams are kept as text, to be declined. Held by
// TestDescriptionsNeverChange.
//
// # Decisions
//
// A description is read once, into a struct and one text of the lines that count:
// everything else is parts of that text. What the text says of attributes that are
// passed on is not parsed, and it is written again by appending to one buffer. A stream
// or line that is not known can't fail the call. Attributes are passed on by an allow
// list, because any other could show the other side's network. Held by
// TestUnknownStreamsAreDeclined, TestAllocations, FuzzParseDescription, and FuzzOracle,
// which has another reader beside it.
//
// Each side is described in the other side's terms: in its numbers for the same codecs,
// and with its kind of G.711 if they have none in common. Both sides may keep their
// numbers for the whole call, as RFC 3264 section 8.3.2 demands, and the relay changes
// payload types between them. Held by TestInNumbersOfTheOtherSide here and TestCodecs in
// b2bua.
//
// Payload types that no RTP packet can have, or that could be RTCP, are removed when a
// description is read, and so are repeated ones. Held by TestUsablePayloadTypes and
// FuzzPayloadTypes.
//
// The o= line belongs to the leg. Descriptions are made without it, and its version grows
// only if the text has changed (RFC 3264 section 8). A refresh sends the last agreed
// description again. Held by TestAnswerThatIsLeftOutIsNoVersion and
// TestRefreshAfterRefusedOffer in calltest.
//
// Each leg has its own SRTP keys. A sending key stays the same for the life of its leg,
// and with it the packet numbers under it; only another suite or another endpoint gets a
// new one. Held by TestOurKeyStays.
package sdp
