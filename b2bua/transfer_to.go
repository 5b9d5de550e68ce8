package b2bua

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
)

// destination is where a transfer goes.
type destination struct {
	party      template.Party
	targets    []*peers.Target // that are tried, in order
	failoverOn []int           // of their route
	route      string          // of these targets, empty: none
	referTo    string          // the value of Refer-To, where the caller's side transfers
}

// destination finds the destination of a transfer and checks that it is permitted: a
// host of transfer_hosts, called by its URI, or a number of transfer_numbers (or a user
// part that one of them names in full) at any host, called by the routes for calls of
// this target or by the caller's own trunk. Otherwise it gives the status of the refusal.
func (tr *transfers) destination(to message.Referral) (d destination, code int, err error) {
	c := tr.call
	uri := message.ParseURI(to.URI)
	d.party = message.PartyOf("", &uri, c.trunk.Caller.Country)
	cfg := c.connected.target.Dial
	if to.Scheme != "tel" && !tr.isOurs(to.Host) && slices.ContainsFunc(cfg.TransferHosts, func(h string) bool { return peers.SameHost(h, to.Host) }) {
		return tr.directly(to, d)
	}
	if d.party.Number == "" && to.Scheme != "tel" && tr.isOurs(to.Host) {
		return d, 403, errOurselves
	}
	if d.party.Number == "" || !peers.Named(cfg.TransferNumbers, d.party.Number) {
		return d, 403, errNotAllowed
	}
	if slices.ContainsFunc(to.Headers, func(h message.HeaderLine) bool { return h.Name == "Replaces" }) {
		return d, 501, errReplacesUs // the trunk can't know a dialog with us
	}
	d.party.User = message.UserOf(d.party) // without what came with the number: it could make it another one
	d.referTo = c.a.referToNumber(to, d.party)
	d.targets, d.route, d.failoverOn = tr.routeOfTarget(d.party)
	if len(d.targets) == 0 && cfg.Transfer != config.TransferRelay {
		return d, 404, errNoWay
	}
	return d, 0, nil
}

// isOurs says whether a host is our own address as a leg's peer knows it.
func (tr *transfers) isOurs(host string) bool {
	return peers.SameHost(host, tr.call.b.Leg.Local.Host) || peers.SameHost(host, tr.call.a.Leg.Local.Host)
}

// directly is a destination that is called by the agent's URI.
func (tr *transfers) directly(to message.Referral, d destination) (destination, int, error) {
	parsed, code, err := peers.ReferredURI(to)
	if err != nil {
		return d, code, err
	}
	transport := config.TransportUDP
	t, _ := parsed.UriParams.Get("transport")
	if message.IsStream(strings.ToLower(t)) {
		transport = strings.ToLower(t)
	}
	text := parsed.String()
	uri, err := template.Parse(text) // which has no braces: no URI does
	if err != nil {
		return d, 400, message.ErrReferTo
	}
	referred := peers.NewReferred(to.Host, uri, transport, tr.call.connected.target.Dial)
	if strings.EqualFold(t, config.TransportUDP) { // written down, as in a target
		referred.Dial.Overflow = config.OverflowTrim
	}
	d.targets = []*peers.Target{referred}
	d.referTo = message.WithEmbedded(text, to.Headers)
	return d, 0, nil
}

// routeOfTarget finds the targets for a number that the agent names: by the first
// route for its calls that leads to any, else the trunk that the caller came by. Nothing
// is dialled that is no number, unless the route or transfer_numbers name it in full.
func (tr *transfers) routeOfTarget(to template.Party) (targets []*peers.Target, route string, failoverOn []int) {
	c := tr.call
	agent := c.connected.target.Dial
	vars := c.vars
	vars.From = outbound.CallingParty(vars)
	vars.To, vars.Trunk, vars.Target = to, "", agent.Name
	if c.vars.Target == "" { // as it will be dialled
		vars.Direction = template.DirectionInbound
	}
	for i := range c.peers.Routes {
		r := &c.peers.Routes[i]
		if c.peers.Mismatch(r, &vars, time.Now()) != "" {
			continue
		}
		naming := slices.Concat(agent.TransferNumbers, []*config.Numbers{r.To, r.From})
		if targets, _ = c.peers.DestinationsNamed(r, &vars, naming...); len(targets) > 0 {
			return targets, c.peers.RouteName(i), r.FailoverOn
		}
	}
	if callee := c.peers.Callees[c.trunk.Caller.Name]; callee != nil && c.trunk.Platform == nil {
		return peers.DialableOf([]*peers.Target{callee}, &vars, agent.TransferNumbers...), "", nil
	}
	return nil, "", nil
}

// referToNumber is the Refer-To of a number at the caller's side, as the agent knows
// only our address. Numbers are at the proxy in front of the caller, which may be a
// phone, or at the caller itself where there is none. It has the listed number without
// parameters, because parameters could make it another number (rn, RFC 4694).
func (l *legOnWire) referToNumber(to message.Referral, who template.Party) string {
	d := l.Leg.Dialog()
	remote := message.ParseURI(cmp.Or(d.Proxy(), d.RemoteTarget))
	host := remote.Host
	if a, err := netip.ParseAddr(message.TrimBrackets(host)); err == nil && a.Is6() {
		host = "[" + a.String() + "]"
	}
	if remote.Port > 0 {
		host = net.JoinHostPort(message.TrimBrackets(host), strconv.Itoa(remote.Port))
	}
	return message.WithEmbedded("sip:"+message.UserOf(who)+"@"+host, to.Headers)
}
