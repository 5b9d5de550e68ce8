package config

import (
	"slices"
	"testing"
)

// TestBrowserTrunk: it asks for this process's proof, its media is SRTP by DTLS, and its routes ring by themselves
// unless they say otherwise.
func TestBrowserTrunk(t *testing.T) {
	cfg, err := Parse("x.yaml", []byte(`
trunks: [{name: talk, browser: true}, {name: carrier, sources: [192.0.2.1]}]
targets: [{name: agent, kind: sip, uri: "sip:x@192.0.2.2"}]
routes:
  - {trunk: talk, to: "^1$", targets: [agent]}
  - {trunk: talk, to: "^2$", targets: [agent], ringing: on-target}
  - {trunk: carrier, targets: [agent]}
`), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	b := cfg.BrowserTrunk()
	if b == nil || b.Name != "talk" || len(b.Certificates) != 1 || len(b.Certificates[0]) < 26 ||
		b.Media.SRTP != SRTPRequired || b.Media.Keying != KeyingDTLS {
		t.Errorf("the trunk is %+v", b)
	}
	for i, want := range []string{RingingSessionProgress, RingingOnTarget, RingingImmediate} {
		if got := cfg.Routes[i].Ringing; got != want {
			t.Errorf("route %d: ringing %s; want %s", i, got, want)
		}
	}
	of := *cfg
	if of.RequireBrowserProof("of this process"); !slices.Equal(of.BrowserTrunk().Certificates, []string{"of this process"}) ||
		slices.Equal(b.Certificates, of.BrowserTrunk().Certificates) {
		t.Errorf("proven by %v, and %v", of.BrowserTrunk().Certificates, b.Certificates)
	}
}
