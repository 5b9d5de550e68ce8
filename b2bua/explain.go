package b2bua

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/report"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/stir"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/store/record"
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
	from, err := q.Caller(cfg, s.admission.Peers.Load(), s.stack.Listeners())
	if err != nil {
		return report.Explanation{}, err
	}
	x := explainer{server: s, from: from, out: report.Explanation{At: q.At, Source: from.Source}}
	x.register(&q)
	sender := from.Sender()
	text, err := q.Invite(cfg, from.Transport, sender.Addr, report.SampleAddr(cfg))
	if err != nil {
		return report.Explanation{}, err
	}
	if x.screened(text) {
		return x.out, nil
	}
	req, err := from.Read(text)
	if err != nil {
		return report.Explanation{}, err
	}
	if problem := message.Malformed(req); problem != "" {
		x.out.Refuse(400, problem, "")
		return x.out, nil
	}
	t, err := from.TrunkOf(req, s.admission.Peers.Load(), &x.out)
	if err != nil || t == nil {
		return x.out, err
	}
	x.out.Trunk, x.out.Target = t.TrunkName(), t.TargetName()
	x.out.MaxCalls, x.out.MaxCPS, x.out.MaxDurationMS = t.Caller.MaxCalls, t.Caller.MaxCPS,
		t.Caller.MaxDuration.Milliseconds()
	x.out.Limits = report.Limits(t.Caller.Limits)
	x.out.Reserved.Setups, x.out.Reserved.Calls = s.admission.Reserved(t)
	if code, reason, _ := leg.Refusal(req, t.Options(s.admission.Peers.Load())); code != 0 {
		x.out.Refuse(code, reason, "")
		return x.out, nil
	}
	x.out.Local(x.server.stack, from.Transport, sender.Addr.Addr()) // the caller's leg needs an address, too
	c := s.newCall(record.NewID(), q.At, req, s.admission.Peers.Load(), t, sender.Addr)
	return x.out, x.call(c)
}

// explainer is one run of Explain.
type explainer struct {
	server *Server
	from   report.Caller
	out    report.Explanation
}

// screened says whether the screen would refuse the call before it is parsed.
// Capacity is taken for granted.
func (x *explainer) screened(text []byte) bool {
	if who := x.server.admission.Peers.Load().Standing(x.from.Sender()); !who.Known && !who.Open {
		x.out.Refuse(0, "", fmt.Sprintf("the address %v is in no trunk's sources", x.out.Source))
		return true
	}
	msg, ok := message.Scan(text)
	if !ok {
		x.out.Refuse(0, "", "it is not SIP")
		return true
	}
	status := x.server.stack.Objection(msg, len(text))
	if status == "" {
		return false
	}
	code, reason, _ := strings.Cut(status, " ")
	n, _ := message.Decimal(code, 699)
	x.out.Refuse(n, reason, "")
	return true
}

// register takes the trunk for registered if nothing else says where its calls come from.
func (x *explainer) register(q *report.Question) {
	if x.from.Trunk == nil || x.from.Trunk.Caller.Register == nil || len(x.from.Trunk.Caller.Sources) > 0 ||
		q.Source.IsValid() {
		return
	}
	x.server.admission.Registered(x.from.Trunk.Caller.Name, "", x.out.Source)
	x.out.Note("trunk %s is taken to be registered: %v stands for its registrar", x.from.Trunk.Caller.Name, x.out.Source)
}

// call follows the path of a call up to the INVITEs.
func (x *explainer) call(c *Call) error {
	o := &x.out
	o.From, o.To, o.Diversion = report.Party(c.vars.From), report.Party(c.vars.To), c.vars.Diversion
	if c.trunk.Caller.Identity != nil && !x.identity(c) {
		return nil
	}
	index := c.peers.FirstRoute(&c.vars, c.times.started)
	o.Before(index, c.peers, &c.vars, c.times.started)
	if index < 0 {
		x.out.Refuse(404, message.StatusText(404), "no route matches")
		return nil
	}
	c.takeRoute(index)
	o.Row = c.vars.Row
	o.Direction, o.Lead = c.vars.Direction, c.vars.Lead().Number
	o.Route, o.Ringing, o.Otherwise = c.vars.Route, c.route.Ringing, c.route.Otherwise
	o.Ringback, o.Hold, o.Record, o.MaskDTMF = c.route.Ringback, c.route.Hold, string(c.route.Record),
		string(c.route.MaskDTMF)
	o.FailoverOn, o.SetupTimeoutMS = c.route.FailoverOn, c.route.SetupTimeout.Milliseconds()
	var err error
	if c.bridge.Agreement.Offer, err = sdp.Parse(message.SDPBody(c.invite)); err != nil {
		return err
	}
	x.out.Note("tags, branches, Call-ID and the o= line are new for each call")
	x.out.Note("the SDP is that of a caller who offers every codec of every target; port %d stands for the leased one",
		x.server.cfg.Media.PortLow)
	if q := c.route.Queue; q != nil {
		x.out.Note("while every target is full, up to %d callers wait for up to %v; others get %d", q.Limit,
			q.Timeout, queueFull)
	}
	targets, share := c.peers.DestinationsFor(c.route, &c.vars)
	if share > 0 {
		o.Split = &report.Share{Target: targets[0].Dial.Name, Weight: share, Of: c.route.Total()}
	}
	for _, t := range c.peers.Destinations(c.route, &c.vars) {
		if !slices.Contains(targets, t) {
			x.out.Note("target %s is left out: %s", t.Dial.Name, report.NoPhoneNumber(c.vars.Agent().Number))
		}
	}
	for i, t := range targets {
		c.attempts.current = &attempt{number: i + 1, plan: &c.plan, target: t, started: time.Now(), cancel: func() {}}
		o.Targets = append(o.Targets, x.attempt(c))
	}
	return nil
}

// identity foresees the verification as far as that goes without a certificate. False: it
// has the call refused.
func (x *explainer) identity(c *Call) bool {
	policy, request := c.identityOf()
	out, url := stir.Foresee(policy, request)
	x.out.Identity = &report.Identity{
		Verstat: out.Verstat, Attest: out.Attest, OrigID: out.OrigID, Result: out.String(),
		Certificate: url, Refuse: c.trunk.Caller.Identity.Refuse,
	}
	c.vars.Verified = &template.IdentityVars{Verstat: out.Verstat, Attest: out.Attest, OrigID: out.OrigID}
	if url != "" {
		x.out.Note("the certificate at %s is not fetched, and the signature is taken to be right", url)
	}
	if out.Status == 0 || !slices.Contains(c.trunk.Caller.Identity.Refuse, out.Status) {
		return true
	}
	x.out.Refuse(out.Status, stir.ReasonPhrase(out.Status), out.Err.Error())
	return false
}
