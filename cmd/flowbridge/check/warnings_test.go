package check

import (
	"strings"
	"testing"

	"flowbridge/config"
)

func TestCheckWarnsOfReadableKeys(t *testing.T) {
	on := config.PeerMedia{SRTP: config.SRTPOptional}
	off := config.PeerMedia{SRTP: config.SRTPOff}
	udp, tls := config.Listener{Transport: config.TransportUDP}, config.Listener{Transport: config.TransportTLS}
	for name, c := range map[string]struct {
		cfg  config.Config
		want string // of whom is warned
	}{
		"off":             {config.Config{Trunks: []config.Trunk{{Media: off}}, Targets: []config.Target{{Media: off, Transport: "udp"}}}, ""},
		"target over udp": {config.Config{Targets: []config.Target{{Name: "t", Media: on, Transport: config.TransportUDP}}}, "target t"},
		"target over tcp": {config.Config{Targets: []config.Target{{Name: "t", Media: on, Transport: config.TransportTCP}}}, "target t"},
		"target over tls": {config.Config{Targets: []config.Target{{Name: "t", Media: on, Transport: config.TransportTLS}}}, ""},
		"no tls listener": {config.Config{SIP: config.SIP{Listen: []config.Listener{udp}}, Trunks: []config.Trunk{{Name: "c", Media: on}}}, "trunk c"},
		"a tls listener":  {config.Config{SIP: config.SIP{Listen: []config.Listener{udp, tls}}, Trunks: []config.Trunk{{Name: "c", Media: on}}}, ""},
		"trunk over udp": {config.Config{
			SIP: config.SIP{Listen: []config.Listener{tls}}, Trunks: []config.Trunk{{Name: "c", Media: on, URI: &config.Template{}, Transport: config.TransportUDP}},
		}, "trunk c"},
	} {
		got := readableKeys(&c.cfg)
		if len(got) != min(1, len(c.want)) || (c.want != "" && !strings.HasPrefix(got[0].Problem, c.want+" has media.srtp")) {
			t.Errorf("%s: got %+v; want %q", name, got, c.want)
		}
	}
}
