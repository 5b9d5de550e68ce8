// Package sdp reads and writes session descriptions (RFC 8866, RFC 3264): the one audio
// stream that we relay, its formats with each side's payload numbers, its direction, its
// SRTP keys (RFC 4568) and the o= line.
//
// A Description never changes after it is read. To describe it to the other side, a new
// one is made from it. Other streams are kept as text, so that they can be declined.
// TestDescriptionsNeverChange.
//
// # Decisions
//
// A description is read once, into a struct and one text of the lines that count: all
// other strings are parts of that text. Attributes that are only passed on are not
// parsed, and writing them appends to one buffer. An unknown stream or line can't fail
// the call. An allow list decides which attributes are passed on, because others could
// reveal the other side's network. TestUnknownStreamsAreDeclined, TestAllocations,
// FuzzParseDescription, and FuzzOracle, which compares the result with another parser.
//
// Each side is described to the other one with the other side's payload numbers for the
// same codecs, and with the other side's kind of G.711 if the two have none in common.
// Both sides may keep their numbers for the whole call, as RFC 3264 section 8.3.2
// demands, and the relay changes payload types between them. TestInNumbersOfTheOtherSide
// here and TestCodecs in b2bua.
//
// Reading a description removes payload types that no RTP packet can have, or that could
// be RTCP, and repeated ones. TestUsablePayloadTypes and FuzzPayloadTypes.
//
// The o= line belongs to the leg. Descriptions are made without it, and its version grows
// only if the text has changed (RFC 3264 section 8). A refresh sends the last agreed
// description again. TestAnswerThatIsLeftOutIsNoVersion and TestRefreshAfterRefusedOffer
// in calltest.
//
// Each leg has its own SRTP keys. A sending key, with its packet numbers, stays the same
// for the life of its leg. Only another suite or another endpoint gets a new key.
// TestOurKeyStays.
package sdp
