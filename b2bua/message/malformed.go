package message

import "github.com/emiago/sipgo/sip"

// Targets says whether requests of a method make a dialog or change its target
// (RFC 3261 section 12.2.1.1, RFC 3311, RFC 3515, RFC 6665).
func Targets(m sip.RequestMethod) bool {
	return m == sip.INVITE || m == sip.SUBSCRIBE || m == sip.REFER || m == sip.UPDATE
}

// Malformed says what a request lacks to be answered as what it claims to be,
// "" if nothing. The guard has seen to all but Contact and Record-Route, which
// matter only where a dialog is made or has its target changed (RFC 3261
// section 8.2: what is not needed is ignored).
func Malformed(req *sip.Request) string {
	switch spoiled := SpoiledIn(req.Headers()); {
	case spoiled != "" && Targets(req.Method):
		return spoiled
	case req.From() == nil || TagOf(req.From().Params) == "":
		return "From with a tag is missing"
	case req.To() == nil:
		return "To is missing"
	case req.CallID() == nil:
		return "Call-ID is missing"
	case req.CSeq() == nil || req.CSeq().MethodName != req.Method:
		return "CSeq is missing or of another method"
	default:
		return ""
	}
}
