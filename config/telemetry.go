package config

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Telemetry is the section `telemetry`. Metrics need no section: the admin API serves them.
type Telemetry struct {
	// The traces of calls, sent to an OpenTelemetry collector.
	OTLP OTLP `key:"otlp"`
	// A copy of all SIP and of the quality of RTP, sent to Homer or another HEP server.
	HEP hep `key:"hep"`
}

// OTLP is the section `telemetry.otlp`.
type OTLP struct {
	// The collector's URL for OTLP over HTTP: "http://127.0.0.1:4318". Without a path, /v1/traces is added. Empty: no
	// traces.
	Endpoint string `key:"endpoint" is:"collector"`
	// The file with a bearer token for the collector.
	Token Secret `key:"token_file" later:""`
}

// On reports whether calls are traced.
func (o *OTLP) On() bool { return o.Endpoint != "" }

func (o *OTLP) check(s section) {
	if !s.filled("token_file") {
		return
	}
	if !s.filled("endpoint") && !s.meant["endpoint"] {
		s.fields["token_file"].fail("has no effect without endpoint",
			`write endpoint, like "http://127.0.0.1:4318", or remove it`)
	}
	o.Token = s.secretFile("token_file")
}

// hep is the section `telemetry.hep`.
type hep struct {
	// The server as udp://host:port or tcp://host:port, like "udp://127.0.0.1:9060". Empty: nothing is sent.
	To string `key:"to" is:"hep-server"`
	// The number of this node at the server.
	CaptureID int `key:"capture_id" min:"1" max:"4294967295" default:"2001" knob:""`
}

// On reports whether messages are sent to a HEP server.
func (h *hep) On() bool { return h.To != "" }

// Server returns the network (udp or tcp) and address (host:port) to which messages are sent.
func (h *hep) Server() (network, address string) {
	network, address, _ = strings.Cut(h.To, "://")
	return network, address
}

// tracesPath is the path where OTLP over HTTP receives traces
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp-request).
const tracesPath = "/v1/traces"

// parseCollector parses the URL of a collector, and completes its path.
func parseCollector(t string) (string, complaint) {
	u, err := url.Parse(t)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", refuse("is not an http(s) URL", `write it like "http://127.0.0.1:4318"`)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", complaint{
			problem: "the URL holds more than scheme, host and path",
			remedy:  `write it like "http://127.0.0.1:4318", and a token into token_file`, hide: true,
		}
	}
	if u.Scheme == "http" && !nearby(u.Hostname()) {
		return "", refuse("would send the calls' data unencrypted",
			"write https; http is for loopback, private addresses and names without a dot")
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = tracesPath
	}
	return u.String(), complaint{}
}

// parseHEPServer parses a transport, a host and a port.
func parseHEPServer(t string) (string, complaint) {
	wrong := refuse("is not the address of a HEP server",
		`write transport, host and port, like "udp://127.0.0.1:9060" or "tcp://homer.example.com:9060"`)
	transport, at, ok := strings.Cut(t, "://")
	if !ok || transport != "udp" && transport != "tcp" {
		return "", wrong
	}
	if a, err := netip.ParseAddrPort(at); err == nil {
		if a.Port() == 0 || a.Addr().IsUnspecified() {
			return "", wrong
		}
		return t, complaint{}
	}
	host, port, ok := strings.Cut(at, ":")
	if n, err := strconv.ParseUint(port, 10, 16); !ok || err != nil || n == 0 || !isHostName(host) {
		return "", wrong
	}
	return t, complaint{}
}

var httpToken = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
