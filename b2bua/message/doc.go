// Package message reads and writes the text of SIP: raw bytes, headers, addresses,
// numbers and bodies, and this server's tags, branches and nonces. It knows no dialog
// and no call.
//
// Scan checks the raw bytes of a message before anything is parsed. Parse reads it into the
// library's types, and Buffer writes these.
//
// # Decisions
//
// The form of a message is checked in its raw bytes, in one pass without allocation, and
// Parse splits headers by the same functions. So every message that passes the check can
// be parsed, and both read it alike. The library's parser would drop a message without an
// answer for one bad header. A Contact or Record-Route that can't be read stays in the
// message as a badHeader, and only code that needs it refuses. Held by FuzzScan, FuzzParse, TestScanAgreesWithParser
// and TestScanDoesNotAllocate here, and by TestRefusalWithSpoiledContact in calltest.
//
// Tags and branches are keyed: a random value and a truncated HMAC. Messages that belong
// to this server are recognised without a table, also after a restart, because the store
// keeps the key. A tag of a leg that is gone opens nothing. The To tag of an INVITE is
// derived from its Call-ID, From tag, CSeq, branch and sender, so that only its own
// retransmission meets its call, and no answer to another request carries that tag. A
// branch is bound to the From tag of its leg, so that a response counts only for the leg
// that has asked. Held by TestMintForgeries, TestInviteTag and TestBranchOfAnotherLeg
// here, and by TestTagsOfNoLeg and TestTagsStaySecret in calltest.
//
// A nonce is a keyed hash, not an entry in a table, so a challenge costs no memory. Only
// the counts of nonces that came with a right response are remembered, and a nonce that
// may have been forgotten counts as stale. So does a nonce of an earlier process with
// the same key. The age of a nonce is the time that its process has run, because the
// clock of the machine can be set. Failures count against the address that the
// nonce was given to, which can't be forged, so a stranger can't lock a trunk out. Held by
// TestNonce, TestNonceWhenTheClockIsSet, TestNonceOfAnEarlierProcess,
// TestReplaysAreBounded and TestThrottle.
//
// Secrets are replaced byte by byte in messages that are kept, so all lengths stay true.
// Held by FuzzRedact and FuzzHideInline.
package message
