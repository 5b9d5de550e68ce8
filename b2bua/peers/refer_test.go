package peers

import (
	"testing"

	"flowbridge/b2bua/message"
)

// A list of hosts bounds the whole destination: an agent chooses neither another host nor another port.
func TestMayRefer(t *testing.T) {
	hosts := []string{"pbx.example.com", "127.0.0.9", "door.example.com:5070", "[2001:db8::7]:5080"}
	for uri, want := range map[string]bool{
		"sip:x@pbx.example.com":               true,
		"sip:x@PBX.example.com.:5060":         true,
		"sip:x@pbx.example.com:5061":          true,
		"sip:x@127.0.0.9:6379;transport=tcp":  false,
		"sip:x@127.0.0.9;transport=tcp":       true,
		"sip:x@door.example.com:5070":         true,
		"sip:x@door.example.com":              false,
		"sip:x@door.example.com:5060":         false,
		"sip:x@[2001:db8::7]:5080":            true,
		"sip:x@[2001:db8::7]":                 false,
		"sip:x@evil.example.com":              false,
		"tel:+15075550100;phone-context=pbx.": false,
	} {
		r, err := message.ParseReferTo("<" + uri + ">")
		if err != nil {
			t.Fatalf("%s: %v", uri, err)
		}
		if got := MayRefer(hosts, r); got != want {
			t.Errorf("%s: %v; want %v", uri, got, want)
		}
	}
}
