package message

import (
	"testing"

	"flowbridge/internal/siptest"
)

// The topmost Via of a stateless answer says where the request came from, as
// that of any other does.
func TestTopVia(t *testing.T) {
	for line, want := range map[string]string{
		"Via: SIP/2.0/UDP 192.0.2.10;branch=x":                        "Via: SIP/2.0/UDP 192.0.2.10;branch=x",
		"Via: SIP/2.0/UDP 192.0.2.10:9;rport;branch=x":                "Via: SIP/2.0/UDP 192.0.2.10:9;rport=5060;received=192.0.2.10;branch=x",
		"Via: SIP/2.0/UDP h ;branch=x , SIP/2.0/UDP two;rport":        "Via: SIP/2.0/UDP h ;branch=x;received=192.0.2.10 , SIP/2.0/UDP two;rport",
		"v : SIP / 2.0 / UDP h ; RPORT ;branch=x":                     "v : SIP / 2.0 / UDP h ; RPORT=5060;received=192.0.2.10 ;branch=x",
		"Via: SIP/2.0/UDP h;rport=7":                                  "Via: SIP/2.0/UDP h;rport=7;received=192.0.2.10",
		"Via: SIP/2.0/UDP h;x=\";rport;\";branch=x":                   "Via: SIP/2.0/UDP h;x=\";rport;\";branch=x;received=192.0.2.10",
		"Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK;reports":  "Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK;reports;received=192.0.2.10",
		"Via: SIP/2.0/UDP h;branch=x,SIP/2.0/UDP 192.0.2.10;branch=y": "Via: SIP/2.0/UDP h;branch=x;received=192.0.2.10,SIP/2.0/UDP 192.0.2.10;branch=y",
	} {
		if got := string(appendTopVia(nil, []byte(line), siptest.Carrier)); got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
	}
}
