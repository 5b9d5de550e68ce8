package outbound

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// Destination is the destination of a transfer.
type Destination struct {
	Party      template.Party
	Targets    []*peers.Target // targets to try, in order
	FailoverOn []int           // FailoverOn of the route that the targets belong to
	Route      string          // that route's name; empty if there is none
	ReferTo    string          // the value of Refer-To if the caller's side carries out the transfer
}

// Transfer describes a call that should be transferred.
type Transfer struct {
	Peers  *peers.Snapshot
	Trunk  *peers.Trunk // the caller's trunk
	Agent  *peers.Dial  // the agent that the caller leaves; its configuration decides
	Vars   template.Vars
	Caller leg.Dialog
	Ours   [2]string // our hosts, as the caller and the agent know them
	Tried  []record.Attempt
}

// The reasons against a transfer. The Warning of the refusal has their texts.
var (
	errNotAllowed = errors.New("not a number or host that may be called")
	errOurselves  = errors.New("our own address, and no number")
	errNoWay      = errors.New("no way to this number")
	errReplacesUs = errors.New("a number with Replaces")
)

// To finds the destination of a transfer, and checks that it is permitted. It may be a host of transfer_hosts,
// which is called by its URI. Or it may be a number of transfer_numbers (or a user part that one of them names in
// full) at any host, which is called by the routes for calls of this target or over the caller's own trunk.
// Otherwise To returns an error and the status for the refusal.
func (t *Transfer) To(to message.Referral) (d Destination, code int, err error) {
	uri := message.ParseURI(to.URI)
	d.Party = message.PartyOf("", &uri, t.Trunk.Caller.Country)
	cfg := t.Agent
	if !t.isOurs(to.Host) && peers.MayRefer(cfg.TransferHosts, to) {
		return t.directly(to, d)
	}
	if d.Party.Number == "" && to.Scheme != "tel" && t.isOurs(to.Host) {
		return d, 403, errOurselves
	}
	if d.Party.Number == "" || !peers.Named(cfg.TransferNumbers, d.Party.Number) {
		return d, 403, errNotAllowed
	}
	if slices.ContainsFunc(to.Headers, func(h message.HeaderLine) bool { return h.Name == "Replaces" }) {
		return d, 501, errReplacesUs // the trunk can't know a dialog of ours
	}
	d.Party.User = message.UserOf(d.Party) // without the number's parameters, which could make it another number
	d.ReferTo = t.referToNumber(to, d.Party)
	d.Targets, d.Route, d.FailoverOn = t.routeOfTarget(d.Party)
	if len(d.Targets) == 0 && cfg.Transfer != config.TransferRelay {
		return d, 404, errNoWay
	}
	return d, 0, nil
}

// isOurs reports whether a host is one of our addresses as a leg's peer knows them.
func (t *Transfer) isOurs(host string) bool {
	return peers.SameHost(host, t.Ours[0]) || peers.SameHost(host, t.Ours[1])
}

// directly returns a destination that is called by the agent's URI.
func (t *Transfer) directly(to message.Referral, d Destination) (Destination, int, error) {
	parsed, code, err := peers.ReferredURI(to)
	if err != nil {
		return d, code, err
	}
	transport := config.TransportUDP
	named, _ := parsed.UriParams.Get("transport")
	if message.IsStream(strings.ToLower(named)) {
		transport = strings.ToLower(named)
	}
	text := parsed.String()
	uri, err := template.Parse(text) // a URI has no braces, so no template is found
	if err != nil {
		return d, 400, message.ErrReferTo
	}
	referred := peers.NewReferred(to.Host, uri, transport, t.Agent)
	if strings.EqualFold(named, config.TransportUDP) { // stated explicitly, as in a target
		referred.Dial.Overflow = config.OverflowTrim
	}
	d.Targets = []*peers.Target{referred}
	d.ReferTo = message.WithEmbedded(text, to.Headers)
	return d, 0, nil
}

// routeOfTarget finds the targets for a number that the agent names: by the first route for the target's calls
// that has any, or else over the caller's trunk. Text that is not a number is dialled only if the route or
// transfer_numbers name it in full.
func (t *Transfer) routeOfTarget(to template.Party) (targets []*peers.Target, route string, failoverOn []int) {
	agent, vars := t.Agent, t.Vars
	vars.From = CallingParty(vars)
	vars.To, vars.Trunk, vars.Target = to, "", agent.Name
	if t.Vars.Target == "" { // in the form that will be dialled
		vars.Direction = template.DirectionInbound
	}
	for i := range t.Peers.Routes {
		r := &t.Peers.Routes[i]
		if t.Peers.Mismatch(r, &vars, time.Now()) != "" {
			continue
		}
		naming := slices.Concat(agent.TransferNumbers, []*config.Numbers{r.To, r.From})
		targets, _ = t.Peers.DestinationsNamed(r, &vars, naming...)
		if len(targets) > 0 {
			return targets, t.Peers.RouteName(i), r.FailoverOn
		}
	}
	if callee := t.Peers.Callees[t.Trunk.Caller.Name]; callee != nil && t.Trunk.Platform == nil {
		return peers.DialableOf([]*peers.Target{callee}, &vars, agent.TransferNumbers...), "", nil
	}
	return nil, "", nil
}

// referToNumber returns a Refer-To with the number at the caller's side, because the agent knows only our
// address. The host is the proxy in front of the caller, or, if there is none, the caller itself, which may be a
// phone. The number has no parameters, because these could make it another number (rn, RFC 4694).
func (t *Transfer) referToNumber(to message.Referral, who template.Party) string {
	remote := message.ParseURI(cmp.Or(t.Caller.Proxy(), t.Caller.RemoteTarget))
	host := remote.Host
	if a, err := netip.ParseAddr(message.TrimBrackets(host)); err == nil && a.Is6() {
		host = "[" + a.String() + "]"
	}
	if remote.Port > 0 {
		host = net.JoinHostPort(message.TrimBrackets(host), strconv.Itoa(remote.Port))
	}
	return message.WithEmbedded("sip:"+message.UserOf(who)+"@"+host, to.Headers)
}

// Referrer returns the party for Referred-By (RFC 3892): the party in the agent's REFER, or else the number that
// the caller has called, at our address. req is nil if an operator or a tool asked for the transfer.
func Referrer(req *sip.Request, agent leg.Dialog, ours leg.Local) string {
	if req != nil {
		if by, err := message.ReferredBy(req); err == nil && by != "" {
			return "<" + by + ">"
		}
	}
	uri := message.ParseURI(message.AddrSpec(agent.RemoteParty))
	return ours.Address(message.EscapeUser(uri.User))
}
