package check

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"flowbridge/config"
	"flowbridge/internal/local"
	"flowbridge/internal/publicaddr"
)

// listeners reports addresses that this machine lacks. They stop the start, except those of a seat, for which a node
// waits.
func (m machine) listeners(cfg *config.Config) (found, waits []warning) {
	own, err := m.addresses()
	if err != nil {
		return nil, nil
	}
	seat := cfg.Fleet.Takeover.Seat
	try := func(key string, a netip.Addr) {
		a = a.Unmap().WithZone("")
		if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || slices.Contains(own, a) {
			return
		}
		if later, err := m.setting(map[bool]string{
			true:  "net.ipv4",
			false: "net.ipv6",
		}[a.Is4()] + ".ip_nonlocal_bind"); err == nil && later == "1" {
			return // an address can be bound before this machine has it
		}
		if seat != "" && slices.Contains(cfg.Addresses(), a) {
			waits = []warning{{
				fmt.Sprintf("%s: this machine does not have the address %v, so the node stands by for the seat %s", key, a, seat),
				"nothing, if another machine has the address: the node serves when it comes here",
			}}
			return
		}
		found = append(found, warning{
			fmt.Sprintf("%s: this machine has no address %v, so the start fails", key, a),
			"write one that it has (" + listed(own) + "), or " + everywhere(a) +
				"; a public address that a router translates belongs in advertise",
		})
	}
	for _, l := range cfg.SIP.Listen {
		try("sip.listen", l.AddrPort.Addr())
	}
	for _, l := range cfg.Media.Listen {
		try("media.listen", l.Addr)
	}
	try("admin.listen", cfg.Admin.Listen.Addr())
	try("hooks.listen", cfg.Hooks.Listen.Addr())
	return found, waits
}

// publicAddress returns the address for advertise: auto, and its source, or "" if no setting asks for it.
func (m machine) publicAddress(cfg *config.Config) (found string, err error) {
	if m.elsewhere {
		return "", nil
	}
	err = cfg.FindAddress(func(server string) (netip.Addr, error) {
		ctx, cancel := context.WithTimeout(context.Background(), publicaddr.Patience)
		defer cancel()
		addr, from, err := publicaddr.Find(ctx, server)
		found = fmt.Sprintf("%v, from %s", addr, from)
		return addr, err
	})
	if err != nil {
		return "", err
	}
	return found, nil
}

// outside returns a target that is called at a public address, or by a name that may have one.
func outside(cfg *config.Config) (name, host string) {
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		_, host, _, err := sampleURI(t)
		if a, wrong := netip.ParseAddr(host); err == nil && (wrong == nil && local.IsPublic(a) ||
			wrong != nil && !insideName.MatchString(host)) {
			return t.Name, host
		}
	}
	return "", ""
}

// onLoopback reports whether all SIP addresses are unreachable for other machines.
func onLoopback(cfg *config.Config) bool {
	return !slices.ContainsFunc(cfg.SIP.Listen, func(l config.Listener) bool { return !l.AddrPort.Addr().IsLoopback() })
}

// inner warns that packets sent from loopback do not leave the machine.
func inner(cfg *config.Config) []warning {
	name, host := outside(cfg)
	if name == "" {
		return nil
	}
	var keys []string
	if onLoopback(cfg) {
		keys = append(keys, "sip.listen")
	}
	if m := cfg.Media.Listen; len(m) > 0 &&
		!slices.ContainsFunc(m, func(l config.MediaListener) bool { return !l.Addr.IsLoopback() }) {
		keys = append(keys, "media.listen")
	}
	if keys == nil {
		return nil
	}
	return []warning{{
		fmt.Sprintf("%s: loopback reaches this machine only, and target %s is called at %s",
			strings.Join(keys, ", "), name, host),
		"write an address of this machine that reaches it, or 0.0.0.0",
	}}
}

// private warns if Flowbridge, behind a NAT, tells peers outside an address that they can't reach.
func (m machine) private(cfg *config.Config) []warning {
	own, err := m.addresses()
	inside := slices.IndexFunc(own, func(a netip.Addr) bool { return a.Is4() && a.IsGlobalUnicast() })
	if err != nil || cfg.SIP.Advertise != "" || inside < 0 || slices.ContainsFunc(own, local.IsPublic) {
		return nil
	}
	name, host := outside(cfg)
	if name == "" || onLoopback(cfg) {
		return nil
	}
	return []warning{{
		fmt.Sprintf("sip.advertise: this machine has private addresses only (%s), and target %s is called at %s: "+
			"from outside it can reach none of them", listed(own), name, host),
		fmt.Sprintf("write the public address, or auto, in sip.advertise and in media.advertise; if %s is in this network, write %v there", host, own[inside]),
	}}
}

// insideName matches names of private networks (RFC 6761, RFC 6762, RFC 8375), and names without a domain.
var insideName = regexp.MustCompile(
	`(?i)^[^.]+$|\.(local|localdomain|localhost|lan|internal|intranet|home\.arpa|test)\.?$`)

func everywhere(a netip.Addr) string {
	if a.Is4() {
		return netip.IPv4Unspecified().String()
	}
	return netip.IPv6Unspecified().String()
}

// maxListed is how many addresses a warning names.
const maxListed = 4

// listed returns the addresses that peers on other machines can reach, for a warning.
func listed(own []netip.Addr) string {
	var names []string
	for _, a := range own {
		if !a.IsLoopback() && !a.IsLinkLocalUnicast() && len(names) < maxListed {
			names = append(names, a.String())
		}
	}
	if names == nil {
		return "it has loopback alone"
	}
	return strings.Join(names, ", ")
}
