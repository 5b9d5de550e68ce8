package reach

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registrar"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/internal/coroutine"
	"flowbridge/store/record"
)

// ErrNotRegistered means that no Contact is registered with us for a trunk that this node can call.
var ErrNotRegistered = errors.New(
	"nothing is registered for the trunk: is the phone on, and does it use this trunk's auth? see GET /api/registrations")

// elsewhere means that a Contact can only be called by another node.
type elsewhere string

func (e elsewhere) Error() string { return string(e) }

// Is makes elsewhere match ErrNotRegistered.
func (elsewhere) Is(target error) bool { return target == ErrNotRegistered }

// contacts holds the Contacts that are registered with us for a trunk, in the order in which they are tried: by q,
// one after the other (RFC 3261 section 16.6).
type contacts struct {
	by       *registrar.Registrar
	holder   string
	user     string           // user part of the URI to call; empty means the Contact's
	bindings []record.Binding // bindings not tried yet
	asked    bool             // the other nodes were asked for their bindings
	Node     string           // node of the fleet at which the current Contact is registered; empty means this node
}

func contactsOf(by *registrar.Registrar, t *peers.Dial, user string) contacts {
	holder := "trunk " + t.Name
	return contacts{by: by, holder: holder, user: user, bindings: by.Of(holder, time.Now())}
}

// askOthers gets the Contacts at other nodes if none at this node can be called. It waits for a twentieth of the
// trunk's time for the first answer, 200 ms by default.
func (r *Reached) askOthers(ctx context.Context, t *peers.Dial) {
	if r.asked || len(r.bindings) > 0 || r.hop.Addr.IsValid() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, t.FirstResponseTimeout/20)
	defer cancel()
	coroutine.Leave(ctx)
	all, err := r.by.Elsewhere(ctx, r.holder)
	r.asked, r.bindings = true, all
	if err != nil {
		r.Err = elsewhere("nothing is registered here for the trunk, and other nodes are not known: " + err.Error())
	}
}

// nextContact goes on to the next Contact that can be reached.
func (r *Reached) nextContact(ctx context.Context, t *peers.Target, stack *transport.Stack) {
	r.Cause, r.Err = cause.TargetUnreachable, ErrNotRegistered
	for r.askOthers(ctx, t.Dial); len(r.bindings) > 0; r.askOthers(ctx, t.Dial) {
		b := r.bindings[0]
		r.bindings = r.bindings[1:]
		flow, dest, err := wayTo(ctx, &b, t.Dial, stack)
		if err != nil {
			r.Err = err
			if b.Node != "" {
				r.Tried = append(r.Tried, b.Transport+"://"+b.Received.String()+" registered at node "+b.Node)
			} else if errors.Is(err, transport.ErrFlowGone) {
				r.by.Drop(r.holder, b)
			}
			if ctx.Err() != nil { // the caller has given up
				return
			}
			continue
		}
		r.URI, r.Flow, r.Dest, r.Route = message.AsRequestURI(message.ParseURI(b.Contact)), flow, dest, b.Path
		r.hop, r.Node = locate.Hop{Transport: b.Transport, Addr: dest}, b.Node
		if r.user != "" {
			r.URI.User = r.user
		}
		r.Cause, r.Err = cause.None, nil
		return
	}
}

// wayTo returns the way to a Contact. A Contact at another node can be called from here over UDP if it names the
// address that it came from, and so is not behind a NAT; over TCP and TLS only through a proxy in front of it.
func wayTo(ctx context.Context, b *record.Binding, t *peers.Dial, stack *transport.Stack,
) (*transport.Stream, netip.AddrPort, error) {
	by := transport.Registered{Transport: b.Transport, From: b.Received, Flow: b.Flow, Path: b.Path}
	only := func(how string) error {
		return elsewhere("registered at node " + b.Node + " " + how + ", reachable only from there")
	}
	nat := t.NAT == config.NATOn && len(b.Path) == 0 || nameOf(b) != b.Received
	if b.Node != "" && nat && !message.IsStream(b.Transport) {
		return nil, b.Received, only("from behind a NAT")
	}
	flow, dest, err := stack.WayBack(ctx, &by, t.TLS)
	if b.Node != "" && errors.Is(err, transport.ErrFlowGone) {
		err = only("over " + strings.ToUpper(b.Transport))
	}
	return flow, dest, err
}

// nameOf returns the address by which the first hop to a Contact calls itself, or the zero value if it names none.
func nameOf(b *record.Binding) netip.AddrPort {
	uri := message.ParseURI(b.Contact)
	if len(b.Path) > 0 {
		uri = message.ParseURI(message.AddrSpec(b.Path[0]))
	}
	addr, _ := netip.ParseAddr(message.TrimBrackets(uri.Host)) // otherwise it is invalid
	return netip.AddrPortFrom(addr.Unmap(), cmp.Or(uint16(uri.Port), message.DefaultPort(b.Transport)))
}

// contactFailed notes that the current Contact did not take the call, and reports whether to try the next Contact.
func (r *Reached) contactFailed(t *peers.Dial, how string) bool {
	if len(r.bindings) == 0 || time.Since(r.since) >= t.RingTimeout {
		return false
	}
	r.addFailed(how)
	return true
}

// RingTimeout returns how long the current address may ring. All Contacts together may ring for the trunk's
// ring_timeout.
func (r *Reached) RingTimeout(t *peers.Dial) time.Duration {
	if !t.Registered {
		return t.RingTimeout
	}
	return max(t.RingTimeout-time.Since(r.since), t.FirstResponseTimeout)
}
