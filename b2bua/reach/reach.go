package reach

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registrar"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/config/template"
)

// Reached holds the results of preparing an attempt. If Cause is None, the attempt can be dialled.
type Reached struct {
	outbound.Requested
	Dest  netip.AddrPort
	Flow  *transport.Stream // the connection to dial over; nil for UDP
	Route []string          // the proxies on the way
	// Unprepared is the reason why the target is dialled without the platform's answer (on_failure: dial). It is nil if
	// there is an answer, or none is needed.
	Unprepared error

	via  sip.Uri      // URI of the next hop: the Request-URI, or a proxy's
	hop  locate.Hop   // the hop that Dest is the address of
	more []locate.Hop // hops to try if this one fails
	left int          // how many more addresses this attempt may try
	// Tried lists the addresses that failed, each with the reason.
	Tried []string
	since time.Time // when the first address was tried
	contacts
}

// nextHop returns the URI of the next hop for a request to a target, and the Route header's values. The next hop is the
// Request-URI, or the proxy in front of it (RFC 3261 section 8.1.2).
func nextHop(t *peers.Dial, uri sip.Uri) (via sip.Uri, route []string) {
	if t.Proxy == "" {
		return uri, nil
	}
	return message.ParseURI("sip:" + t.Proxy), []string{"<sip:" + t.Proxy + ";lr>"}
}

// Begin prepares an attempt. by has the Contacts that are registered with us.
func Begin(ctx context.Context, t *peers.Target, vars template.Vars, stack *transport.Stack,
	by *registrar.Registrar,
) *Reached {
	r := &Reached{Requested: outbound.Request(ctx, t, vars), since: time.Now()}
	if r.Cause != cause.None {
		return r
	}
	r.Unprepared, r.Err = r.Err, nil
	if t.Dial.Registered {
		r.contacts = contactsOf(by, t.Dial, r.URI.User)
		r.nextContact(ctx, t, stack)
		return r
	}
	r.via, r.Route = nextHop(t.Dial, r.URI)
	r.left = maxAddresses
	hops, err := stack.Locate(ctx, t.Dial.Name, queryOf(t.Dial, &r.via))
	if err != nil {
		r.Cause, r.Err = cause.DNSFailed, err
		return r
	}
	r.more = hops
	r.Next(ctx, t, stack)
	return r
}

// maxAddresses bounds the addresses that one attempt tries. leastTurn is the shortest time that an address gets for its
// first response: enough for two retransmissions over UDP.
const (
	maxAddresses = 8
	minTurn      = 1500 * time.Millisecond
)

// Next goes on to the next address or Contact that can be reached, while the target's time for its first response is
// not over. If there is none, Cause and Err are those of the last failure.
func (r *Reached) Next(ctx context.Context, t *peers.Target, stack *transport.Stack) {
	if t.Dial.Registered {
		r.nextContact(ctx, t, stack)
		return
	}
	for len(r.more) > 0 && r.left > 0 {
		r.hop, r.more = r.more[0], r.more[1:]
		r.left--
		r.Dest, r.Flow, r.Cause, r.Err = r.hop.Addr, nil, cause.None, nil
		if !message.IsStream(r.hop.Transport) {
			return
		}
		var err error
		if r.Flow, err = r.connect(ctx, t.Dial, stack); err == nil {
			return
		}
		r.Flow, r.Cause, r.Err = nil, transport.CauseOf(err), err
		if ctx.Err() != nil {
			return
		}
		stack.Names().Failed(r.hop, string(r.Cause), 0)
		if len(r.more) == 0 || time.Since(r.since) >= t.Dial.FirstResponseTimeout {
			return
		}
		r.addFailed(string(r.Cause))
	}
}

// connect connects to the current address, within the time that the address has (Turn).
func (r *Reached) connect(ctx context.Context, t *peers.Dial, stack *transport.Stack) (*transport.Stream, error) {
	turn := r.Turn(t)
	if turn >= transport.ConnectTimeout { // the error of ConnectTimeout says more
		return stack.Connect(ctx, t.TLS, r.hop.Transport, r.via, r.Dest)
	}
	bounded, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	flow, err := stack.Connect(bounded, t.TLS, r.hop.Transport, r.via, r.Dest)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("connect to %v: no connection within %v", r.hop, turn)
	}
	return flow, err
}

// ReleaseAnswer releases the platform's answer, which may be large, unless an INVITE to another address may be made
// from it.
func (r *Reached) ReleaseAnswer() {
	if len(r.bindings) == 0 && (len(r.more) == 0 || r.left == 0) {
		r.Prepared.Body = nil
	}
}

// addFailed adds the current address to those that failed.
func (r *Reached) addFailed(how string) { r.Tried = append(r.Tried, r.hop.String()+" "+how) }

// Turn returns how long the current address may stay silent: its equal part of what is left of the target's time.
func (r *Reached) Turn(t *peers.Dial) time.Duration {
	if t.Registered { // a phone that does not ring must not shorten the time of one that does
		return t.FirstResponseTimeout
	}
	left := t.FirstResponseTimeout - time.Since(r.since)
	others := min(len(r.more), r.left)
	if others == 0 {
		if len(r.Tried) == 0 {
			return t.FirstResponseTimeout // as if it were the only address
		}
		return max(left, min(minTurn, t.FirstResponseTimeout))
	}
	return max(left/time.Duration(others+1), min(minTurn, t.FirstResponseTimeout))
}

// FailedAt notes that the current address has failed, and reports whether to try another address: after 503, silence
// and transport errors (RFC 3263 section 4.3), while the target's time for its first response is not over. For Contacts
// that are registered with us, the next Contact is also tried after 408, 480 and 5xx, while the time to ring is not
// over.
func (r *Reached) FailedAt(t *peers.Dial, stack *transport.Stack, f leg.Refused) bool {
	how := string(f.Cause)
	switch {
	case f.Code == 503:
		how = "503"
	case f.Code == 0 && (f.Cause == cause.TargetSilent || f.Cause == cause.TargetUnreachable ||
		f.Cause == cause.TLSFailed):
	case !t.Registered || f.Code != 408 && f.Code != 480 && (f.Code < 500 || f.Code > 599):
		return false
	default:
		how = strconv.Itoa(f.Code)
	}
	if t.Registered {
		return r.contactFailed(t, how)
	}
	if !r.hop.Addr.IsValid() {
		return false
	}
	stack.Names().Failed(r.hop, how, message.RetryAfter(f.Headers))
	if len(r.more) == 0 || r.left == 0 || time.Since(r.since) >= t.FirstResponseTimeout {
		return false
	}
	r.addFailed(how)
	return true
}

// Describe returns a description of the next destination, for the ladder.
func (r *Reached) Describe() string {
	if len(r.more) == 0 {
		return strings.Join(r.Tried[len(r.Tried)-1:], "") + "; its next Contact is tried"
	}
	return fmt.Sprintf("%s; its next address is %v", strings.Join(r.Tried[len(r.Tried)-1:], ""), r.more[0])
}

// Local returns our address toward the destination.
func (r *Reached) Local(stack *transport.Stack) (leg.Local, error) {
	if r.Flow != nil {
		return stack.LocalOver(r.Flow)
	}
	return stack.LocalFor(config.TransportUDP, r.Dest.Addr())
}
