package b2bua

import (
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// isStream says whether a transport is made of connections.
func isStream(transport string) bool {
	return transport == config.TransportTCP || transport == config.TransportTLS
}

// transportName is a transport as the configuration spells it.
func transportName(transport string) string {
	if isStream(transport) {
		return transport
	}
	return config.TransportUDP
}

// defaultPort is the port of a SIP URI without one (RFC 3261 section 19.1.2).
func defaultPort(transport string) uint16 {
	if transport == config.TransportTLS {
		return uint16(sip.DefaultTlsPort)
	}
	return uint16(sip.DefaultUdpPort)
}

// viaTransport is a transport as Via spells it.
func viaTransport(transport string) string {
	return strings.ToUpper(transportName(transport))
}
