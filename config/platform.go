package config

import (
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// account is the section `account` of a target.
type account struct {
	// The base URL of the platform's HTTP API. Default: that of the target's region.
	API string `key:"api" is:"api"`
	// The bearer token. Required.
	Token Secret `key:"token" env:""`
	// The workspace. Kind synthflow only.
	WorkspaceID string `key:"workspace_id"`
}

// platform reads the related keys of a target: region, URI and API.
func (s section) platform(t *Target, use templateUse) {
	t.Region = s.region(t.Kind)
	t.Account = s.account(t)
	host := ""
	switch {
	case s.has("uri"):
		var sample string
		t.URI, sample = s.uri(use, t.Transport)
		host, _ = HostPort(sample)
	case t.Kind == KindSynthflow:
		if t.Region == "" {
			t.Region = apiRegion(t)
		}
		host = SynthflowHost(t.Region)
		t.URI, _, _ = s.constant("uri", synthflowURI(host, t.Transport)).template(use)
	case t.Kind == KindWebsocket: // the gateway's
	case t.Kind == KindVapi:
		s.require("uri", `the number's SIP URI, like "sip:my-agent@sip.vapi.ai"`)
	default:
		s.require("uri", `the address to call, like "sip:{{.To.Number}}@sip.example.com:5060"`)
	}
	s.oneRegion(t, host)
	s.oneWorkspaceRegion(t)
}

// RegionsOf returns the regions of a kind of target. It returns none for a kind without regions.
func RegionsOf(kind string) []Region {
	switch kind {
	case KindSynthflow:
		return SynthflowRegions()
	case KindVapi:
		return VapiRegions()
	}
	return nil
}

// RegionNames returns the names of regions.
func RegionNames(all []Region) []string {
	var names []string
	for _, r := range all {
		names = append(names, r.Name)
	}
	return names
}

// region reads the name of a region of this kind.
func (s section) region(kind string) string {
	all := RegionNames(RegionsOf(kind))
	if !s.filled("region") || kind == "" {
		return ""
	}
	if len(all) == 0 {
		s.fields["region"].fail("has no meaning for kind "+kind, "remove it, or write kind: synthflow or kind: vapi")
		return ""
	}
	region, _ := one(s, "region", words(false, "is not known here", "", all...).parse(s)).(string)
	return region
}

// apis returns pointers to the APIs that a target names, by section.
func (t *Target) apis() map[string]*string {
	all := map[string]*string{}
	if t.Prepare != nil {
		all["prepare"] = &t.Prepare.API
	}
	if t.Account != nil {
		all["account"] = &t.Account.API
	}
	return all
}

// apiRegion returns the region that the API of a target belongs to, or "".
func apiRegion(t *Target) string {
	for _, api := range t.apis() { // there is at most one
		if u, err := url.Parse(*api); err == nil {
			if kind, r, ok := RegionOfHost(u.Hostname()); ok && kind == t.Kind && r.Name != regionGlobal {
				return r.Name
			}
		}
	}
	return ""
}

// synthflowURI returns the URI of a Synthflow target without uri.
func synthflowURI(host, transport string) string {
	// The port is the same in all regions.
	return fmt.Sprintf("sip:{{.Agent.Number}}@%s:%d", host, SynthflowRegions()[0].PortFor(transport))
}

// account reads the section account.
func (s section) account(t *Target) *account {
	v, ok := s.fields["account"]
	if !ok {
		return nil
	}
	switch {
	case len(RegionsOf(t.Kind)) == 0 && t.Kind != "":
		v.fail("has no meaning for kind "+t.Kind, "remove it, or write kind: synthflow or kind: vapi")
		return nil
	case t.Prepare != nil:
		v.fail("stands beside prepare, which names the account already", "remove one of the two")
		return nil
	}
	var a account
	sub := v.section(reflect.TypeFor[account]())
	sub.read(reflect.ValueOf(&a).Elem())
	if id, ok := sub.fields["workspace_id"]; ok && t.Kind != KindSynthflow {
		id.fail("has no meaning for kind "+t.Kind, "remove it")
	}
	return &a
}

// webSite matches a host of Synthflow or Vapi for browsers or for HTTP.
var webSite = regexp.MustCompile(`(?i)^(?:(?:www|app|api|docs|dashboard)\.)?(?:(?:us|eu)\.)?(synthflow|vapi)\.ai\.?$`)

// oneRegion checks that a target's region, SIP host and API agree, and sets the API's default.
func (s section) oneRegion(t *Target, sipHost string) {
	name, from := t.Region, "region"
	if site := webSite.FindStringSubmatch(sipHost); site != nil {
		s.fields["uri"].fail("goes to "+sipHost+", which takes no SIP: it is the platform's web site or API",
			map[string]string{
				"synthflow": "write sip.synthflow.ai:32681, or the host of the account's region",
				"vapi":      "write sip.vapi.ai, or the host of the account's region",
			}[strings.ToLower(site[1])])
		return
	}
	if kind, r, ok := RegionOfHost(sipHost); ok {
		switch {
		case t.Kind != kind && len(RegionsOf(t.Kind)) > 0:
			s.fields["uri"].fail(fmt.Sprintf("goes to %s, which is a host of kind %s", sipHost, kind),
				"write kind: "+kind+", or another host")
		case t.Kind != kind:
		case name == "":
			name, from = r.Name, "uri"
		case name != r.Name:
			s.fields["uri"].fail(fmt.Sprintf(
				"goes to %s, of region %s, and region says %s: an account of one region is not known in another", sipHost,
				r.Name, name),
				"write the host of the account's region, or correct region")
		}
	}
	for key, api := range t.apis() {
		s.apiOf(t.Kind, key, api, name, from)
	}
	t.Region = name
}

// apiOf checks that an API belongs to the named region. It sets the default if the API is absent.
func (s section) apiOf(kind, key string, api *string, region, from string) {
	all := RegionsOf(kind)
	if len(all) == 0 {
		return
	}
	if *api == "" {
		*api = all[0].API
		if i := slices.IndexFunc(all, func(r Region) bool { return r.Name == region }); i >= 0 {
			*api = all[i].API
		}
		return
	}
	u, err := url.Parse(*api)
	if err != nil {
		return
	}
	found, r, ok := RegionOfHost(u.Hostname())
	fail := func(problem, remedy string) {
		s.l.fail(s.fields[key].node.Line, join(join(s.path, key), "api"), problem, remedy)
	}
	switch {
	case !ok:
	case found != kind:
		fail(fmt.Sprintf("is the API of kind %s, and the target is of kind %s", found, kind),
			"write the API of the target's platform, or remove it")
	case region != "" && region != r.Name:
		fail(fmt.Sprintf("is the API of region %s, and %s says %s: an account of one region is not known in another", r.Name,
			from, region),
			"choose API and SIP host of one region; with region alone both are right")
	}
}

// oneWorkspaceRegion reports a workspace that two targets assign to different regions.
func (s section) oneWorkspaceRegion(t *Target) {
	_, _, id, _ := t.Platform()
	if id == "" || t.Region == "" {
		return
	}
	first, seen := s.l.workspaces[id]
	if seen && first.region != t.Region {
		s.fail(fmt.Sprintf("workspace %s is in region %s here, and in %s in target %s: a workspace has one region", id,
			t.Region, first.region, first.target),
			"correct region or workspace_id of one of the two")
		return
	}
	s.l.workspaces[id] = workspace{region: t.Region, target: t.Name}
}

// workspace records where a workspace was first named.
type workspace struct{ region, target string }
