package outbound

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
)

// Origination is a call that a request orders: first the customer is called over a trunk, then an agent.
type Origination struct {
	ID      string           // of the call; empty: a new one
	By      string           // who orders it, for the record
	To      string           // the customer's number
	From    string           // the number that the customer sees
	Trunk   string           // by its name
	Target  string           // the agent, by its name; empty: the route says who
	Headers []peers.Variable // of the INVITE that stands for a caller's: templates and pass_headers see them
	// AnswerWithin is how long the customer may take to answer. 0: ring_timeout of the trunk.
	AnswerWithin time.Duration
}

// PlaceError says why a call is not placed.
type PlaceError struct {
	Status          int // of HTTP
	Problem, Remedy string
}

func (e *PlaceError) Error() string { return e.Problem + "; " + e.Remedy }

func refused(status int, problem, remedy string) error { return &PlaceError{status, problem, remedy} }

// NotNow is a PlaceError for want of room.
func NotNow(why string) error { return refused(http.StatusServiceUnavailable, why, "try again later") }

// Placing is an origination that the configuration permits.
type Placing struct {
	Invite   *sip.Request // stands for a caller's
	Trunk    *peers.Trunk
	Customer *peers.Target   // the trunk, as it is called
	Route    int             // its index; -1: none, because the origination names the target
	Agents   []*peers.Target // that are tried, in order
	Share    int             // the weight of the first one, where the route's split has chosen it; else 0
	By       string          // who has ordered it
}

// The bounds of an origination.
const (
	maxOriginatedHeaders = 64
	maxOriginatedBytes   = 8 << 10
)

// Place checks an origination against a configuration at a time. Its error is a *PlaceError.
func (o *Origination) Place(p *peers.Snapshot, at time.Time) (Placing, error) {
	out := Placing{Route: -1, By: o.By}
	t, known := p.CallerNamed("trunk " + o.Trunk)
	switch out.Customer = p.Callees[o.Trunk]; {
	case !known:
		return out, refused(http.StatusBadRequest, "there is no trunk "+strconv.Quote(o.Trunk),
			"name one of trunks in trunk")
	case out.Customer == nil || t.Caller.Originate == nil:
		return out, refused(http.StatusForbidden, "the trunk "+strconv.Quote(o.Trunk)+" places no calls",
			"write originate: {numbers: […]} and uri in the trunk")
	}
	out.Trunk = t
	for _, n := range []struct{ key, number string }{{"to", o.To}, {"from", o.From}} {
		if !config.IsDialString(n.number) {
			return out, refused(http.StatusBadRequest, fmt.Sprintf("%s is not a number: %q", n.key, n.number),
				"write it like +15075785607")
		}
	}
	var err error
	if out.Invite, err = o.invite(); err != nil {
		return out, err
	}
	vars := template.Vars{
		To: CalledOf(out.Invite, t), From: CallerOf(out.Invite, t.Caller), Trunk: o.Trunk,
		Direction: template.DirectionOutbound, HeaderFunc: HeaderOf(out.Invite),
	}
	if !peers.Named(t.Caller.Originate.Numbers, vars.To.Number) {
		return out, refused(http.StatusForbidden,
			"the number "+vars.To.Number+" may not be called over the trunk "+strconv.Quote(o.Trunk),
			"add it to originate.numbers of the trunk")
	}
	if from := t.Caller.Originate.From; len(from) > 0 && !peers.Named(from, vars.From.Number) {
		return out, refused(http.StatusForbidden,
			"the trunk "+strconv.Quote(o.Trunk)+" may not call as the number "+vars.From.Number,
			"add it to originate.from of the trunk")
	}
	return out, o.route(p, &vars, at, &out)
}

// route finds the agents: the named target, or the targets of the first route with direction outbound that matches. If
// that route is outside of its hours, the call is forbidden.
func (o *Origination) route(p *peers.Snapshot, vars *template.Vars, at time.Time, out *Placing) error {
	if o.Target != "" {
		t := p.Targets[o.Target]
		if t == nil || !peers.Dialable(t, vars) {
			return refused(http.StatusBadRequest,
				"there is no target "+strconv.Quote(o.Target)+" that can be called for this number",
				"name one of targets in target")
		}
		out.Agents = []*peers.Target{t}
	}
	closed := -1
	for i := range p.Routes {
		r := &p.Routes[i]
		if r.Direction != template.DirectionOutbound || r.Target != "" {
			continue
		}
		if why := p.Mismatch(r, vars, at); why != "" {
			if why == "hours" && closed < 0 {
				closed = i
			}
			continue
		}
		if o.Target == "" {
			out.Agents, out.Share = p.DestinationsFor(r, vars)
		}
		if len(out.Agents) > 0 {
			out.Route = i
			return nil
		}
	}
	switch {
	case closed >= 0:
		return refused(http.StatusForbidden,
			"it is outside of the hours of the route "+strconv.Quote(p.RouteName(closed)),
			"call later")
	case o.Target == "":
		return refused(http.StatusBadRequest, "no route with direction: outbound takes the call",
			"name the agent in target, or write such a route for the trunk")
	}
	return nil
}

// Variables are the headers as variables, by name without X-. nil: there are none.
func (o *Origination) Variables() map[string]string {
	if len(o.Headers) == 0 {
		return nil
	}
	all := make(map[string]string, len(o.Headers))
	for _, h := range o.Headers {
		all[h.Name[len("X-"):]] = strings.TrimSpace(h.Value)
	}
	return all
}

var headerName = regexp.MustCompile("^[Xx]-[A-Za-z0-9.!%*_+`'~-]{1,60}$") // a token of RFC 3261 section 25.1

func errHeader(name string) error {
	return refused(http.StatusBadRequest, "not a variable or header that a call can have: "+strconv.Quote(name),
		"write a name of at most 60 letters, digits and .!%*_+`'~-, that of a header with X- before it, and a value of one line")
}

// invite makes the INVITE that stands for a caller's. It is never sent.
func (o *Origination) invite() (*sip.Request, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "INVITE sip:%[1]s@originate.invalid SIP/2.0\r\nVia: SIP/2.0/UDP originate.invalid;branch=z9hG4bK%[2]s\r\n"+
		"From: <sip:%[3]s@originate.invalid>;tag=%[2]s\r\nTo: <sip:%[1]s@originate.invalid>\r\nCall-ID: %[4]s\r\nCSeq: 1 INVITE\r\n",
		message.EscapeUser(o.To), "1", message.EscapeUser(o.From), message.NewCallID())
	begin := b.Len()
	for _, h := range o.Headers {
		if !headerName.MatchString(h.Name) || strings.ContainsFunc(h.Value, template.IsControl) {
			return nil, errHeader(h.Name)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, strings.TrimSpace(h.Value))
	}
	if len(o.Headers) > maxOriginatedHeaders || b.Len()-begin > maxOriginatedBytes {
		return nil, refused(http.StatusBadRequest,
			fmt.Sprintf("more than %d headers and variables, or %d bytes of them", maxOriginatedHeaders, maxOriginatedBytes),
			"leave some out")
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	msg, err := message.Parse([]byte(b.String()))
	req, is := msg.(*sip.Request)
	if err != nil || !is {
		return nil, refused(http.StatusBadRequest, fmt.Sprintf("no INVITE can be made of it: %v", err),
			"look at its headers")
	}
	return req, nil
}
