package config

import (
	"strconv"
	"strings"
)

// Region is a region in which a platform keeps accounts. Other regions do not know an account, so the API and the SIP
// host must be of the same region.
type Region struct {
	// Name is the value of targets[].region.
	Name string
	// API is the base URL of the region's HTTP API.
	API string
	// SIP is the host to which INVITEs are sent.
	SIP string
	// Port is the SIP port for UDP and TCP. TLSPort is the port for TLS.
	Port, TLSPort uint16
}

// The names of regions.
const (
	regionGlobal = "global"
	regionUS     = "us"
	regionEU     = "eu"
)

// documentedHost is the host of the global region in Synthflow's older documentation. It is the default if a target
// names no region.
const documentedHost = "sipin.synthflow.ai"

// SynthflowRegions returns the regions of Synthflow (its pages "Connect over SIP" and "Allow lists").
func SynthflowRegions() []Region {
	return []Region{
		{regionGlobal, "https://api.synthflow.ai", "sip.synthflow.ai", 32681, 32682},
		{regionUS, "https://api.us.synthflow.ai", "sip.us.synthflow.ai", 32681, 32682},
		{regionEU, "https://api.eu.synthflow.ai", "sip.eu.synthflow.ai", 32681, 32682},
	}
}

// VapiRegions returns the regions of Vapi (its page "SIP introduction").
func VapiRegions() []Region {
	return []Region{
		{regionUS, "https://api.vapi.ai", "sip.vapi.ai", 5060, 5061},
		{regionEU, "https://api.eu.vapi.ai", "sip.eu.vapi.ai", 5060, 5061},
	}
}

// SynthflowHost returns the host for INVITEs to a region of Synthflow. For "", it returns the host in the older
// documentation.
func SynthflowHost(region string) string {
	for _, r := range SynthflowRegions() {
		if r.Name == region {
			return r.SIP
		}
	}
	return documentedHost
}

// PortFor returns the port of a transport.
func (r Region) PortFor(transport string) uint16 {
	if transport == TransportTLS {
		return r.TLSPort
	}
	return r.Port
}

// RegionOfHost returns the platform's kind and the region that a host of an API or of SIP belongs to. ok is false for a
// host of neither platform: a stand-in, or a proxy.
func RegionOfHost(host string) (kind string, r Region, ok bool) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == documentedHost {
		return KindSynthflow, SynthflowRegions()[0], true
	}
	for _, p := range []struct {
		kind    string
		regions []Region
	}{{KindSynthflow, SynthflowRegions()}, {KindVapi, VapiRegions()}} {
		for _, r := range p.regions {
			if host == r.SIP || "https://"+host == r.API {
				return p.kind, r, true
			}
		}
	}
	return "", Region{}, false
}

// HostPort returns the host and port of a well-formed SIP URI. An IPv6 address is returned without brackets. The port
// is 0 if the URI has none.
func HostPort(uri string) (host string, port uint16) {
	_, rest, _ := strings.Cut(uri, ":")
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	rest, _, _ = strings.Cut(rest, ";")
	host, after := rest, ""
	if end := strings.IndexByte(rest, ']'); strings.HasPrefix(rest, "[") && end > 0 {
		host, after = rest[1:end], rest[end+1:]
	} else if colon := strings.IndexByte(rest, ':'); colon >= 0 {
		host, after = rest[:colon], rest[colon:]
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(after, ":"), 10, 16)
	if err != nil {
		return host, 0
	}
	return host, uint16(n)
}

// Platform returns the HTTP API of a target's platform with its token and the workspace. The workspace is empty if it
// depends on the call. ok is false if the target has no API.
func (t *Target) Platform() (api string, token Secret, workspace string, ok bool) {
	switch {
	case t.Prepare != nil && t.Kind == KindSynthflow:
		if id, ok := t.Prepare.WorkspaceID.Constant(); ok {
			workspace = id
		}
		return t.Prepare.API, t.Prepare.Token, workspace, true
	case t.Account != nil:
		return t.Account.API, t.Account.Token, t.Account.WorkspaceID, true
	}
	return "", "", "", false
}
