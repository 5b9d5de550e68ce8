package check

import (
	"fmt"
	"slices"

	"flowbridge/config"
)

// readableKeys warns of peers whose SRTP keys go over the network in SIP that
// is not encrypted itself: who can listen to one can listen to the other.
func readableKeys(cfg *config.Config) []warning {
	var found []warning
	warn := func(who, remedy string) {
		found = append(found, warning{
			fmt.Sprintf("%s has media.srtp, but its SIP does not go over TLS: the keys can be read on the way", who), remedy,
		})
	}
	listensTLS := slices.ContainsFunc(cfg.SIP.Listen, func(l config.Listener) bool { return l.Transport == config.TransportTLS })
	for i := range cfg.Trunks {
		t := &cfg.Trunks[i]
		switch {
		case t.Media.SRTP == config.SRTPOff:
		case t.URI != nil && t.Transport != config.TransportTLS:
			warn("trunk "+t.Name, "write transport: tls below it")
		case !listensTLS:
			warn("trunk "+t.Name, "add a tls:// address to sip.listen, and have it call that")
		}
	}
	for i := range cfg.Targets {
		if t := &cfg.Targets[i]; t.Media.SRTP != config.SRTPOff && t.Transport != config.TransportTLS {
			warn("target "+t.Name, "write transport: tls below it")
		}
	}
	return found
}
