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

func BenchmarkHas(b *testing.B) {
	stranger := netip.MustParseAddr("198.51.100.77")
	b.ReportAllocs()
	for b.Loop() {
		Has(stranger)
	}
}
