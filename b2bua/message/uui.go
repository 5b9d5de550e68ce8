package message

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"flowbridge/config/template"
)

// UserToUser returns the value of a User-to-User header (RFC 7433 section 4.1) with a
// text as hex digits after the protocol discriminator for user-specific data (RFC 7434
// section 7). A text that names its encoding is already such a value, and is returned
// unchanged.
func UserToUser(text string) string {
	data, params, _ := CutUnquoted(text, ';')
	if encoding, ok := uuiParams(params); ok && encoding != "" {
		if _, ok := uuiText(Trim(data), encoding); ok {
			return text
		}
	}
	return "00" + hex.EncodeToString([]byte(text)) + ";encoding=hex"
}

// UserToUserTexts returns the texts of a User-to-User header's values. A value consists
// of hex digits, if its encoding says so, or of a token or a quoted-string. If hex digits
// begin with the discriminator for user-specific data or for characters, which no text
// begins with, the text follows it. ok is false if a value is malformed or is not text on
// one line.
func UserToUserTexts(value string) (texts []string, ok bool) {
	for one, rest, more := "", value, true; more; {
		one, rest, more = CutUnquoted(rest, ',')
		data, params, _ := CutUnquoted(one, ';')
		encoding, sound := uuiParams(params)
		if !sound {
			return nil, false
		}
		text, sound := uuiText(Trim(data), encoding)
		if !sound {
			return nil, false
		}
		if text != "" {
			texts = append(texts, text)
		}
	}
	return texts, true
}

// uuiParams reads the encoding in the parameters after a value. Unknown parameters are allowed.
func uuiParams(params string) (encoding string, ok bool) {
	for ok = true; params != ""; {
		var key, v string
		key, v, params = CutParam(params)
		if key != "" && !IsToken(key) {
			return "", false
		}
		if strings.EqualFold(key, "encoding") {
			encoding, ok = tokenOrQuoted(v)
		}
		if !ok {
			return "", false
		}
	}
	return encoding, ok
}

func uuiText(data, encoding string) (text string, ok bool) {
	text, ok = tokenOrQuoted(data)
	if ok && strings.EqualFold(encoding, "hex") {
		b, err := hex.DecodeString(text)
		if len(b) > 0 && (b[0] == 0 || b[0] == 4) {
			b = b[1:]
		}
		text, ok = string(b), err == nil
	}
	return text, ok && len(text) <= MaxPassedValue && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, template.IsControl)
}

// tokenOrQuoted returns a token, or the content of a quoted-string.
func tokenOrQuoted(v string) (text string, ok bool) {
	if !strings.HasPrefix(v, `"`) {
		return v, IsToken(v)
	}
	content, after, closed := CutQuoted(v)
	return Unquote(content), closed && after == ""
}
