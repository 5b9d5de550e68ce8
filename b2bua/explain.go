package b2bua

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/report"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
)

// Explain says what a call would do, with the functions of real calls. It opens no
// socket, sends nothing and looks up no name. preparers answer with a made-up id, or
// not at all.
func Explain(cfg *config.Config, preparers map[string]peers.Preparer, q report.Question) (report.Explanation, error) {
	s, err := newServer(Options{Config: cfg, Preparers: preparers, Log: zerolog.Nop()}, transport.Unplugged)
	if err != nil {
		return report.Explanation{}, err
	}
	defer s.Close()
	if q.At.IsZero() {
		q.At = time.Now()
	}
	x := explainer{server: s, q: q, out: report.Explanation{At: q.At}}
	if err := x.nameTrunk(); err != nil {
		return report.Explanation{}, err
	}
	x.out.Source = x.source()
	x.register()
	x.transport = x.arrival()
	text, err := x.q.Invite(cfg, x.transport, x.sender().Addr, x.sample())
	if err != nil {
		return report.Explanation{}, err
	}
	if x.screened(text) {
		return x.out, nil
	}
	req, err := x.invite(text)
	if err != nil {
		return report.Explanation{}, err
	}
	if problem := message.Malformed(req); problem != "" {
		x.refuse(400, problem, "")
		return x.out, nil
	}
	t, err := x.findTrunk(req)
	if err != nil || t == nil {
		return x.out, err
	}
	x.out.Trunk, x.out.Target = t.TrunkName(), t.TargetName()
	x.out.MaxCalls, x.out.MaxCPS, x.out.MaxDurationMS = t.Caller.MaxCalls, t.Caller.MaxCPS, t.Caller.MaxDuration.Milliseconds()
	x.limits(t)
	if code, reason, _ := s.refusal(req, t.Options(s.admission.Peers.Load())); code != 0 {
		x.refuse(code, reason, "")
		return x.out, nil
	}
	from := x.sender()
	x.local(x.transport, from.Addr.Addr()) // the caller's leg needs an address, too
	c := s.newCall(NewID(), q.At, req, s.admission.Peers.Load(), t, from.Addr)
	return x.out, x.call(c)
}

// limits reports what the trunk may have besides its caps.
func (x *explainer) limits(t *peers.Trunk) {
	x.out.Limits = report.Limits(t.Caller.Limits)
	x.out.Reserved.Setups, x.out.Reserved.Calls = x.server.admission.Reserved(t)
}

// explainer is one run of Explain.
type explainer struct {
	server    *Server
	q         report.Question
	trunk     *peers.Trunk // that the question names, or the only one
	transport string       // of the call: config.Transport…; empty: udp
	out       report.Explanation
}

func (x *explainer) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(x.out.Notes, n) {
		x.out.Notes = append(x.out.Notes, n)
	}
}

func (x *explainer) refuse(status int, reason, why string) {
	x.out.Refused, x.out.Status, x.out.Reason, x.out.Why = true, status, reason, why
}

// nameTrunk finds the trunk, or target, that the question names, or the only
// trunk.
func (x *explainer) nameTrunk() error {
	all, callers := x.server.admission.Peers.Load().Callers()
	switch {
	case x.q.Target != "" && x.q.Trunk != "":
		return fmt.Errorf("%w: it comes from a trunk or from a target, not from both", report.ErrQuestion)
	case x.q.Target != "":
		i := slices.IndexFunc(callers, func(t *peers.Trunk) bool { return t.Caller.Name == x.q.Target })
		if i < 0 {
			return fmt.Errorf("%w: there is no target %q with sources or call_auth, which calls; there are: %s", report.ErrQuestion, x.q.Target, trunkNames(callers))
		}
		x.trunk = callers[i]
	case x.q.Trunk != "":
		i := slices.IndexFunc(all, func(t *peers.Trunk) bool { return t.Caller.Name == x.q.Trunk })
		if i < 0 {
			return fmt.Errorf("%w: there is no trunk %q; there are: %s", report.ErrQuestion, x.q.Trunk, trunkNames(all))
		}
		x.trunk = all[i]
	case x.q.Source.IsValid():
	case len(all) == 1:
		x.trunk = all[0]
	case len(all) > 1:
		return fmt.Errorf("%w: the trunk is not told, and there are several: %s", report.ErrQuestion, trunkNames(all))
	}
	return nil
}

// arrival is the transport of the call: TLS if its trunk needs certificates, else one
// that we listen on.
func (x *explainer) arrival() string {
	if x.trunk != nil && len(x.trunk.Caller.Certificates) > 0 {
		return config.TransportTLS
	}
	if all := x.server.Listeners(); len(all) > 0 && message.IsStream(all[0].Transport) {
		return all[0].Transport
	}
	return ""
}

// sender is the sender of the call. It meets its trunk's conditions, unless the
// question says otherwise.
func (x *explainer) sender() peers.Sender {
	from := peers.Sender{Addr: netip.AddrPortFrom(x.out.Source, uint16(sip.DefaultUdpPort))}
	if x.trunk != nil {
		from.Names = x.trunk.Caller.Certificates
		if port := x.trunk.Caller.Match.Port; port != 0 {
			from.Addr = netip.AddrPortFrom(x.out.Source, port)
		}
	}
	return from
}

// screened says whether the screen would refuse the call before it is parsed.
// Capacity is taken for granted.
func (x *explainer) screened(text []byte) bool {
	if who := x.server.admission.Peers.Load().Standing(x.sender()); !who.Known && !who.Open {
		x.refuse(0, "", fmt.Sprintf("the address %v is in no trunk's sources", x.out.Source))
		return true
	}
	msg, ok := message.Scan(text)
	if !ok {
		x.refuse(0, "", "it is not SIP")
		return true
	}
	status := x.server.stack.Objection(msg, len(text))
	if status == "" {
		return false
	}
	code, reason, _ := strings.Cut(status, " ")
	n, _ := message.Decimal(code, 699)
	x.refuse(n, reason, "")
	return true
}

// invite is the INVITE as the parser of real ones reads it.
func (x *explainer) invite(text []byte) (*sip.Request, error) {
	msg, err := message.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", report.ErrQuestion, err)
	}
	req, ok := msg.(*sip.Request)
	if !ok {
		return nil, fmt.Errorf("%w: it is no request", report.ErrQuestion)
	}
	req.SetTransport(message.ViaTransport(x.transport))
	req.SetSource(x.sender().Addr.String())
	return req, nil
}

// findTrunk finds the trunk as for a real call, by address, certificate and match.
// Credentials are taken to be right. nil: the call belongs to no trunk, and is refused.
func (x *explainer) findTrunk(req *sip.Request) (*peers.Trunk, error) {
	from := x.sender()
	all := x.server.admission.Peers.Load()
	fit := all.Candidates(req, from)
	if len(fit) == 0 {
		if all.Standing(from).Known {
			x.refuse(403, message.StatusText(403), "the address belongs to a trunk, but the call does not meet its match")
		} else {
			x.refuse(0, "", fmt.Sprintf("the address %v is in no trunk's sources, and the call does not meet the match of a trunk without sources", x.out.Source))
		}
		return nil, nil
	}
	asked, other := peers.Contenders(fit, from)
	switch {
	case x.trunk == nil && len(asked) > 0:
		return asked[0], nil
	case x.trunk == nil:
		return other, nil
	case x.trunk == other || slices.Contains(asked, x.trunk):
		return x.trunk, nil
	default:
		return nil, fmt.Errorf("%w: such a call from %v belongs to %s, not to %s",
			report.ErrQuestion, from.Addr.Addr(), fit[0].KindAndName(), x.trunk.KindAndName())
	}
}

func trunkNames(all []*peers.Trunk) string {
	names := make([]string, 0, len(all))
	for _, t := range all {
		names = append(names, t.Caller.Name)
	}
	return strings.Join(names, ", ")
}

// Addresses that stand for unknown ones (RFC 5737, RFC 3849).
var (
	sampleV4 = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	sampleV6 = netip.MustParseAddr("2001:db8::1")
)

// sampleStreamPort stands for the port of a connection that was not opened.
const sampleStreamPort = 49152

// sample is a made-up address of the family that we listen in.
func (x *explainer) sample() netip.Addr {
	if l := x.server.cfg.SIP.Listen; len(l) > 0 && l[0].AddrPort.Addr().Is6() {
		return sampleV6
	}
	return sampleV4
}

// source is where the call would come from.
func (x *explainer) source() netip.Addr {
	if x.q.Source.IsValid() {
		return x.q.Source
	}
	if x.trunk != nil && len(x.trunk.Caller.Sources) > 0 {
		p := x.trunk.Caller.Sources[0]
		if p.Bits() < p.Addr().BitLen()-1 {
			return p.Addr().Next() // the first is the network's own
		}
		return p.Addr()
	}
	return x.sample()
}

// register takes the trunk for registered if nothing else says where its calls come from.
func (x *explainer) register() {
	if x.trunk == nil || x.trunk.Caller.Register == nil || len(x.trunk.Caller.Sources) > 0 || x.q.Source.IsValid() {
		return
	}
	x.server.admission.Registered(x.trunk.Caller.Name, "", x.out.Source)
	x.note("trunk %s is taken to be registered: %v stands for its registrar", x.trunk.Caller.Name, x.out.Source)
}

// local is our own address toward a peer.
func (x *explainer) local(transport string, peer netip.Addr) leg.Local {
	l, err := x.server.stack.LocalFor(transport, peer)
	if err != nil {
		x.note("our address toward %v is not known (%v): this-host.invalid stands for it", peer, err)
		l = leg.Local{Transport: transport, Host: "this-host.invalid", Port: 5060}
	}
	if l.Port == 0 {
		x.note("the connection's own port is not known: %d stands for it", sampleStreamPort)
		l.Port = sampleStreamPort
	}
	return l
}

// call follows the path of a call up to the INVITEs.
func (x *explainer) call(c *Call) error {
	o := &x.out
	o.From, o.To, o.Diversion = report.Party(c.vars.From), report.Party(c.vars.To), c.vars.Diversion
	if c.trunk.Caller.Identity != nil && !x.identity(c) {
		return nil
	}
	index := c.peers.FirstRoute(&c.vars, c.times.started)
	x.routes(c, index)
	if index < 0 {
		x.refuse(404, message.StatusText(404), "no route matches")
		return nil
	}
	c.takeRoute(index)
	o.Row = c.vars.Row
	o.Direction, o.Lead = c.vars.Direction, c.vars.Lead().Number
	o.Route, o.Ringing, o.Otherwise = c.vars.Route, c.route.Ringing, c.route.Otherwise
	o.Ringback, o.Hold, o.Record, o.MaskDTMF = c.route.Ringback, c.route.Hold, string(c.route.Record), string(c.route.MaskDTMF)
	o.FailoverOn, o.SetupTimeoutMS = c.route.FailoverOn, c.route.SetupTimeout.Milliseconds()
	var err error
	if c.agreement.Offer, err = sdp.Parse(message.SDPBody(c.invite)); err != nil {
		return err
	}
	x.note("tags, branches, Call-ID and the o= line are new for each call")
	x.note("the SDP is that of a caller who offers every codec of every target; port %d stands for the leased one", x.server.cfg.Media.PortLow)
	if q := c.route.Queue; q != nil {
		x.note("while every target is full, up to %d callers wait for up to %v; others get %d", q.Limit, q.Timeout, q.Status)
	}
	targets, share := c.peers.DestinationsFor(c.route, &c.vars)
	if share > 0 {
		o.Split = &report.Share{Target: targets[0].Dial.Name, Weight: share, Of: c.route.Total()}
	}
	for _, t := range c.peers.Destinations(c.route, &c.vars) {
		if !slices.Contains(targets, t) {
			x.note("target %s is left out: "+noPhoneNumber, t.Dial.Name, c.vars.Agent().Number)
		}
	}
	for i, t := range targets {
		c.attempts.current = &attempt{number: i + 1, plan: &c.plan, target: t, started: time.Now(), cancel: func() {}}
		o.Targets = append(o.Targets, x.attempt(c))
	}
	return nil
}
