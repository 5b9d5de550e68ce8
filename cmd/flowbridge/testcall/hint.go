package testcall

import (
	"fmt"
	"net/netip"
	"slices"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/local"
)

// Hint says why the Flowbridge of a configuration does not answer a call from a source to one of its addresses, and
// what to write. It returns "" if it does answer, or if the address is not one of its own. Addresses of other machines
// count as its own only if isIts is set.
func Hint(file string, cfg *config.Config, transport string, source netip.Addr, dest netip.AddrPort,
	isIts bool,
) string {
	if !listensAt(cfg, transport, dest) || !isIts && !local.Has(dest.Addr()) {
		return ""
	}
	for _, t := range cfg.Trunks {
		if len(t.Sources) == 0 || slices.ContainsFunc(t.Sources, func(s config.Source) bool { return s.Contains(source) }) {
			return "" // the answer says why
		}
	}
	what := fmt.Sprintf("%v is in no trunk's sources in %s, so Flowbridge does not answer it", source, file)
	if len(cfg.Trunks) == 0 {
		return fmt.Sprintf("%s; for a test add: trunks: [{name: test, sources: [%v]}], and a route", what, source)
	}
	return fmt.Sprintf("%s; for a test write in trunks[0] (%s): sources: [%s, %v], then: flowbridge reload",
		what, cfg.Trunks[0].Name, cli.Joined(cfg.Trunks[0].Sources), source)
}

// NoListener says that the Flowbridge of a configuration does not listen at an address that can't be reached, and what
// to do. It returns "" if it does listen there, or if the address is not one of its own. Addresses of other machines
// count as its own only if isIts is set.
func NoListener(file string, cfg *config.Config, transport string, dest netip.AddrPort, isIts bool) string {
	if listensAt(cfg, transport, dest) || !isIts && !local.Has(dest.Addr()) {
		return ""
	}
	missing := fmt.Sprintf("no %s at %v", transport, dest)
	if !slices.ContainsFunc(cfg.SIP.Listen, func(l config.Listener) bool { return l.Transport == transport }) {
		missing = "no " + transport
	} else if !isIts {
		return "" // the port may belong to another program
	}
	return fmt.Sprintf("if it is the Flowbridge of %s: its sip.listen has %s, but %s; call that, or add %s://%v there and restart Flowbridge",
		file, missing, cli.Joined(cfg.SIP.Listen), transport, dest)
}

// Refused says where a Flowbridge shows why it refuses a call. It returns "" if the status says it all. options are
// the arguments of explain for this call.
func Refused(status int, options string) string {
	switch status {
	case 404:
		return "if it is a Flowbridge, this shows whether a route matches: flowbridge explain " + options
	case 503:
		return "if it is a Flowbridge, flowbridge cdr list or the log (sip rejected) has the cause: a server that drains or is full keeps no record; this shows which targets the call has: flowbridge explain " + options
	}
	return ""
}

// listensAt reports whether a configuration receives SIP at an address.
func listensAt(cfg *config.Config, transport string, at netip.AddrPort) bool {
	return slices.ContainsFunc(cfg.SIP.Listen, func(l config.Listener) bool {
		a := l.AddrPort.Addr()
		return l.Transport == transport && l.AddrPort.Port() == at.Port() && (a == at.Addr() ||
			a.IsUnspecified() && a.Is4() == at.Addr().Is4())
	})
}
