package message

import (
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// IsStream says whether a transport is made of connections.
func IsStream(transport string) bool {
	return transport == config.TransportTCP || transport == config.TransportTLS
}

// TransportName is a transport as the configuration spells it.
func TransportName(transport string) string {
	if IsStream(transport) {
		return transport
	}
	return config.TransportUDP
}

// DefaultPort is the port of a SIP URI without one (RFC 3261 section 19.1.2).
func DefaultPort(transport string) uint16 {
	if transport == config.TransportTLS {
		return uint16(sip.DefaultTlsPort)
	}
	return uint16(sip.DefaultUdpPort)
}

// ViaTransport is a transport as Via spells it.
func ViaTransport(transport string) string {
	return strings.ToUpper(TransportName(transport))
}

// TransportOf is what a message came by: config.TransportTCP or TransportTLS;
// empty: UDP.
func TransportOf(msg sip.Message) string {
	if t := strings.ToLower(msg.Transport()); IsStream(t) {
		return t
	}
	return ""
}
