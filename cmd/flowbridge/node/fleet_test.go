package node

import (
	"net/netip"
	"slices"
	"testing"

	"flowbridge/config"
)

// Other nodes may name any address of a machine whose admin API listens on all.
func TestAPIAddresses(t *testing.T) {
	if all := apiAddresses(config.AdminAddress{AddrPort: netip.MustParseAddrPort("192.0.2.1:8080")}); all != nil {
		t.Errorf("of one address: %v", all)
	}
	if all := apiAddresses(config.AdminAddress{Socket: "/run/api.sock"}); all != nil {
		t.Errorf("of a socket: %v", all)
	}
	all := apiAddresses(config.AdminAddress{AddrPort: netip.MustParseAddrPort("0.0.0.0:8080")})
	if slices.ContainsFunc(all, func(a netip.AddrPort) bool { return a.Port() != 8080 || a.Addr().IsLoopback() }) {
		t.Errorf("of all addresses: %v", all)
	}
}
