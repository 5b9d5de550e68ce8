package bridge

import (
	"errors"
	"net/netip"
	"testing"

	"flowbridge/config"
)

func TestNoMediaAddressOfTheFamily(t *testing.T) {
	r := &Resources{Config: &config.Media{Listen: []config.MediaListener{{Addr: netip.MustParseAddr("198.51.100.1")}}}}
	if _, _, err := r.Address(netip.MustParseAddr("2001:db8::1"), netip.Addr{}); !errors.Is(err, errNoFamily) {
		t.Errorf("got %v", err)
	}
}
