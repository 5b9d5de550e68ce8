package config

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/config/template"
)

// Who may place calls, to whom, and what passes on the way.
func TestCalls(t *testing.T) {
	c := parseFile(t, "testdata/good/calls.yaml")
	pbx, carrier := c.Trunks[0], c.Trunks[1]
	if got, err := pbx.URI.Render(template.SampleVars(false)); got != "sip:+15550100002@pbx.example.com;user=phone" || err != nil {
		t.Errorf("uri: got %q, %v", got, err)
	}
	if pbx.Transport != TransportTCP || pbx.DialAuth.Username != "flowbridge" || pbx.DialAuth.Password.Reveal() != "pw-456" || pbx.Auth != nil {
		t.Errorf("pbx: got %+v", pbx)
	}
	if pbx.FirstResponseTimeout != 2*time.Second || pbx.RingTimeout != 30*time.Second || pbx.Rel100 != Rel100Required ||
		pbx.SessionExpires != 30*time.Minute {
		t.Errorf("pbx: got %+v", pbx)
	}
	if carrier.URI != nil || carrier.Transport != TransportUDP || carrier.DialAuth != nil || carrier.FirstResponseTimeout != 4*time.Second ||
		carrier.RingTimeout != time.Minute || carrier.Rel100 != Rel100Supported || carrier.SessionExpires != 0 {
		t.Errorf("carrier: got %+v", carrier)
	}
	one, two, three := c.Targets[0], c.Targets[1], c.Targets[2]
	if one.CallAuth.Username != "one" || one.Auth != nil || fmt.Sprint(one.Sources) != "[198.51.100.0/24]" || !one.MayCall() ||
		one.Reinvite != reinviteRelay || one.Rel100 != Rel100Supported || one.SessionExpires != 10*time.Minute || one.DTMF != DTMFRFC4733 ||
		one.Transfer != TransferLocal || fmt.Sprint(one.TransferNumbers) != `[^\+1507 ^\+1508]` {
		t.Errorf("one: got %+v", one)
	}
	if three.MayCall() || three.Reinvite != ReinviteAuto || three.Rel100 != Rel100Off || three.DTMF != DTMFRelay ||
		two.Transfer != TransferRefuse {
		t.Errorf("three: got %+v", three)
	}
	for _, list := range []struct{ got, want []string }{
		{pbx.Codecs, []string{"PCMA"}},
		{carrier.Codecs, []string{"PCMU", "PCMA"}},
		{one.TransferHosts, []string{"pbx.example.com", "2001:db8::1"}},
		{c.Routes[0].Trunks, []string{"pbx"}},
		{c.Routes[0].Targets, nil},
	} {
		if diff := cmp.Diff(list.want, list.got); diff != "" {
			t.Errorf("want - got +\n%s", diff)
		}
	}
	if diff := cmp.Diff(PassNamed("X-*", "Reason"), pbx.PassHeaders); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	if c.Routes[0].Target != "one" || c.Routes[3].Target != "" || c.Routes[2].Trunk != "carrier" {
		t.Errorf("routes: got %+v", c.Routes)
	}
}

// A trunk that is called over udp needs an address to call from; one that only
// calls does not.
func TestCallableTrunk(t *testing.T) {
	const file = "sip: {listen: [\"tcp://127.0.0.1:0\"]}\ntrunks:\n  - {name: a, sources: [192.0.2.1]%s}\n"
	for uri, want := range map[string]string{
		"": "",
		", uri: \"sip:{{.To.Number}}@b.example\", transport: tcp": "",
		", uri: \"sip:{{.To.Number}}@b.example\"": "f.yaml:3: trunks[0]: is called over udp, which sip.listen has no address for; " +
			"write transport: tcp, or add udp://0.0.0.0:5060 to sip.listen",
	} {
		_, err := Parse("f.yaml", fmt.Appendf(nil, file, uri), testEnv)
		if got := fmt.Sprint(err); got != want && (want != "" || err != nil) {
			t.Errorf("%q: got %v; want %s", uri, err, want)
		}
	}
}
