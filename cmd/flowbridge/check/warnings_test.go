package check

import (
	"strings"
	"testing"
)

func TestCheckWarnsOfReadableKeys(t *testing.T) {
	const sip = `sip: {listen: ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060"]}` + "\n"
	target := func(more string) string {
		return sip + `targets: [{name: t, kind: sip, uri: "sip:a@127.0.0.1", ` + more + `}]`
	}
	trunk := func(more string) string { return sip + `trunks: [{name: c, sources: [192.0.2.1], ` + more + `}]` }
	for name, c := range map[string]struct{ text, want string }{ // of whom is warned
		"off":             {target("media: {srtp: off}") + trunk("media: {srtp: off}")[len(sip)-1:], ""},
		"target over udp": {target("media: {srtp: optional}"), "target t"},
		"target over tcp": {target("transport: tcp, media: {srtp: optional}"), "target t"},
		"target over any": {target("transport: auto, media: {srtp: required}"), "target t"},
		"trunk over any":  {trunk(`uri: "sip:a@pbx.test", transport: auto, media: {srtp: optional}`), "trunk c"},
		"target over tls": {target("transport: tls, media: {srtp: optional}"), ""},
		"no tls listener": {trunk("media: {srtp: optional}"), "trunk c"},
		"trunk over udp":  {trunk(`uri: "sip:a@192.0.2.1", media: {srtp: optional}`), "trunk c"},
	} {
		got := readableKeys(parsed(t, c.text))
		if len(got) != min(1, len(c.want)) || (c.want != "" && !strings.HasPrefix(got[0].Problem, c.want+" has media.srtp")) {
			t.Errorf("%s: got %+v; want %q", name, got, c.want)
		}
	}
	cfg := parsed(t, trunk("media: {srtp: optional}"))
	cfg.SIP.Listen[1].Transport = "tls" // which a whole configuration has a certificate for
	if got := readableKeys(cfg); len(got) != 0 {
		t.Errorf("a tls listener: got %+v", got)
	}
	cfg = parsed(t, trunk(`uri: "sip:a@192.0.2.1", media: {srtp: optional}`))
	cfg.SIP.Listen[1].Transport = "tls"
	if got := readableKeys(cfg); len(got) != 1 {
		t.Errorf("a trunk over udp beside a tls listener: got %+v", got)
	}
}
