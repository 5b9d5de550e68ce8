package b2bua

import "bytes"

// redacted stands for each byte that is not shown.
const redacted = '*'

// redact hides what nobody may read in a SIP message that is kept: credentials,
// the keys of SRTP, and the keys that somebody pressed where keys is true. Each
// byte is replaced by one, so that all lengths stay as they are.
func redact(message []byte, keys bool) {
	msg, _ := scan(message)
	_, rest := cutLine(message)
	for len(rest) > 0 {
		var line []byte
		if line, rest = cutHeader(rest); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		if namesCredentials(trimmed(name)) {
			value = bytes.TrimLeft(value, " \t\r\n")
			blot(value[bytes.IndexAny(value, " \t\r\n")+1:]) // all but the scheme
		}
	}
	body := rest
	redactKeying(body)
	method := msg.method
	if msg.response {
		method = msg.cseqMethod
	}
	if keys && (bytes.EqualFold(method, []byte("INFO")) || bytes.Contains(bytes.ToLower(body), []byte("kpml-response"))) {
		redactKeys(body)
	}
}

func namesCredentials(name []byte) bool {
	return bytes.EqualFold(name, []byte("Authorization")) || bytes.EqualFold(name, []byte("Proxy-Authorization"))
}

// blot replaces everything but blanks and the ends of lines, which make the form.
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

// redactKeys hides what follows = in each line, and lines without.
func redactKeys(body []byte) {
	for line := range bytes.Lines(body) {
		value := line
		if _, after, found := bytes.Cut(line, []byte{'='}); found {
			value = after
		}
		blot(value)
	}
}

// withoutKeys gives a SIP message without the SRTP keys in it, for a Tap. Unlike
// MaskKeys it keeps all lengths, so that Content-Length stays true (RFC 3261
// §20.14). A message without keys is given back as it is, another one as a copy.
func withoutKeys(message []byte) []byte {
	if afterKeyMark(message) < 0 {
		return message
	}
	out := bytes.Clone(message)
	for rest := out; ; {
		from := afterKeyMark(rest)
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
