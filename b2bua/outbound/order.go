package outbound

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// HeaderLine is a header that the request for a transfer sets.
type HeaderLine = message.HeaderLine

// Order is the destination of a transfer that an operator or a tool asks for.
type Order struct {
	// A number, a host, user@host, or a URI that the agent's lists permit; with Named, a target's name is allowed as
	// well.
	To      string
	Named   bool
	Trunk   string // the trunk that the number is called over; empty means to decide as for a REFER
	Headers []HeaderLine
}

// Ordered is To for a transfer that an operator or a tool asks for. It also returns headers for the call. The error
// is a *PlaceError.
func (t *Transfer) Ordered(o Order) (d Destination, headers []HeaderLine, err error) {
	t.Agent = t.lastTarget()
	target, callee := t.Peers.Targets[o.To], t.Peers.Callees[o.Trunk]
	if !o.Named || o.Trunk != "" {
		target = nil
	}
	to, err := o.read(target != nil)
	switch {
	case err != nil:
		return d, nil, err
	case target != nil && peers.Dialable(target, &t.Vars):
		return Destination{Party: t.Vars.To, Targets: []*peers.Target{target}}, to.Headers, nil
	case target != nil:
		return d, nil, refused(http.StatusNotFound,
			"the uri of target "+strconv.Quote(o.To)+" has no number to call in this call", "name another target")
	case o.Trunk != "" && callee == nil:
		return d, nil, refused(http.StatusBadRequest, "there is no trunk "+strconv.Quote(o.Trunk)+" that can be called",
			"name one of trunks that has uri or registrar")
	}
	d, code, err := t.To(to)
	switch {
	case err != nil && (code != http.StatusNotFound || o.Trunk == ""):
		return d, nil, t.refusedOrder(&o, code, err)
	case o.Trunk != "":
		vars := t.Vars
		vars.To, vars.From = d.Party, CallingParty(vars)
		d.Route, d.FailoverOn = "", nil
		d.Targets = peers.DialableOf([]*peers.Target{callee}, &vars, t.Agent.TransferNumbers...)
	}
	if o.Trunk != "" && (d.Party.Number == "" || len(d.Targets) == 0 && !config.IsDialString(d.Party.Number)) {
		return d, nil, refused(http.StatusBadRequest, fmt.Sprintf("trunks call numbers, and to is none: %q", o.To),
			"leave trunk out")
	}
	if len(d.Targets) == 0 {
		return d, nil, t.refusedOrder(&o, http.StatusNotFound, errNoWay)
	}
	return d, to.Headers, nil
}

// lastTarget returns the target of the configuration that answered the call last. If the call is now at a trunk, or
// at a host from a REFER, that target's lists still decide, because trunks and such hosts have none.
func (t *Transfer) lastTarget() *peers.Dial {
	for _, a := range slices.Backward(t.Tried) {
		if last := t.Peers.Targets[a.Target]; last != nil && a.SIPStatus == 200 && a.Cause == "" {
			return last.Dial
		}
	}
	return t.Agent
}

// read parses the destination and the headers of an order. target says that the destination is the name of a
// target, which is not parsed.
func (o *Order) read(target bool) (r message.Referral, err error) {
	to := o.To
	if target {
		to = "target"
	}
	if r, err = message.Referred(to, nil); err != nil {
		return r, refused(http.StatusBadRequest, fmt.Sprintf("to is no number, host or SIP URI that can be called: %q", o.To),
			"write it like +15075785100, pbx.example.com or sip:4711@pbx.example.com")
	}
	dropped := r.Dropped
	const remedy = "send User-to-User, Subject, Replaces, and names that begin with X-, but not X-EI, each with a value of one line"
	if len(o.Headers) > 0 {
		if r, err = message.Referred(to, o.Headers); err != nil {
			return r, refused(http.StatusBadRequest,
				"headers: "+strings.TrimPrefix(err.Error(), message.ErrReferTo.Error()+": "), remedy)
		}
		dropped = append(dropped, r.Dropped...)
	}
	if len(dropped) > 0 {
		return r, refused(http.StatusBadRequest, "not a header that a transfer can set: "+strconv.Quote(dropped[0]), remedy)
	}
	return r, nil
}

// refusedOrder returns the error for an order without a permitted destination.
func (t *Transfer) refusedOrder(o *Order, code int, err error) error {
	remedy := "see transfer_numbers and transfer_hosts of target " + t.Agent.Name
	switch {
	case code == http.StatusNotFound && o.Trunk != "":
		remedy = "see uri of trunk " + o.Trunk
	case code == http.StatusNotFound:
		remedy = "write a route with target: " + t.Agent.Name + " whose to matches it, or name a trunk"
	case errors.Is(err, errReplacesUs):
		code, remedy = http.StatusBadRequest, "leave Replaces out, or name a host"
	case errors.Is(err, message.ErrReferScheme):
		return refused(http.StatusBadRequest, "sips can't be called", "write sip")
	case o.Named:
		remedy += ", or name one of targets"
	}
	return refused(code, err.Error(), remedy)
}
