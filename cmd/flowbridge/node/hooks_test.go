package node

import "net/netip"

// hookAt is where a hook is asked that listens at an address of the
// configuration.
func (n *Node) hookAt(listen netip.AddrPort) string { return n.hookServer.Addr(listen).String() }
