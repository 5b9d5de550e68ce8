package message

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"flowbridge/config/template"
)

// UserToUser returns the value of a User-to-User header (RFC 7433 section 4.1) that has a
// text as hex digits, behind the protocol discriminator of user specific data (RFC 7434
// section 7). A text that names its encoding is such a value already, and stays.
func UserToUser(text string) string {
	data, params, _ := CutUnquoted(text, ';')
	if encoding, ok := uuiParams(params); ok && encoding != "" {
		if _, ok := uuiText(Trim(data), encoding); ok {
			return text
		}
	}
	return "00" + hex.EncodeToString([]byte(text)) + ";encoding=hex"
}

// UserToUserTexts returns the texts of a User-to-User header's values. A value has hex
// digits, if its encoding says so, a token or a quoted-string. Where hex digits begin with
// the discriminator of user specific data or of characters, which begins no text, the text
// is behind it. It is not ok if one of them is not well-formed, or no text on one line.
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

// uuiParams reads the encoding among the parameters behind a value. Unknown parameters are allowed.
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

// tokenOrQuoted returns a token, or what a quoted-string says.
func tokenOrQuoted(v string) (text string, ok bool) {
	if !strings.HasPrefix(v, `"`) {
		return v, IsToken(v)
	}
	content, after, closed := CutQuoted(v)
	return Unquote(content), closed && after == ""
}
