package outbound

import (
	"encoding/json"
	"strings"
	"testing"

	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
)

// FuzzPlatformValues: whatever a platform's answer has, the INVITE goes to the host of the file, unless the file takes the host
// from the answer.
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
	if err != nil {
		f.Fatal(err)
	}
	dial := peers.DialOf(&cfg.Targets[0])
	f.Fuzz(func(t *testing.T, id, region string) {
		body, err := json.Marshal(map[string]string{"region": region})
		if err != nil {
			t.Fatal(err)
		}
		uri, err := renderURI(dial, template.Vars{Prepare: &template.PrepareVars{CallID: id, Body: body}})
		if err != nil {
			return
		}
		if uri.Host != "sip.example.com" || uri.Port != 5070 || len(uri.Headers) > 0 {
			t.Fatalf("%q and %q become %s", id, region, uri.String())
		}
		if strings.ContainsAny(uri.String(), "\r\n <>\"") {
			t.Fatalf("%q and %q become %s", id, region, uri.String())
		}
	})
}
