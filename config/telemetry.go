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
	// The traces of calls, sent to an OpenTelemetry collector. Without an endpoint none are.
	OTLP OTLP `key:"otlp"`
	// A copy of all SIP and of the quality of RTP, sent to Homer or another HEP server. Without an address there is none.
	HEP hep `key:"hep"`
}

// OTLP is the section `telemetry.otlp`.
type OTLP struct {
	// The collector's URL for OTLP over HTTP, like "http://127.0.0.1:4318". Without a path, /v1/traces is added. Empty:
	// calls are not traced.
	Endpoint string `key:"endpoint" is:"collector"`
	// The file with a bearer token for the collector.
	Token Secret `key:"token_file" later:""`
	// The share of calls whose spans are sent, from 0 to 1. A caller that sends traceparent decides for its calls.
	SampleRatio float64 `key:"sample_ratio" is:"ratio" default:"1"`
}

// On says whether calls are traced.
func (o *OTLP) On() bool { return o.Endpoint != "" }

func (o *OTLP) check(s section) {
	o.Token = s.secretFor("token_file", "endpoint", "http://127.0.0.1:4318")
}

// hep is the section `telemetry.hep`.
type hep struct {
	// The server as udp://host:port or tcp://host:port, like "udp://127.0.0.1:9060". Empty: nothing is sent.
	To string `key:"to" is:"hep-server"`
	// The number of this node at the server.
	CaptureID int `key:"capture_id" min:"1" max:"4294967295" default:"2001"`
	// The file with the server's password.
	Password Secret `key:"password_file" later:""`
}

// On says whether messages are sent.
func (h *hep) On() bool { return h.To != "" }

// Server is where messages are sent: udp or tcp, and host:port.
func (h *hep) Server() (network, address string) {
	network, address, _ = strings.Cut(h.To, "://")
	return network, address
}

func (h *hep) check(s section) {
	h.Password = s.secretFor("password_file", "to", "udp://127.0.0.1:9060")
}

// secretFor reads the secret of a section that one of its keys turns on.
func (s section) secretFor(name, on, example string) Secret {
	if !s.filled(name) {
		return ""
	}
	if !s.filled(on) && !s.meant[on] {
		s.fields[name].fail("has no effect without "+on, "write "+on+", like "+strconv.Quote(example)+", or remove it")
	}
	return s.secretFile(name)
}

// tracesPath is where OTLP over HTTP takes traces (https://opentelemetry.io/docs/specs/otlp/#otlphttp-request).
const tracesPath = "/v1/traces"

// parseCollector takes the URL of a collector, and completes its path.
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

// parseHEPServer takes a transport, a host and a port.
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

// parseRatio takes a number from 0 to 1.
func parseRatio(t string) (float64, complaint) {
	f, err := strconv.ParseFloat(t, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return 0, refuse("is not a number from 0 to 1", "write one like 0.1 for one call in ten")
	}
	return f, complaint{}
}

var httpToken = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
