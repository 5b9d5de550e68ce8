package profiles

import (
	"embed"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
)

// carrierFiles has the trunk configurations, one file per carrier.
//
//go:embed carriers/*.yaml
var carrierFiles embed.FS

// Carrier is a trunk configuration for pasting, with the networks that a carrier publishes.
type Carrier struct {
	Profile

	Networks []Network      `json:"networks"`        // networks of its SIP
	Media    []netip.Prefix `json:"media,omitempty"` // networks of its RTP, if it publishes them separately
	Regional bool           `json:"regional"`        // whether the calls of a trunk come from one region
}

// Network is a network that a carrier's SIP comes from.
type Network struct {
	Prefix netip.Prefix `json:"prefix"`
	Region string       `json:"region"`
}

// Carriers returns all carriers, by name.
func Carriers() []Carrier {
	entries, _ := carrierFiles.ReadDir("carriers") // embedded files can always be read
	all := make([]Carrier, 0, len(entries))
	for _, f := range entries {
		text, _ := carrierFiles.ReadFile(path.Join("carriers", f.Name()))
		all = append(all, carrierOf(strings.TrimSuffix(f.Name(), ".yaml"), string(text)))
	}
	return all
}

// CarrierNames returns the names of all carriers.
func CarrierNames() (names []string) {
	for _, c := range Carriers() {
		names = append(names, c.Name)
	}
	return names
}

// CarrierNamed returns the carrier with a name, or false.
func CarrierNamed(name string) (Carrier, bool) {
	all := Carriers()
	if i := slices.IndexFunc(all, func(c Carrier) bool { return c.Name == name }); i >= 0 {
		return all[i], true
	}
	return Carrier{}, false
}

var (
	sourceLine = regexp.MustCompile(`(?m)^ +- ([0-9a-f.:]+(?:/\d+)?) +# (.+)$`)
	mediaLine  = regexp.MustCompile(`(?m)^ +media_sources: \[(.+)\]$`)
)

// carrierOf reads a carrier's file.
func carrierOf(name, text string) Carrier {
	c := Carrier{Profile: profileOf(name, text), Regional: strings.Contains(text, "\n# Networks: those of ")}
	for _, line := range sourceLine.FindAllStringSubmatch(text, -1) {
		c.Networks = append(c.Networks, Network{Prefix: network(line[1]), Region: line[2]})
	}
	if line := mediaLine.FindStringSubmatch(text); line != nil {
		for one := range strings.SplitSeq(line[1], ", ") {
			c.Media = append(c.Media, network(one))
		}
	}
	return c
}

// network returns a network, or an address as a network of one.
func network(text string) netip.Prefix {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	return netip.MustParsePrefix(text)
}

// Lacks returns the networks of the carrier that a trunk with these sources lacks: all of a carrier's, or those of the
// regions that the trunk has any of. A trunk without any network of the carrier lacks none.
func (c *Carrier) Lacks(sources []netip.Prefix) (lacks []Network) {
	has := func(n Network) bool {
		return slices.ContainsFunc(sources, func(p netip.Prefix) bool {
			return p.Bits() <= n.Prefix.Bits() && p.Contains(n.Prefix.Addr())
		})
	}
	var known []string // regions
	for _, n := range c.Networks {
		if slices.Contains(sources, n.Prefix) {
			known = append(known, n.Region)
		}
	}
	for _, n := range c.Networks {
		if len(known) > 0 && (!c.Regional || slices.Contains(known, n.Region)) && !has(n) {
			lacks = append(lacks, n)
		}
	}
	return lacks
}
