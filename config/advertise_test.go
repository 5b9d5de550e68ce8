package config

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// The public address is found once for both keys, and stands in the place of auto. A named server is asked.
func TestFindAddress(t *testing.T) {
	for _, tt := range []struct{ sip, media, asked, got string }{
		{"auto", "auto", "[]", "203.0.113.9 203.0.113.9"},
		{"stun:stun.example.com:3478", "auto", "[stun.example.com:3478][]", "203.0.113.9 203.0.113.9"},
		{"sip.example.com", "auto", "[]", "sip.example.com 203.0.113.9"},
		{"", "203.0.113.5", "", " 203.0.113.5"},
	} {
		c := &Config{SIP: SIP{Advertise: tt.sip}, Media: Media{Advertise: tt.media}}
		var asked strings.Builder
		err := c.FindAddress(func(server string) (netip.Addr, error) {
			asked.WriteString("[" + server + "]")
			return netip.MustParseAddr("203.0.113.9"), nil
		})
		if got := c.SIP.Advertise + " " + c.Media.Advertise; err != nil || got != tt.got || asked.String() != tt.asked || c.FindsAddress() {
			t.Errorf("%s, %s: %q, asked %q, %v; want %q, %q", tt.sip, tt.media, got, asked.String(), err, tt.got, tt.asked)
		}
	}
	c := &Config{SIP: SIP{Advertise: "auto"}}
	want := errors.New("no service")
	if err := c.FindAddress(func(string) (netip.Addr, error) { return netip.Addr{}, want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

func TestAdvertiseIsWrong(t *testing.T) {
	for media, want := range map[string]string{
		`listen: ["fd00::5"], advertise: auto`:                    "of an address family that listen has no address of",
		`advertise: "stun:"`:                                      "names no STUN server",
		`advertise: "stun:example.com:port"`:                      "names no STUN server",
		`advertise: "auto "`:                                      "is not an IP address",
		`listen: ["10.0.0.5=auto"]`:                               "no advertised address of the same family",
		`listen: [10.0.0.5, 10.0.0.6], advertise: "stun:1.2.3.4"`: "would stand for more than one address of listen",
	} {
		_, err := Parse("f.yaml", []byte("media: {"+media+"}\n"), os.LookupEnv)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", media, err, want)
		}
	}
}
