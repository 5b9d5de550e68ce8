package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSRTP(t *testing.T) {
	c, err := Parse("x.yaml", []byte(`
trunks:
  - {name: a, sources: [192.0.2.1]}
  - {name: b, sources: [192.0.2.2], media: {srtp: optional, srtp_suites: [AES_CM_128_HMAC_SHA1_32, AEAD_AES_128_GCM]}}
targets:
  - {name: t, kind: sip, uri: "sip:a@b.example", media: {srtp: required, srtp_suites: []}}
routes:
  - {targets: [t]}
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		got    PeerMedia
		mode   SRTPMode
		suites []string
	}{
		{c.Trunks[0].Media, SRTPOff, nil},
		{c.Trunks[1].Media, SRTPOptional, []string{"AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM"}},
		{c.Targets[0].Media, SRTPRequired, nil},
	} {
		if diff := cmp.Diff(p.suites, p.got.SRTPSuites); diff != "" || p.got.SRTP != p.mode {
			t.Errorf("%s; want %s\n%s", p.got.SRTP, p.mode, diff)
		}
	}
}
