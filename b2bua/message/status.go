package message

// StatusText is the reason phrase of a status that we answer with by
// ourselves (RFC 3261 section 21).
func StatusText(code int) string {
	if text, ok := reasonPhrases[code]; ok {
		return text
	}
	switch {
	case code < 500:
		return "Request Failure"
	case code < 600:
		return "Server Failure"
	default:
		return "Global Failure"
	}
}

var reasonPhrases = map[int]string{
	180: "Ringing", 183: "Session Progress", 200: "OK",
	202: "Accepted",
	400: "Bad Request", 401: "Unauthorized", 415: "Unsupported Media Type", 421: "Extension Required",
	422: "Session Interval Too Small", 491: "Request Pending", 405: "Method Not Allowed", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
	403: "Forbidden", 404: "Not Found", 408: "Request Timeout", 410: "Gone",
	480: "Temporarily Unavailable", 484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated",
	488: "Not Acceptable Here",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out",
	600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}
