package message

import (
	"bytes"
	"strings"
)

// redacted replaces each secret byte.
const redacted = '*'

// Redact hides the secrets in a SIP message that is stored: credentials, headers like X-API-Key, SRTP keys, and, if
// keys is true, the keys that were pressed. It replaces byte by byte, so that all lengths stay the same, and
// Content-Length stays correct. It allocates only if there is something to hide.
func Redact(message []byte, keys bool) {
	_, rest := CutLine(message)
	for len(rest) > 0 {
		var line []byte
		if !beginsCredentials(rest[0]) { // the usual case
			if line, rest = CutLine(rest); len(line) == 0 {
				break
			}
			continue
		}
		line, rest = cutHeader(rest)
		name, value, _ := bytes.Cut(line, []byte{':'})
		switch name = Trim(name); {
		case namesCredentials(name):
			value = bytes.TrimLeft(value, " \t\r\n")
			mask(value[bytes.IndexAny(value, " \t\r\n")+1:]) // all but the scheme
		case namesSecret(name):
			mask(value)
		}
	}
	body := rest
	if len(body) == 0 {
		return
	}
	redactKeying(body)
	hideInline(body)
	if !keys {
		return
	}
	msg, _ := Scan(message)
	method := msg.Method
	if msg.Response {
		method = msg.cseqMethod
	}
	if bytes.EqualFold(method, []byte("INFO")) || bytes.Contains(bytes.ToLower(body), []byte("kpml-response")) {
		redactKeys(body)
	}
}

// beginsCredentials reports whether a header that begins with c may be one of
// namesCredentials or namesSecret.
func beginsCredentials(c byte) bool {
	return c|0x20 == 'a' || c|0x20 == 'p' || c|0x20 == 'x' || c == ' ' || c == '\t'
}

func namesCredentials(name []byte) bool {
	return bytes.EqualFold(name, []byte("Authorization")) || bytes.EqualFold(name, []byte("Proxy-Authorization"))
}

// secretWords are parts of the names of non-standard headers with secrets, like those
// that a target's configuration adds.
var secretWords = [...]string{
	"api-key", "api_key", "apikey", "token", "secret", "passw", "authorization", "credential",
	"signature",
} //nolint:gochecknoglobals // a table

// namesSecret reports whether a non-standard header has a name that suggests a secret, like X-API-Key.
func namesSecret(name []byte) bool {
	var room [64]byte
	lower := room[:copy(room[:], name)]
	if len(lower) < 2 || lower[0]|0x20 != 'x' || lower[1] != '-' {
		return false
	}
	for i, c := range lower {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c | 0x20
		}
	}
	for _, word := range secretWords {
		if bytes.Contains(lower, []byte(word)) {
			return true
		}
	}
	return false
}

// mask replaces every byte except blanks and line ends.
func mask(b []byte) {
	for i, c := range b {
		if bytes.IndexByte([]byte(" \t\r\n"), c) < 0 {
			b[i] = redacted
		}
	}
}

// redactKeying hides the keys in session descriptions (RFC 4568, RFC 4567, RFC
// 8839, and k= of RFC 8866).
func redactKeying(body []byte) {
	for rest := body; len(rest) > 0; {
		var line []byte
		if i := bytes.IndexByte(rest, '\n') + 1; i > 0 {
			line, rest = rest[:i], rest[i:]
		} else {
			line, rest = rest, nil
		}
		if len(line) < 2 || line[1] != '=' || line[0] != 'a' && line[0] != 'k' {
			continue
		}
		for _, secret := range [...]string{"a=crypto:", "a=key-mgmt:", "a=ice-pwd:", "k="} {
			if len(line) < len(secret) || string(line[:len(secret)]) != secret {
				continue
			}
			value := line[len(secret):]
			if _, key, found := bytes.Cut(value, []byte("inline:")); found {
				value = key
			}
			mask(value)
		}
	}
}

// redactKeys hides the text after = in each line, and all of a line without =.
func redactKeys(body []byte) {
	for line := range bytes.Lines(body) {
		value := line
		if _, after, found := bytes.Cut(line, []byte{'='}); found {
			value = after
		}
		mask(value)
	}
}

// hideInline hides SRTP keys wherever they are.
func hideInline(text []byte) {
	for from := afterKeyMark(text); from >= 0; from = afterKeyMark(text) {
		text = text[from:]
		end := bytes.IndexFunc(text, func(r rune) bool { return !isKeyText(r) })
		if end < 0 {
			end = len(text)
		}
		mask(text[:end])
		text = text[end:]
	}
}

// keyMark stands before a key in a=crypto, in any case (RFC 5234 section 2.3).
var keyMark = []byte("inline:")

// afterKeyMark returns the index at which the first SRTP key in a text begins, or -1 if there is none.
func afterKeyMark(text []byte) int {
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

// MaskKeys returns a text with each SRTP key replaced: "inline:***". It returns a text
// without keys unchanged.
func MaskKeys(text []byte) []byte {
	key := afterKeyMark(text)
	if key < 0 {
		return text
	}
	var out []byte
	for ; ; key = afterKeyMark(text) {
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
