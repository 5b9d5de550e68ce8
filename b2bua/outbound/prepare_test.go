package outbound

import (
	"encoding/json"
	"strings"
	"testing"

	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
)

// If a parameter of the Request-URI has a value from the platform, that text can't become anything but the parameter's
// value.
func TestPlatformValueInParameter(t *testing.T) {
	cfg, err := config.Parse("t.yaml", []byte(`targets:
  - name: t
    kind: http
    uri: 'sip:{{.To.Number}};phone-context={{.Prepare.JSON "region"}}@{{.Prepare.JSON "host"}};region={{.Prepare.JSON "region"}};x=1'
    prepare: {url: "https://api.example.com/x", id: id, example: {id: a, region: eu, host: sip.example.com}}
  - name: whole
    kind: http
    uri: '{{.Prepare.JSON "host"}};x={{.Prepare.JSON "region"}}'
    prepare: {url: "https://api.example.com/x", id: id, example: {id: a, region: eu, host: "sip:a@sip.example.com"}}`), nil)
	must(t, err)
	for _, tt := range []struct{ host, region, want string }{
		{"h:5062", "eu", "sip:+1507;phone-context=eu@h:5062;region=eu;x=1"},
		{"h", "x;maddr=192.0.2.66", "sip:+1507;phone-context=x%3Bmaddr%3D192.0.2.66@h;region=x%3Bmaddr%3D192.0.2.66;x=1"},
		{"h", "a?b@c=d%3B%", "sip:+1507;phone-context=a%3Fb%40c%3Dd%3B%25@h;region=a%3Fb%40c%3Dd%3B%25;x=1"},
		{"sip:a@h", "[::1]:5/x&y+$", "sip:a@h;x=[::1]:5/x&y+$"},
		{"h", "a\r\nX: y", ""},
		{"sip:b@h;user=phone?Subject=x", "r", "sip:b@h;user=phone"},
		{"sip:b@h;lr?Subject=x", "r", "sip:b@h;lr"},
		{"sip:b@h:5061;method=BYE", "é;", "sip:b@h:5061;x=%C3%A9%3B"},
	} {
		body, _ := json.Marshal(map[string]string{"region": tt.region, "host": tt.host})
		dial := peers.DialOf(&cfg.Targets[0])
		if strings.HasPrefix(tt.host, "sip:") {
			dial = peers.DialOf(&cfg.Targets[1])
		}
		uri, err := renderURI(dial, template.Vars{To: template.Party{Number: "+1507"}, Prepare: &template.PrepareVars{Body: body}})
		if got := uri.String(); err == nil && got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%q at %q: %s, %v; want %s", tt.region, tt.host, got, err, tt.want)
		}
	}
}

// FuzzPlatformValues checks that for any answer of a platform, the INVITE goes to the configured host, unless the
// configuration takes the host from the answer.
func FuzzPlatformValues(f *testing.F) {
	for _, v := range []string{
		"c-1", "x@evil.example", "evil.example:5060", "a?Route=%3Csip:evil.example%3E", "a>b", `a"b`, "a b", "a%0d%0aX: y", "é", "a/b", "", "@", "a:b@c",
		"eu;maddr=192.0.2.66", "eu;transport=tls", "[::1]", "a\\", "a,b", "sip:x@evil.example",
	} {
		f.Add(v, v)
	}
	cfg, err := config.Parse("t.yaml", []byte(`targets:
  - name: t
    kind: http
    uri: 'sip:{{.Prepare.CallID}}@sip.example.com:5070;region={{.Prepare.JSON "region"}}'
    prepare: {url: "https://api.example.com/x", id: id, example: {id: a, region: eu}}`), nil)
	must(f, err)
	dial := peers.DialOf(&cfg.Targets[0])
	f.Fuzz(func(t *testing.T, id, region string) {
		body, err := json.Marshal(map[string]string{"region": region})
		must(t, err)
		uri, err := renderURI(dial, template.Vars{Prepare: &template.PrepareVars{CallID: id, Body: body}})
		if err != nil {
			return
		}
		if uri.Host != "sip.example.com" || uri.Port != 5070 || len(uri.Headers) > 0 || len(uri.UriParams) != 1 {
			t.Fatalf("%q and %q become %s", id, region, uri.String())
		}
		if strings.ContainsAny(uri.String(), "\r\n <>\"") {
			t.Fatalf("%q and %q become %s", id, region, uri.String())
		}
	})
}
