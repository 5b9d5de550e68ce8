package b2bua

import "github.com/emiago/sipgo/sip"

// capabilities are what the answer to an OPTIONS says of us (RFC 3261 section
// 11.2). Supported is left out for as long as there is no extension to name:
// an empty one is allowed (section 20.37), but not every parser knows that.
func capabilities() []sip.Header {
	return append(allowHeaders(),
		sip.NewHeader("Accept", "application/sdp"),
		sip.NewHeader("Accept-Encoding", "identity"),
		sip.NewHeader("Accept-Language", "en"),
	)
}
