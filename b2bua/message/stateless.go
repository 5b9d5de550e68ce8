package message

import (
	"bytes"
	"net/netip"
	"strconv"
)

// StatelessRefusal answers a request from its raw bytes, without parsing it
// and without keeping anything (RFC 3261 sections 8.2.7 and 16.11): Via, and
// the first From, To, Call-ID and CSeq are echoed, To gets toTag if it has
// none, the topmost Via says where the request came from. headers are further
// lines, each with its end.
func StatelessRefusal[T, H string | []byte](out, request []byte, from netip.AddrPort, status string, toTag T, headers H) []byte {
	out = append(out, "SIP/2.0 "...)
	out = append(out, status...)
	out = append(out, "\r\n"...)
	_, rest := CutLine(request)
	var sent headerSet
	for {
		var line []byte
		line, rest = CutHeader(rest)
		if len(line) == 0 {
			break
		}
		name, value, found := bytes.Cut(line, []byte{':'})
		kind := HeaderKindOf(Trim(name))
		if first, _ := CutLine(line); bytes.IndexByte(first, ':') < 0 {
			continue // the name is in a fold: it would come out behind an empty line
		}
		if !found || !Echoed(kind) || (kind != KindVia && sent&setOf(kind) != 0) {
			continue
		}
		if kind == KindVia && sent&setOf(KindVia) == 0 && from.IsValid() {
			out = appendTopVia(out, line, from)
		} else {
			out = appendHeader(out, line)
		}
		sent |= setOf(kind)
		if kind == kindTo && !hasTag(value) {
			out = append(append(out, ";tag="...), toTag...)
		}
		out = append(out, "\r\n"...)
	}
	out = append(out, headers...)
	return append(out, "Content-Length: 0\r\n\r\n"...)
}

// appendTopVia appends the topmost Via with the source of its request: received
// where it names another host (RFC 3261 section 18.2.1), and both where it asks
// for rport (RFC 3581 section 4).
func appendTopVia(out, line []byte, from netip.AddrPort) []byte {
	_, value, _ := bytes.Cut(line, []byte{':'})
	top, _, _ := CutUnquoted(value, ',')
	begin := len(line) - len(value)
	end, asked := begin+len(bytes.TrimRight(top, " \t\r\n")), -1
	for at := begin; len(top) > 0; {
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
		out = append(appendHeader(out, line[:asked]), '=')
		out = append(strconv.AppendUint(out, uint64(from.Port()), 10), ";received="...)
		out = append(out, from.Addr().AppendTo(room[:0])...)
		return appendHeader(out, line[asked:])
	case !viaNames(line[begin:end], from.Addr().AppendTo(room[:0])):
		out = append(appendHeader(out, line[:end]), ";received="...)
		out = append(out, from.Addr().AppendTo(room[:0])...)
		return appendHeader(out, line[end:])
	default:
		return appendHeader(out, line)
	}
}

// viaNames says whether a Via's host is this address, as it is usually written.
func viaNames(via, addr []byte) bool {
	v, ok := splitVia(via)
	return ok && EqualFold(v.host, string(addr))
}

// appendHeader appends a header, its folds on lines of their own, without the
// last line's end. A carriage return that stands alone would be read as one by
// some: it goes out as a space.
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
	a, _ := SplitAddress(to)
	return param(a.Params, "tag") != nil
}

// Echoed says whether a header goes back with an answer.
func Echoed(kind HeaderKind) bool {
	switch kind {
	case KindVia, KindFrom, kindTo, KindCallID, KindCSeq:
		return true
	default:
		return false
	}
}

const RetrySeconds = "5"
