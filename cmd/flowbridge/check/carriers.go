package check

import (
	"fmt"
	"net/netip"
	"strings"

	"flowbridge/cmd/flowbridge/profiles"
	"flowbridge/config"
)

// maxNetworks is how many networks a warning names.
const maxNetworks = 4

// carrierWarnings warns of trunks with some of a carrier's networks that lack others, because the carrier has new ones
// or because one was forgotten. Calls from there are refused.
func carrierWarnings(cfg *config.Config) (all []warning) {
	for _, c := range profiles.Carriers() {
		for i := range cfg.Trunks {
			t := &cfg.Trunks[i]
			var sources []netip.Prefix
			for _, s := range t.Sources {
				if s.IsValid() {
					sources = append(sources, s.Prefix)
				}
			}
			if lacks := c.Lacks(sources); len(lacks) > 0 {
				all = append(all, warning{
					fmt.Sprintf("trunk %s has networks of %s and lacks %s: calls from there are refused", t.Name, c.Name, networks(lacks)),
					fmt.Sprintf("compare its sources with flowbridge trunks profiles %s, which was read on %s", c.Name, c.Date),
				})
			}
		}
	}
	return all
}

// networks returns networks with their regions, for a warning.
func networks(all []profiles.Network) string {
	var texts []string
	for _, n := range all[:min(len(all), maxNetworks)] {
		prefix := n.Prefix.String()
		if n.Prefix.IsSingleIP() {
			prefix = n.Prefix.Addr().String()
		}
		texts = append(texts, fmt.Sprintf("%s (%s)", prefix, n.Region))
	}
	if more := len(all) - maxNetworks; more > 0 {
		texts = append(texts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(texts, ", ")
}
