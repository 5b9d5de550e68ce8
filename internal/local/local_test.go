package local

import (
	"net/netip"
	"testing"
)

// Loopback addresses and the interfaces' addresses belong to the machine, in every spelling. Other addresses do not.
func TestHas(t *testing.T) {
	all, err := Addresses()
	if err != nil {
		t.Fatal(err)
	}
	loopback := netip.MustParseAddr("127.3.2.1")
	for _, a := range append(all, loopback, netip.AddrFrom16(loopback.As16()), netip.IPv6Loopback()) {
		if !Has(a) {
			t.Errorf("%v is not found; the machine has %v", a, all)
		}
	}
	for _, text := range []string{"198.51.100.77", "2001:db8::77", "0.0.0.0"} {
		if Has(netip.MustParseAddr(text)) {
			t.Errorf("%s is found; the machine has %v", text, all)
		}
	}
}

// Addresses of networks that the internet can't reach are not public, also if a NAT64 or IPv6's notation leads to them.
func TestIsPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"198.51.100.7": true, "2001:db8::7": true, "::ffff:198.51.100.7": true, "64:ff9b::198.51.100.7": true,
		"127.0.0.1": false, "10.1.2.3": false, "192.168.1.7": false, "169.254.169.254": false, "100.64.0.7": false,
		"0.0.0.0": false, "::1": false, "::": false, "fd00::7": false, "fe80::7%eth0": false, "::ffff:127.0.0.1": false,
		"64:ff9b::127.0.0.1": false, "64:ff9b::10.1.2.3": false, "64:ff9b::100.64.0.7": false, "64:ff9b:1::198.51.100.7": false,
		"224.0.0.1": false, "ff02::1": false,
	} {
		if got := IsPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v; want %v", text, got, want)
		}
	}
}

func BenchmarkHas(b *testing.B) {
	stranger := netip.MustParseAddr("198.51.100.77")
	b.ReportAllocs()
	for b.Loop() {
		Has(stranger)
	}
}
