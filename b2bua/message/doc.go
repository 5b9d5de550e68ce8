// Package message reads and writes the text of SIP: raw bytes, headers, addresses, numbers and bodies, and this
// server's tags, branches and nonces. It knows nothing of dialogs and calls.
//
// Scan checks the raw bytes of a message before anything is parsed. Parse reads a message
// into the library's types, and Buffer writes these.
//
// # Decisions
//
// The form of a message is checked in its raw bytes, in one pass without allocation, and Parse splits headers with the
// same functions. So every message that passes the check can be parsed, and both interpret it in the same way. The
// library's parser would drop a message without an answer because of one bad header. A Contact or Record-Route that
// can't be read stays in the message as a badHeader, and only code that needs the header refuses the message. FuzzScan,
// FuzzParse, TestScanAgreesWithParser and TestScanDoesNotAllocate here, and by TestRefusalWithSpoiledContact in
// calltest.
//
// Tags and branches are keyed: a random value and a truncated HMAC. Messages that belong
// to this server are recognised without a table, also after a restart, because the store
// keeps the key. The tag of a leg that is gone gives no access. The To tag of an INVITE
// is derived from its Call-ID, From tag, CSeq, branch and sender, so that only a
// retransmission of the same INVITE finds its call, and no answer to another request
// carries that tag. A branch is bound to the From tag of its leg, so that a response
// counts only for the leg that sent the request. TestMintForgeries, TestInviteTag and
// TestBranchOfAnotherLeg here, and by TestTagsOfNoLeg and TestTagsStaySecret in calltest.
//
// A nonce is a keyed hash, not an entry in a table, so a challenge costs no memory. We
// remember only the counts of nonces that came with a right response. A nonce that we may
// have forgotten counts as stale, and so does a nonce of an earlier process with the same
// key. The age of a nonce is measured by the running time of its process, because the
// machine's clock can be set. Failures count against the address that the nonce was given
// to, which can't be forged, so a stranger can't lock out a trunk. TestNonce,
// TestNonceWhenTheClockIsSet, TestNonceOfAnEarlierProcess, TestReplaysAreBounded and
// TestThrottle.
//
// Secrets in stored messages are replaced byte by byte, so all lengths stay correct.
// FuzzRedact and FuzzHideInline.
package message
