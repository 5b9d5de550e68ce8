package bridge

import (
	"fmt"
	"net/netip"
	"slices"

	"flowbridge/config"
)

// Names finds out which addresses of ours our peers know. *transport.Stack implements it.
type Names interface {
	// IsAdvertised reports whether a peer knows us by a public address.
	IsAdvertised(public string, peer netip.Addr) bool
	// SourceToward returns the address that packets to a peer come from.
	SourceToward(peer netip.Addr) (netip.Addr, error)
}

// Address returns the local address for a peer's media, and the address that SDP to the peer gives
// for it. wanted is the address in the peer's configuration, if any. Address ignores a wanted
// address of the other address family.
func (r *Resources) Address(peer, wanted netip.Addr) (bind, name netip.Addr, err error) {
	for _, l := range r.Config.Listen {
		if l.Addr.Is4() == peer.Is4() && (l.Addr == wanted || !wanted.IsValid() || wanted.Is4() != peer.Is4()) {
			name, err = r.nameOf(l.Addr, peer)
			return l.Addr, name, err
		}
	}
	return bind, name, fmt.Errorf("%w, of %v", errNoFamily, peer)
}

// nameOf returns the address that SDP to a peer gives for a local media address.
func (r *Resources) nameOf(bind, peer netip.Addr) (netip.Addr, error) {
	if bind.Is4() != peer.Is4() {
		return netip.Addr{}, fmt.Errorf("%w, of %v", errNoFamily, peer)
	}
	public := r.Config.Advertise
	at := slices.IndexFunc(r.Config.Listen, func(l config.MediaListener) bool { return l.Addr == bind })
	if at >= 0 && r.Config.Listen[at].Advertise.IsValid() {
		public = r.Config.Listen[at].Advertise.String()
	}
	if r.Names.IsAdvertised(public, peer) {
		return netip.ParseAddr(public)
	}
	if bind.IsUnspecified() {
		return r.Names.SourceToward(peer)
	}
	return bind, nil
}
