package message

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Warning returns a Warning header (RFC 3261 section 20.43) without our host name. text is a code, a space and a text.
func Warning(text string) sip.Header {
	return sip.NewHeader("Warning", text[:3]+" flowbridge "+Quote(text[4:]))
}

// StatusText returns the reason phrase of a status (RFC 3261 section 21).
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
	180: "Ringing", 182: "Queued", 183: "Session Progress", 200: "OK",
	202: "Accepted",
	400: "Bad Request", 401: "Unauthorized", 415: "Unsupported Media Type", 421: "Extension Required",
	422: "Session Interval Too Small", 491: "Request Pending", 405: "Method Not Allowed",
	481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
	403: "Forbidden", 404: "Not Found", 408: "Request Timeout", 410: "Gone",
	480: "Temporarily Unavailable", 484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated",
	488: "Not Acceptable Here",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
	504: "Server Time-out",
	600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}

// StatelessRefusal appends the refusal of a request, made from the request's raw bytes without parsing and without
// keeping state (RFC 3261 sections 8.2.7 and 16.11). It repeats all Vias and the first From, To, Call-ID and CSeq. To
// gets toTag if it has none, and the topmost Via gets the source of the request. headers are additional lines, each
// with CRLF.
func StatelessRefusal[T, H string | []byte](out, request []byte, from netip.AddrPort, status string, toTag T,
	headers H,
) []byte {
	out = appendRefusal(append(append(out, "SIP/2.0 "...), status...), request, from, toTag, false)
	out = append(out, headers...)
	return append(out, "Content-Length: 0\r\n\r\n"...)
}

// ShortRefusal is StatelessRefusal in as few bytes as possible: with compact header names
// (RFC 3261 section 7.3.3), and without reason phrase and Content-Length, which a
// datagram does not need (section 20.14).
func ShortRefusal[T, H string | []byte](out, request []byte, from netip.AddrPort, status string, toTag T,
	headers H,
) []byte {
	code, _, _ := CutByte(status, ' ')
	out = appendRefusal(append(append(append(out, "SIP/2.0 "...), code...), ' '), request, from, toTag, true)
	out = append(out, headers...)
	return append(out, "\r\n"...)
}

// appendRefusal appends the end of the status line and the echoed headers.
func appendRefusal[T string | []byte](out, request []byte, from netip.AddrPort, toTag T, short bool) []byte {
	out = append(out, "\r\n"...)
	_, rest := CutLine(request)
	var sent headerSet
	for {
		var line []byte
		line, rest = cutHeader(rest)
		if len(line) == 0 {
			break
		}
		name, value, found := bytes.Cut(line, []byte{':'})
		kind := headerKindOf(Trim(name))
		if first, _ := CutLine(line); bytes.IndexByte(first, ':') < 0 {
			continue // the name is on a folded line, and would follow an empty line
		}
		if !found || !echoed(kind) || (kind != kindVia && sent&setOf(kind) != 0) {
			continue
		}
		if compact := shortName(kind); short && compact != "" {
			out = append(out, compact...)
		} else {
			out = appendHeader(out, line[:len(line)-len(value)])
		}
		if kind == kindVia && sent&setOf(kindVia) == 0 && from.IsValid() {
			out = appendTopVia(out, value, from)
		} else {
			out = appendHeader(out, value)
		}
		sent |= setOf(kind)
		if kind == kindTo && !hasTag(value) {
			out = append(append(out, ";tag="...), toTag...)
		}
		out = append(out, "\r\n"...)
	}
	return out
}

// shortName returns the compact form of a header's name with its colon, or "" if it has
// none.
func shortName(kind headerKind) string {
	switch kind {
	case kindVia:
		return "v:"
	case kindFrom:
		return "f:"
	case kindTo:
		return "t:"
	case kindCallID:
		return "i:"
	default:
		return ""
	}
}

// appendTopVia appends the value of the topmost Via with the source of its request:
// received if the Via names another host (RFC 3261 section 18.2.1), received and rport if
// it asks for rport (RFC 3581 section 4).
func appendTopVia(out, value []byte, from netip.AddrPort) []byte {
	top, _, _ := CutUnquoted(value, ',')
	end, asked := len(bytes.TrimRight(top, " \t\r\n")), -1
	for at := 0; len(top) > 0; {
		one, rest, _ := CutUnquoted(top, ';')
		if word := Trim(one); EqualFold(word, "rport") {
			asked = at + bytes.Index(one, word) + len(word)
		}
		at += len(top) - len(rest)
		top = rest
	}
	var room [64]byte
	switch {
	case asked >= 0:
		out = append(appendHeader(out, value[:asked]), '=')
		out = append(strconv.AppendUint(out, uint64(from.Port()), 10), ";received="...)
		out = append(out, from.Addr().AppendTo(room[:0])...)
		return appendHeader(out, value[asked:])
	case !viaNames(value[:end], from.Addr().AppendTo(room[:0])):
		out = append(appendHeader(out, value[:end]), ";received="...)
		out = append(out, from.Addr().AppendTo(room[:0])...)
		return appendHeader(out, value[end:])
	default:
		return appendHeader(out, value)
	}
}

// viaNames reports whether a Via's host is this address in its usual spelling.
func viaNames(via, addr []byte) bool {
	v, ok := splitVia(via)
	return ok && EqualFold(v.host, string(addr))
}

// appendHeader appends a header with its folds, without the last line end. A lone
// carriage return becomes a space, because some parsers take it for a line end.
func appendHeader(out, header []byte) []byte {
	for first := true; len(header) > 0; first = false {
		var line []byte
		if line, header = CutLine(header); !first {
			out = append(out, "\r\n"...)
		}
		start := len(out)
		out = append(out, bytes.TrimRight(line, "\r")...)
		for i := start; i < len(out); i++ {
			if out[i] == '\r' {
				out[i] = ' '
			}
		}
	}
	return out
}

func hasTag(to []byte) bool {
	a, _ := splitAddress(to)
	return param(a.params, "tag") != nil
}

// echoed reports whether answers repeat a header.
func echoed(kind headerKind) bool {
	switch kind {
	case kindVia, kindFrom, kindTo, kindCallID, kindCSeq:
		return true
	default:
		return false
	}
}

// RetrySeconds is the Retry-After of a refusal because of a lack of capacity.
const RetrySeconds = "5"

// RetryAfter reads the Retry-After of an answer, without its comment and parameters (RFC 3261 section 20.33). It
// returns 0 if there is no readable one.
func RetryAfter(headers []sip.Header) time.Duration {
	for _, h := range headers {
		if EqualFold(h.Name(), "retry-after") {
			text := h.Value()
			if i := strings.IndexAny(text, ";("); i >= 0 {
				text = text[:i]
			}
			if d, ok := Seconds(text); ok {
				return d
			}
		}
	}
	return 0
}
