package b2bua

import (
	"testing"

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
		vars := config.Vars{To: config.Party{Number: normalise(user, ""), User: user}}
		uri, err := renderURI(&config.Target{URI: template}, vars)
		got := ""
		if err == nil {
			got = uri.String()
		}
		if got != want {
			t.Errorf("user part %q: %q, %v; want %q", user, got, err, want)
		}
	}
}
