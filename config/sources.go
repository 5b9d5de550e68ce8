package config

import (
	"fmt"
	"net/netip"

	"flowbridge/internal/local"
)

// Source is a place that a peer calls from: a network, or this machine.
type Source struct {
	netip.Prefix // if invalid, the source is all addresses of this machine
}

// thisMachine stands for the addresses of this machine in the file.
const thisMachine = "local"

// Covers returns how many bits of an address match the source. It returns all of them for an address of this machine,
// and -1 if the address is not in the source.
func (s Source) Covers(a netip.Addr) int {
	switch {
	case !s.IsValid() && local.Has(a):
		return a.BitLen()
	case s.Prefix.Contains(a):
		return s.Bits()
	}
	return -1
}

// Contains reports whether the address is in the source.
func (s Source) Contains(a netip.Addr) bool { return s.Covers(a) >= 0 }

// Sample returns an address of the source.
func (s Source) Sample() netip.Addr {
	switch {
	case !s.IsValid():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case s.Bits() < s.Addr().BitLen()-1:
		return s.Addr().Next() // the first address is the network's own
	}
	return s.Addr()
}

// String returns the source in the form of the file.
func (s Source) String() string {
	if !s.IsValid() {
		return thisMachine
	}
	return s.Prefix.String()
}

func parseSource(text string) (Source, complaint) {
	if text == thisMachine {
		return Source{}, complaint{}
	}
	p, c := parsePrefix(text)
	return Source{p}, c
}

// Callers from one network must be distinguishable: trunks by match, targets by their user. A caller that needs no
// credentials is never challenged, and then no other caller of its network is challenged either. So callers with
// credentials can share a network only with each other.
const (
	claimOpen = "open" // the caller needs no credentials, and has no other condition
	claimAny  = "any"  // the caller has no other condition than credentials, if any
)

func claimUser(name string) string { return "user " + name }

// claim returns a parser of networks. It refuses a network for which another section has one of the claims in against.
// Otherwise the network gets the claims in mark.
func (s section) claim(remedy string, against, mark []string) func(string) (Source, complaint) {
	return func(text string) (Source, complaint) {
		p, c := parseSource(text)
		if !c.none() {
			return p, c
		}
		for _, how := range against {
			if other, taken := s.l.sources[p.String()+" "+how]; taken && other != s.path {
				return p, refuse("belongs to another trunk or target too, "+other, remedy)
			}
		}
		for _, how := range mark {
			s.l.sources[p.String()+" "+how] = s.path
		}
		return p, complaint{}
	}
}

// trunkSources reads the networks that a trunk calls from. If the trunk calls from anywhere, it records the trunk's
// user.
func (s section) trunkSources(t *Trunk) []Source {
	match := fmt.Sprintf("match %+v", t.Match)
	mark := []string{match}
	if t.Match == (Match{}) && len(t.Certificates) == 0 {
		mark = append(mark, claimAny)
		switch {
		case t.Auth == nil:
			mark = append(mark, claimOpen)
		case s.elements("sources") == 0:
			s.l.sources[claimUser(t.Auth.Username)] = s.path
		}
	}
	return each(s, "sources",
		s.claim("give each network to one trunk, or tell them apart with match; within a larger network a longer prefix wins",
			[]string{match}, mark))
}

// targetSources reads the networks that a target calls from. Targets of one network, such as agents of one platform,
// are distinguished by their credentials.
func (s section) targetSources(auth *Auth) []Source {
	if auth == nil {
		return each(s, "sources",
			s.claim("give each network to one of them, or each target of a network a call_auth; within a larger network a longer prefix wins",
				[]string{claimAny}, []string{claimAny, claimOpen}))
	}
	user := claimUser(auth.Username)
	if s.elements("sources") == 0 {
		if other, taken := s.l.sources[user]; taken && auth.Username != "" {
			s.fields["call_auth"].fail("has the user of another trunk or target that may call from anywhere, "+other,
				"give each its own user, or sources")
		}
		s.l.sources[user] = s.path
	}
	return each(s, "sources",
		s.claim("give each network to one of them, or to such as need credentials, each with a user of its own; within a larger network a longer prefix wins",
			[]string{claimOpen, user}, []string{claimAny, user}))
}
