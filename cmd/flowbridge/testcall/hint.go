package testcall

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"flowbridge/config"
)

// Hint says why the Flowbridge of a configuration does not answer a call from a source to one of its addresses, and what to
// write; "" if it does, or if the address is none of it. Unless isIts, an address of another machine is none of it.
func Hint(file string, cfg *config.Config, transport string, source netip.Addr, dest netip.AddrPort, isIts bool) string {
	if !listensAt(cfg, transport, dest) || !isIts && !ofThisMachine(dest.Addr()) {
		return ""
	}
	for _, t := range cfg.Trunks {
		if len(t.Sources) == 0 || slices.ContainsFunc(t.Sources, func(p netip.Prefix) bool { return p.Contains(source) }) {
			return "" // its answer says the rest
		}
	}
	what := fmt.Sprintf("%v is in no trunk's sources in %s, so Flowbridge does not answer it", source, file)
	if len(cfg.Trunks) == 0 {
		return fmt.Sprintf("%s; for a test add: trunks: [{name: test, sources: [%v]}], and a route", what, source)
	}
	var sources []string
	for _, p := range cfg.Trunks[0].Sources {
		sources = append(sources, p.String())
	}
	return fmt.Sprintf("%s; for a test write in trunks[0] (%s): sources: [%s], then: flowbridge reload",
		what, cfg.Trunks[0].Name, strings.Join(append(sources, source.String()), ", "))
}

// listensAt says whether a configuration receives SIP at an address.
func listensAt(cfg *config.Config, transport string, at netip.AddrPort) bool {
	return slices.ContainsFunc(cfg.SIP.Listen, func(l config.Listener) bool {
		a := l.AddrPort.Addr()
		return l.Transport == transport && l.AddrPort.Port() == at.Port() && (a == at.Addr() || a.IsUnspecified() && a.Is4() == at.Addr().Is4())
	})
}

func ofThisMachine(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(i net.Addr) bool {
		p, err := netip.ParsePrefix(i.String())
		return err == nil && p.Addr().Unmap() == a
	})
}
