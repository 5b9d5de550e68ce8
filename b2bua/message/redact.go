package message

import (
	"bytes"
	"strings"
)

// redacted replaces each secret byte.
const redacted = '*'

// Redact hides the secrets in a SIP message that is kept: credentials, SRTP keys, and,
// if keys is true, the keys that were pressed. Each byte is replaced by one, so that
// all lengths stay as they are.
func Redact(message []byte, keys bool) {
	msg, _ := Scan(message)
	_, rest := CutLine(message)
	for len(rest) > 0 {
		var line []byte
		if line, rest = cutHeader(rest); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		if namesCredentials(Trim(name)) {
			value = bytes.TrimLeft(value, " \t\r\n")
			blot(value[bytes.IndexAny(value, " \t\r\n")+1:]) // all but the scheme
		}
	}
	body := rest
	redactKeying(body)
	method := msg.Method
	if msg.Response {
		method = msg.cseqMethod
	}
	if keys && (bytes.EqualFold(method, []byte("INFO")) || bytes.Contains(bytes.ToLower(body), []byte("kpml-response"))) {
		redactKeys(body)
	}
}

func namesCredentials(name []byte) bool {
	return bytes.EqualFold(name, []byte("Authorization")) || bytes.EqualFold(name, []byte("Proxy-Authorization"))
}

// blot replaces everything but blanks and line ends.
func blot(b []byte) {
	for i, c := range b {
		if bytes.IndexByte([]byte(" \t\r\n"), c) < 0 {
			b[i] = redacted
		}
	}
}

// redactKeying hides the keys in session descriptions (RFC 4568, RFC 4567, RFC
// 8839, and k= of RFC 8866).
func redactKeying(body []byte) {
	for line := range bytes.Lines(body) {
		for _, secret := range [][]byte{[]byte("a=crypto:"), []byte("a=key-mgmt:"), []byte("a=ice-pwd:"), []byte("k=")} {
			if !bytes.HasPrefix(line, secret) {
				continue
			}
			value := line[len(secret):]
			if _, key, found := bytes.Cut(value, []byte("inline:")); found {
				value = key
			}
			blot(value)
		}
	}
}

// redactKeys hides the text behind = in each line, and whole lines without it.
func redactKeys(body []byte) {
	for line := range bytes.Lines(body) {
		value := line
		if _, after, found := bytes.Cut(line, []byte{'='}); found {
			value = after
		}
		blot(value)
	}
}

// WithoutKeys returns a SIP message without its SRTP keys, for packet captures. Unlike
// MaskKeys it keeps all lengths, so that Content-Length stays true (RFC 3261 section
// 20.14). A message with keys is copied, any other is returned as it is.
func WithoutKeys(message []byte) []byte {
	if AfterKeyMark(message) < 0 {
		return message
	}
	out := bytes.Clone(message)
	for rest := out; ; {
		from := AfterKeyMark(rest)
		if from < 0 {
			return out
		}
		after := rest[from:]
		end := bytes.IndexFunc(after, func(r rune) bool { return !isKeyText(r) })
		if end < 0 {
			end = len(after)
		}
		blot(after[:end])
		rest = after[end:]
	}
}

// keyMark stands before a key in a=crypto, in any case (RFC 5234 section 2.3).
var keyMark = []byte("inline:")

// AfterKeyMark returns where the first SRTP key in a text begins, -1 if there is none.
func AfterKeyMark(text []byte) int {
	for from := 0; ; {
		colon := bytes.IndexByte(text[from:], ':')
		if colon < 0 {
			return -1
		}
		from += colon + 1
		if begin := from - len(keyMark); begin >= 0 && bytes.EqualFold(text[begin:from], keyMark) {
			return from
		}
	}
}

// MaskKeys returns a text with each SRTP key replaced: "inline:***". A text without
// keys is returned as it is.
func MaskKeys(text []byte) []byte {
	key := AfterKeyMark(text)
	if key < 0 {
		return text
	}
	var out []byte
	for ; ; key = AfterKeyMark(text) {
		if key < 0 {
			return append(out, text...)
		}
		out = append(append(out, text[:key]...), "***"...)
		rest := text[key:]
		end := bytes.IndexFunc(rest, func(r rune) bool { return !isKeyText(r) })
		if end < 0 {
			return out
		}
		text = rest[end:]
	}
}

// isKeyText reports whether a character may be part of a key: base64 in either form.
func isKeyText(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+/=-_", r)
}
