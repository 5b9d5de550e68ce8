package message

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"flowbridge/config/template"
)

func TestUserToUserTexts(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		want        []string
		ok          bool
	}{
		{"hex", "616263;encoding=hex", []string{"abc"}, true},
		{"in capitals", "4A4b;Encoding=HEX", []string{"JK"}, true},
		{"behind a discriminator", "04616263;encoding=hex", []string{"abc"}, true},
		{"behind that of user specific data", "00616263;encoding=hex", []string{"abc"}, true},
		{"a token", "account-17", []string{"account-17"}, true},
		{"a quoted-string", `"account, \"17\";x" ; purpose=p`, []string{`account, "17";x`}, true},
		{"several", `61;encoding=hex, "b;c", d`, []string{"a", "b;c", "d"}, true},
		{"UTF-8", "c3a4;encoding=hex", []string{"ä"}, true},
		{"nothing in quotes", `""`, nil, true},
		{"empty", "", nil, false},
		{"an odd digit", "616;encoding=hex", nil, false},
		{"no hex", "xy;encoding=hex", nil, false},
		{"no UTF-8", "ff;encoding=hex", nil, false},
		{"a line end", "610d0a62;encoding=hex", nil, false},
		{"a quote that does not end", `"abc`, nil, false},
		{"something behind the quote", `"abc"d`, nil, false},
		{"no token", "a b", nil, false},
		{"a parameter that is none", "61;encoding=hex;(=1", nil, false},
		{"an encoding that is none", "61;encoding=", nil, false},
		{"too long", strings.Repeat("61", MaxPassedValue+1) + ";encoding=hex", nil, false},
	} {
		got, ok := UserToUserTexts(tt.value)
		if ok != tt.ok || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

// A text that already names its encoding is used as the header's value. Text that only
// looks like that is encoded.
func TestUserToUser(t *testing.T) {
	for text, want := range map[string]string{
		"abc":                           "00616263;encoding=hex",
		"04616263;encoding=hex":         "04616263;encoding=hex",
		`"a b";encoding=text;purpose=x`: `"a b";encoding=text;purpose=x`,
		"ab;c":                          "0061623b63;encoding=hex",
		"xyz;encoding=hex":              "0078797a3b656e636f64696e673d686578;encoding=hex",
	} {
		if got := UserToUser(text); got != want {
			t.Errorf("%q becomes %q; want %q", text, got, want)
		}
	}
}

// FuzzUserToUser checks that any text read from a peer's header is on one line, and is the
// same after it is written and read again.
func FuzzUserToUser(f *testing.F) {
	f.Add(`04616263;encoding=hex;purpose=isdn-uui, "b;c"`)
	f.Add("000d0a;encoding=hex")
	f.Fuzz(func(t *testing.T, value string) {
		texts, ok := UserToUserTexts(value)
		if !ok && texts != nil {
			t.Errorf("%q gives %q, which is not sound", value, texts)
		}
		for _, text := range texts {
			if text == "" || len(text) > MaxPassedValue || !utf8.ValidString(text) || strings.ContainsFunc(text, template.IsControl) {
				t.Errorf("%q gives %q", value, text)
			}
			if UserToUser(text) == text { // the text is a header value already
				continue
			}
			back, ok := UserToUserTexts(UserToUser(text))
			if !ok || !slices.Equal(back, []string{text}) {
				t.Errorf("%q comes back as %q, %v", text, back, ok)
			}
		}
	})
}
