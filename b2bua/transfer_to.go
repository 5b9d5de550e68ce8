package b2bua

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// destination is where a transfer goes.
type destination struct {
	party      config.Party
	targets    []*target // that are tried, in order
	failoverOn []int     // of their route
	route      string    // that they are of, empty: none
	referTo    string    // the value of Refer-To, where the caller's side transfers
}

// destination finds out where the agent wants the caller to go, and whether it
// may: to a host of transfer_hosts as it is named, or to a number of
// transfer_numbers, whatever host it has, by the routes for calls of this target
// or the caller's own trunk. Otherwise it gives the status to refuse it with.
func (c *Call) destination(to referral) (d destination, code int, err error) {
	uri := parseURI(to.uri)
	d.party = party("", &uri, c.trunk.cfg.Country)
	cfg := c.target.cfg
	if to.scheme != "tel" && !c.isOurs(to.host) && listedHost(cfg.TransferHosts, to.host) {
		return c.directly(to, d)
	}
	if d.party.Number == "" && to.scheme != "tel" && c.isOurs(to.host) {
		return d, 403, errOurselves
	}
	if d.party.Number == "" || !listedNumber(cfg.TransferNumbers, d.party.Number) {
		return d, 403, errNotAllowed
	}
	if slices.ContainsFunc(to.headers, func(h headerLine) bool { return h.name == "Replaces" }) {
		return d, 501, errReplacesUs // a dialog with us can't be known to the trunk
	}
	d.referTo = c.referToNumber(to, d.party)
	d.targets, d.route, d.failoverOn = c.routeOfTarget(d.party)
	if len(d.targets) == 0 && cfg.Transfer != config.TransferRelay {
		return d, 404, errNoWay
	}
	return d, 0, nil
}

func listedNumber(allowed []*regexp.Regexp, number string) bool {
	return slices.ContainsFunc(allowed, func(r *regexp.Regexp) bool { return r.MatchString(number) })
}

func listedHost(allowed []string, host string) bool {
	return slices.ContainsFunc(allowed, func(h string) bool { return sameHost(h, host) })
}

// isOurs says whether a host is what the agent knows us by.
func (c *Call) isOurs(host string) bool {
	return sameHost(host, c.b.leg.local.Host) || sameHost(host, c.a.leg.local.Host)
}

// directly is a destination that is called by the URI that the agent gave.
func (c *Call) directly(to referral, d destination) (destination, int, error) {
	if to.scheme == "sips" {
		return d, 416, errReferScheme
	}
	parsed := parseURI(to.uri)
	transport := config.TransportUDP
	if t, ok := parsed.UriParams.Get("transport"); ok && isStream(strings.ToLower(t)) {
		transport = strings.ToLower(t)
	}
	parsed.UriParams = slices.DeleteFunc(parsed.UriParams, func(p sip.HeaderKV) bool { // maddr leads elsewhere
		return !slices.Contains([]string{"user", "transport", "lr"}, strings.ToLower(p.K))
	})
	text := parsed.String()
	uri, err := config.ParseTemplate(text) // which has no braces: no URI does
	if err != nil {
		return d, 400, errReferTo
	}
	agent := c.target.cfg
	d.targets = []*target{{tally: &tally{}, cfg: &config.Target{
		Name: to.host, Kind: config.KindSIP, URI: uri, Transport: transport, Codecs: agent.Codecs,
		Budget: config.TrunkBudget(), Overflow: config.OverflowTCP,
		FirstResponseTimeout: agent.FirstResponseTimeout, RingTimeout: agent.RingTimeout,
		Reinvite: config.ReinviteAuto, Rel100: config.Rel100Off, DTMF: config.DTMFRelay, PassMethods: []string{string(sip.INFO)},
		Transfer: config.TransferRefuse,
	}}}
	d.referTo = withEmbedded(text, to.headers)
	return d, 0, nil
}

// routeOfTarget finds who is called for a number that the agent names: by the
// first route for its calls, else the trunk that the caller came by.
func (c *Call) routeOfTarget(to config.Party) (targets []*target, route string, failoverOn []int) {
	vars := c.vars
	vars.From = callingParty(vars)
	vars.To, vars.Trunk, vars.Target = to, "", c.target.cfg.Name
	for i := range c.peers.routes {
		if r := &c.peers.routes[i]; r.Target != "" && mismatch(r, &vars) == "" {
			return c.peers.destinations(r), routeName(i), r.FailoverOn
		}
	}
	if callee := c.peers.callees[c.trunk.cfg.Name]; callee != nil && c.trunk.caller == nil {
		return []*target{callee}, "", nil
	}
	return nil, "", nil
}

// referToNumber names a number to the caller's side at its own address: the
// agent knows ours only. It is the number that is on the list, without what came
// with it: parameters could make it another one (rn, RFC 4694).
func (c *Call) referToNumber(to referral, who config.Party) string {
	remote := parseURI(c.a.leg.Dialog().RemoteTarget)
	host := remote.Host
	if a, err := netip.ParseAddr(trimBrackets(host)); err == nil && a.Is6() {
		host = "[" + a.String() + "]"
	}
	if remote.Port > 0 {
		host = net.JoinHostPort(trimBrackets(host), strconv.Itoa(remote.Port))
	}
	return withEmbedded("sip:"+userOf(who)+"@"+host, to.headers)
}

// withEmbedded is a URI with headers in it (RFC 3261 section 19.1.1), in the
// brackets that they need.
func withEmbedded(uri string, headers []headerLine) string {
	sep := "?"
	for _, h := range headers {
		uri += sep + h.name + "=" + strings.ReplaceAll(url.QueryEscape(h.value), "+", "%20")
		sep = "&"
	}
	return "<" + uri + ">"
}
