package config

import "strings"

// Region is where a platform keeps an account: an account of one region is not known in another, so API and SIP host go
// together.
type Region struct {
	// Name is the value of targets[].region.
	Name string
	// API is the base URL of the region's HTTP API.
	API string
	// SIP is the host that INVITEs go to.
	SIP string
}

// The names of regions.
const (
	RegionGlobal = "global"
	RegionUS     = "us"
	RegionEU     = "eu"
)

// documentedHost is the host of the global region that Synthflow's older documents name. It is the default where a target
// names no region.
const documentedHost = "sipin.synthflow.ai"

// SynthflowRegions are the regions of Synthflow (its pages "Connect over SIP" and "Allow lists").
func SynthflowRegions() []Region {
	return []Region{
		{RegionGlobal, "https://api.synthflow.ai", "sip.synthflow.ai"},
		{RegionUS, "https://api.us.synthflow.ai", "sip.us.synthflow.ai"},
		{RegionEU, "https://api.eu.synthflow.ai", "sip.eu.synthflow.ai"},
	}
}

// VapiRegions are the regions of Vapi (its page "SIP introduction").
func VapiRegions() []Region {
	return []Region{
		{RegionUS, "https://api.vapi.ai", "sip.vapi.ai"},
		{RegionEU, "https://api.eu.vapi.ai", "sip.eu.vapi.ai"},
	}
}

// SynthflowHost is the host that INVITEs to a region of Synthflow go to; "" is that of the older documents.
func SynthflowHost(region string) string { return synthflowHost(region) }

// RegionOfHost gives the region, and the platform's kind, that a host of an API or of SIP belongs to. ok is false for a host
// of neither platform: a stand-in, or a proxy.
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
