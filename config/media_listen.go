package config

import (
	"net/netip"
	"slices"
	"strings"
)

// MediaListener is an element of media.listen: "10.0.0.5", or "10.0.0.5=203.0.113.5" where peers reach it by another
// address.
type MediaListener struct {
	// Addr is what sockets are bound to.
	Addr netip.Addr
	// Advertise is what it is called in SDP. The zero Addr: media.advertise, else the address itself.
	Advertise netip.Addr
}

// mediaListen reads media.listen.
func (s section) mediaListen() []MediaListener {
	if !s.has("listen") {
		return []MediaListener{{Addr: netip.IPv4Unspecified()}}
	}
	s.notEmpty("listen")
	taken := map[netip.Addr]bool{}
	return each(s, "listen", func(t string) (MediaListener, complaint) {
		m, c := parseMediaListener(t)
		for _, a := range []netip.Addr{m.Addr, m.Advertise} {
			if c.none() && taken[a] {
				c = refuse("has an address that is in the list already", "give each element addresses of its own")
			}
			taken[a] = a.IsValid()
		}
		return m, c
	})
}

// parseMediaListener takes an address, or "address=advertised address".
func parseMediaListener(t string) (m MediaListener, c complaint) {
	bind, public, named := strings.Cut(t, "=")
	if m.Addr, c = parseAddr(strings.TrimSpace(bind)); !c.none() || !named {
		return m, c
	}
	text, c := parseAdvertise(strings.TrimSpace(public))
	if !c.none() {
		c.remedy = `write it like "10.0.0.5=203.0.113.5"`
		return MediaListener{}, c
	}
	m.Advertise, _ = netip.ParseAddr(text) // invalid where it is empty, which the next condition finds
	if !m.Advertise.IsValid() || m.Advertise.Is4() != m.Addr.Is4() {
		return MediaListener{}, refuse("has no advertised address of the same family", `write it like "10.0.0.5=203.0.113.5"`)
	}
	return m, complaint{}
}

// advertisedOnce reports an advertise that would stand for two addresses: behind one public address their ports can't be
// told apart.
func (s section) advertisedOnce(m *Media) {
	addr, err := netip.ParseAddr(m.Advertise)
	if err != nil {
		return
	}
	nameless := 0
	for _, l := range m.Listen {
		if !l.Advertise.IsValid() && l.Addr.Is4() == addr.Is4() {
			nameless++
		}
	}
	if nameless > 1 {
		s.fields["advertise"].fail("would stand for more than one address of listen",
			`write each its own there, like "10.0.0.5=203.0.113.5", and leave advertise empty`)
	}
}

// mediaAddress reads media.address of a trunk or target: an address that media listens on, in this file and, on a reload,
// in the process too.
func (s section) mediaAddress() netip.Addr {
	return one(s, "address", netip.Addr{}, func(t string) (netip.Addr, complaint) {
		if t == "" {
			return netip.Addr{}, complaint{}
		}
		a, c := parseAddr(t)
		switch {
		case !c.none():
		case !bindable(s.l.media, a):
			c = refuse("is not in media.listen", "add it there, or write one that is: "+listened(s.l.media))
		case s.l.running != nil && !bindable(s.l.running.Media.Listen, a):
			c = refuse("is not in the media.listen that the process runs with", "restart it: media counts from then on")
		}
		return a, c
	})
}

func bindable(all []MediaListener, a netip.Addr) bool {
	return slices.ContainsFunc(all, func(l MediaListener) bool { return l.Addr == a })
}

func listened(all []MediaListener) string {
	var names []string
	for _, l := range all {
		names = append(names, l.Addr.String())
	}
	return strings.Join(names, ", ")
}
