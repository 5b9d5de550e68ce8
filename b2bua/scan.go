package b2bua

import (
	"bytes"
	"strings"
)

// scanned is what the guard needs to know of a datagram, read from the raw
// bytes without allocation. The slices point into the datagram.
type scanned struct {
	response bool
	method   []byte // of a request
	version  []byte // "SIP/2.0", or what stands in its place
	vias     int
	sentBy   []byte // of the topmost Via
	branch   []byte
	toTag    []byte
	fromTag  []byte
	callID   []byte
	cseq     []byte // the number

	authorized bool // there are credentials
}

// scan reads the start line and the headers that routing depends on. It says
// false for what is not SIP at all. It is lenient: the parser decides later.
func scan(datagram []byte) (s scanned, ok bool) {
	line, rest := cutLine(datagram)
	first, after, found := bytes.Cut(line, []byte{' '})
	if !found || len(first) == 0 {
		return s, false
	}
	if bytes.HasPrefix(first, []byte("SIP/")) {
		s.response, s.version = true, first
	} else {
		i := bytes.LastIndexByte(after, ' ')
		if i < 0 || !bytes.HasPrefix(after[i+1:], []byte("SIP/")) {
			return s, false
		}
		s.method, s.version = first, after[i+1:]
	}
	for {
		line, rest = cutHeader(rest)
		if len(line) == 0 {
			return s, true
		}
		name, value, found := bytes.Cut(line, []byte{':'})
		if !found {
			continue
		}
		s.header(bytes.TrimSpace(name), bytes.TrimSpace(value))
	}
}

func (s *scanned) header(name, value []byte) {
	is := func(long, short string) bool {
		return asciiEqualFold(name, long) || (short != "" && asciiEqualFold(name, short))
	}
	switch {
	case is("via", "v"):
		if s.vias++; s.vias == 1 {
			top, _, _ := bytes.Cut(value, []byte{','})
			s.branch = param(top, "branch")
			s.sentBy = sentBy(top)
		}
	case is("to", "t"):
		s.toTag = param(afterAddress(value), "tag")
	case is("from", "f"):
		s.fromTag = param(afterAddress(value), "tag")
	case is("call-id", "i"):
		s.callID = value
	case is("cseq", ""):
		s.cseq = number(value)
	case is("authorization", ""):
		s.authorized = true
	}
}

// sentBy is the host and port in a Via: "SIP/2.0/TCP host:port;branch=x".
func sentBy(via []byte) []byte {
	via, _, _ = bytes.Cut(via, []byte{';'})
	if i := bytes.LastIndexByte(via, '/'); i >= 0 {
		via = bytes.TrimSpace(via[i+1:])
	}
	if i := bytes.IndexAny(via, " \t"); i >= 0 {
		return bytes.TrimSpace(via[i:])
	}
	return nil
}

// number is the number that value begins with, without leading zeros.
func number(value []byte) []byte {
	n := 0
	for n < len(value) && value[n] >= '0' && value[n] <= '9' {
		n++
	}
	for value = value[:n]; len(value) > 1 && value[0] == '0'; {
		value = value[1:]
	}
	return value
}

// cutLine splits off the first line, without its end.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest
}

// cutHeader splits off the first header with the lines that are folded into
// it (RFC 3261 section 7.3.1).
func cutHeader(b []byte) (header, rest []byte) {
	header, rest = cutLine(b)
	for len(header) > 0 && len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		_, after := cutLine(rest)
		header, rest = bytes.TrimRight(b[:len(b)-len(after)], "\r\n"), after
	}
	return header, rest
}

// afterAddress is what follows the URI of a From or To: its header
// parameters.
func afterAddress(value []byte) []byte {
	if value = bytes.TrimSpace(value); len(value) > 0 && value[0] == '"' {
		for i := 1; ; i++ {
			if i >= len(value) {
				return nil
			}
			if value[i] == '\\' {
				i++
			} else if value[i] == '"' {
				value = value[i+1:]
				break
			}
		}
		if bytes.IndexByte(value, '<') < 0 {
			return nil // a name needs the brackets
		}
	}
	if _, after, found := bytes.Cut(value, []byte{'<'}); found {
		_, after, _ = bytes.Cut(after, []byte{'>'})
		return after
	}
	return value
}

// param finds a parameter in a list that semicolons separate: of several of
// the name the last, as the parser does.
func param(list []byte, name string) (found []byte) {
	for len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, []byte{';'})
		key, value, ok := bytes.Cut(one, []byte{'='})
		if ok && asciiEqualFold(bytes.TrimSpace(key), name) && bytes.IndexByte(value, '=') < 0 {
			found = bytes.TrimSpace(value)
		}
	}
	return found
}

func asciiEqualFold(b []byte, s string) bool {
	return len(b) == len(s) && strings.EqualFold(string(b), s)
}

// statelessRefusal answers a request from its raw bytes, without parsing it
// and without keeping anything (RFC 3261 sections 8.2.7 and 16.11): Via,
// From, To, Call-ID and CSeq are echoed, To gets toTag if it has none. headers
// are further lines, each with its end.
func statelessRefusal[T, H string | []byte](out, request []byte, status string, toTag T, headers H) []byte {
	out = append(out, "SIP/2.0 "...)
	out = append(out, status...)
	out = append(out, "\r\n"...)
	_, rest := cutLine(request)
	for {
		var line []byte
		line, rest = cutHeader(rest)
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		keep, isTo := echoed(bytes.TrimSpace(name))
		if !keep {
			continue
		}
		out = appendHeader(out, line)
		if isTo && param(afterAddress(value), "tag") == nil {
			out = append(append(out, ";tag="...), toTag...)
		}
		out = append(out, "\r\n"...)
	}
	out = append(out, headers...)
	return append(out, "Content-Length: 0\r\n\r\n"...)
}

// appendHeader appends a header, its folds on lines of their own, without the
// last line's end.
func appendHeader(out, header []byte) []byte {
	for first := true; len(header) > 0; first = false {
		var line []byte
		if line, header = cutLine(header); !first {
			out = append(out, "\r\n"...)
		}
		out = append(out, line...)
	}
	return out
}

func echoed(name []byte) (keep, isTo bool) {
	for _, h := range [...]string{"via", "v", "from", "f", "call-id", "i", "cseq"} {
		if asciiEqualFold(name, h) {
			return true, false
		}
	}
	isTo = asciiEqualFold(name, "to") || asciiEqualFold(name, "t")
	return isTo, isTo
}
