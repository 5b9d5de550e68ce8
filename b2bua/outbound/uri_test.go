package outbound

import (
	"strings"
	"testing"
	"unicode"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// What a caller puts into a number must not decide where the call goes.
func TestRenderURI(t *testing.T) {
	template, err := config.ParseTemplate("sip:{{.To.Number}}@sip.example.com:5060")
	if err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]string{
		"+15075785607":                  "sip:+15075785607@sip.example.com:5060",
		"alice":                         "sip:alice@sip.example.com:5060",
		"a%20b":                         "sip:a%20b@sip.example.com:5060",
		"x%40evil.example":              "sip:x%40evil.example@sip.example.com:5060",
		"+1507;phone-context=+1;a=b":    "sip:+1507@sip.example.com:5060",
		"alice;transport=tcp":           "sip:alice;transport=tcp@sip.example.com:5060",
		"evil@attacker.example":         "",
		"":                              "", // sip:@host is no URI
		"//evil":                        "",
		"8@127.0.9.9:5090;x":            "", // of tel: URIs, whose rest may be anything
		"8@127.0.9.9:5090?x":            "",
		`1:x>;tag=evil;a="`:             "",
		"1:secret":                      "",
		"<x>":                           "",
		"a b":                           "",
		"x%4":                           "",
		"a@evil.example>;tag=1\r\nX: y": "",
	} {
		vars := config.Vars{To: config.Party{Number: message.NormaliseNumber(user, ""), User: user}}
		uri, err := RenderURI(&peers.Dial{URI: template}, vars)
		got := ""
		if err == nil {
			got = uri.String()
		}
		if got != want {
			t.Errorf("user part %q: %q, %v; want %q", user, got, err, want)
		}
	}
}

// FuzzRenderURI: whatever the number, the call goes to the target's host.
func FuzzRenderURI(f *testing.F) {
	for _, user := range []string{"+15075785607", "%2B1507", "0301234567;phone-context=+49", "a@b", "1:2", "\r\n", "sip:x", "%", ";", "//x", "[::1"} {
		f.Add(user)
	}
	template, err := config.ParseTemplate("sip:{{.To.Number}}@target.example:5060")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, user string) {
		number := message.NormaliseNumber(user, "1")
		uri, err := RenderURI(&peers.Dial{URI: template}, config.Vars{To: config.Party{Number: number}})
		if err == nil && (uri.Host != "target.example" || uri.Port != 5060 || strings.ContainsFunc(uri.String(), unicode.IsControl)) {
			t.Errorf("%q gives %q", number, uri.String())
		}
	})
}
