package sdp

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"flowbridge/b2bua/message"
)

// A description is first condensed to a text with the lines that count, each with CRLF.
// All strings of a Description are parts of this text.

// condensed returns the lines of a description that count: v=0, then c=, b= and a= of the
// session, the m= line of each stream, and c=, b= and a= of audio streams (RFC 8866
// section 5). Attributes count if they are passed on or if Read needs them.
func condensed(body []byte) (string, error) {
	text := make([]byte, 0, 1024) // on the stack: most descriptions fit
	section := inSession
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		line, body = bytes.TrimRight(line, "\r"), rest
		if len(line) == 0 {
			continue
		}
		// The other side might read a lone CR or a NUL as a line end.
		if len(line) < 2 || line[1] != '=' || bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, 0) >= 0 {
			return "", malformed("line %.60q", string(line))
		}
		counts, wrong := false, false
		switch value := line[2:]; line[0] {
		case 'm':
			section = sectionOf(value)
			counts, wrong = true, !isMedia(value, section)
		case 'c':
			counts = section != inOther
		case 'b':
			counts = section != inOther && isBandwidth(value)
			wrong = counts && len(value)-bytes.IndexByte(value, ':') > 20
		case 'a':
			key, value := cutAttribute(value)
			counts = attributeCounts(key, value, section)
			if len(value) == 0 {
				line = line[:2+len(key)]
			}
		}
		if wrong {
			return "", malformed("line %.60q", string(line))
		}
		if len(text) == 0 {
			if line = bytes.TrimRight(line, " \t"); string(line) != "v=0" {
				return "", malformed("it does not begin with v=0, but with %.60q", string(line))
			}
			counts = true
		}
		if counts {
			text = append(append(text, line...), "\r\n"...)
		}
	}
	if len(text) == 0 {
		return "", fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	return string(text), nil
}

// sectionOf returns the kind of section that an m= line begins.
func sectionOf(media []byte) int {
	if bytes.HasPrefix(media, []byte("audio ")) || bytes.HasPrefix(media, []byte("audio\t")) {
		return inAudio
	}
	return inOther
}

// The sections of a description.
const (
	inSession = iota
	inAudio
	inOther
)

// malformed returns ErrMalformed with the beginning of the wrong text. It stops at a colon, because a key may follow.
func malformed(format, what string) error {
	what, _, _ = strings.Cut(what, ":")
	return fmt.Errorf("%w: "+format, ErrMalformed, what)
}

// isMedia reports whether the value of an m= line has only visible characters with blanks between them (RFC 8866
// section 9). Bytes above ASCII are allowed in a line that is always declined, and so only sent back unchanged.
func isMedia(value []byte, section int) bool {
	for _, c := range value {
		if isControl(c) || c > '~' && section == inAudio {
			return false
		}
	}
	return len(value) > 0 && !isBlank(value[0])
}

// isControl reports whether a byte is a control character. A tab counts as a blank.
func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// isBandwidth reports whether the value of a b= line has a known type and a number.
func isBandwidth(value []byte) bool {
	kind, number, _ := bytes.Cut(value, []byte(":"))
	switch string(kind) {
	case "CT", "AS", "TIAS", "RS", "RR":
		return message.AllDigits(number)
	}
	return false
}

// attributeCounts reports whether an attribute is kept, to be passed on or to be read.
func attributeCounts(key, value []byte, section int) bool {
	if section == inOther || slices.ContainsFunc(value, isControl) {
		return false
	}
	if isKeying(string(key)) {
		return true
	}
	if section == inAudio {
		switch string(key) {
		case "crypto", "rtcp", "rtcp-mux":
			return true
		case "rtpmap", "fmtp", "rtcp-fb":
			number, rest, _ := bytes.Cut(value, []byte(" "))
			_, ok := payloadType(number)
			rest = bytes.TrimSpace(rest)
			return (ok || string(number) == "*") && len(rest) > 0 && (string(key) != "rtpmap" || isMapping(rest)) &&
				string(rest) != "transport-cc"
		}
	}
	return passesOn(key) && !badPacketTime(key, value)
}

// isMapping reports whether a value of a=rtpmap is a codec, its clock and its channels (RFC 8866 section 6.6). Some
// peers leave out the clock.
func isMapping(value []byte) bool {
	name, rest, hasClock := bytes.Cut(value, []byte("/"))
	clock, channels, _ := bytes.Cut(rest, []byte("/"))
	hz, ok := message.Decimal(clock, math.MaxInt32)
	return message.IsToken(name) && (!hasClock || ok && hz > 0) && (len(channels) == 0 || message.IsToken(channels))
}

// passesOn reports whether an attribute is shown to the other side. Attributes of
// formats, timing and direction are. Others may name the other side's address, host or
// software, or a media transport that the relay does not support.
//
// Header extensions (a=extmap) are left out: an answer has only supported ones (RFC 8285 section 5), and the
// packets with our sounds, keys and held-back speech have none. A browser that was promised the name of the stream
// (sdes:mid) drops packets without it. Feedback by transport-cc is about numbers in an extension.
func passesOn(key []byte) bool {
	var lower [11]byte // the length of the longest
	if len(key) > len(lower) {
		return false
	}
	for i, c := range key {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	switch string(lower[:len(key)]) {
	case "rtpmap", "fmtp", "rtcp-fb", "ptime", "maxptime", "maxprate", "silencesupp", "ecan", "gpmd",
		"sendrecv", "sendonly", "recvonly", "inactive", "lang", "sdplang", "charset", "content", "label":
		return true
	}
	return false
}

// maxPacketTime is the longest packet that a description may ask for, in
// milliseconds. Receivers should accept up to this (RFC 3551 section 4.2).
const maxPacketTime = 200

// badPacketTime reports whether an attribute is a ptime or maxptime (RFC 8866 section
// 6.4) that is not from 1 to 200 milliseconds. Fractions are allowed. It is not passed
// on, because the other side might not cope with it.
func badPacketTime(key, value []byte) bool {
	if !message.EqualFold(key, "ptime") && !message.EqualFold(key, "maxptime") {
		return false
	}
	value = bytes.TrimSpace(value)
	if len(value) > 32 || len(bytes.Trim(value, "0123456789.")) > 0 { // a sign, an exponent, a word
		return true
	}
	ms, err := strconv.ParseFloat(string(value), 64)
	return err != nil || ms < 1 || ms > maxPacketTime
}

// cutAttribute splits an attribute, without its a=.
func cutAttribute[T string | []byte](attribute T) (key, value T) {
	for i := range len(attribute) {
		if attribute[i] == ':' && i > 0 {
			return attribute[:i], attribute[i+1:]
		}
	}
	return attribute, attribute[len(attribute):]
}

// cutLine splits the first line from a condensed text, where CR is only in CRLF.
func cutLine(text string) (line, rest string) {
	if i := strings.IndexByte(text, '\r'); i >= 0 {
		return text[:i], text[i+len("\r\n"):]
	}
	return text, ""
}

// cutSection splits the session's or a stream's lines from a condensed text.
func cutSection(text string) (section, rest string) {
	if i := strings.Index(text, "\r\nm="); i >= 0 {
		return text[:i+2], text[i+2:]
	}
	return text, ""
}

// connectionOf returns the value of a section's first c= line (RFC 8866 section 5.7).
func connectionOf(section string) (value string, ok bool) {
	for line := ""; section != ""; {
		if line, section = cutLine(section); line[0] == 'c' {
			return line[2:], true
		}
	}
	return "", false
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// cutField splits the first field, and the blanks after it, from a line.
func cutField(line string) (field, rest string) {
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		return line, ""
	}
	return line[:end], strings.TrimLeft(line[end:], " \t")
}
