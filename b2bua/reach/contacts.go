package reach

import (
	"context"
	"errors"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registrar"
	"flowbridge/b2bua/transport"
	"flowbridge/store/record"
)

// ErrNotRegistered means that a trunk that registers here has no Contact.
var ErrNotRegistered = errors.New(
	"nothing is registered for the trunk: is the phone on, and does it use this trunk's auth? see GET /api/registrations")

// contacts are the Contacts of a trunk that registers here, in the order of their turns: by q, one after the other (RFC
// 3261 section 16.6).
type contacts struct {
	by       *registrar.Registrar
	holder   string
	user     string           // of the URI; empty: that of the Contact
	bindings []record.Binding // that had no turn yet
}

func contactsOf(by *registrar.Registrar, t *peers.Dial, user string) contacts {
	holder := "trunk " + t.Name
	return contacts{by, holder, user, by.Of(holder, time.Now())}
}

// nextContact goes on to the next Contact that can be reached.
func (r *Reached) nextContact(ctx context.Context, t *peers.Target, stack *transport.Stack) {
	r.Cause, r.Err = cause.TargetUnreachable, ErrNotRegistered
	for len(r.bindings) > 0 {
		b := r.bindings[0]
		r.bindings = r.bindings[1:]
		by := transport.Registered{Transport: b.Transport, From: b.Received, Flow: b.Flow, Path: b.Path}
		flow, dest, err := stack.WayBack(ctx, &by, t.Dial.TLS)
		if err != nil {
			r.Err = err
			if errors.Is(err, transport.ErrFlowGone) {
				r.by.Drop(r.holder, b)
			}
			if ctx.Err() != nil { // the caller has given up
				return
			}
			continue
		}
		r.URI, r.Flow, r.Dest, r.Route = message.AsRequestURI(message.ParseURI(b.Contact)), flow, dest, b.Path
		r.hop = locate.Hop{Transport: b.Transport, Addr: dest}
		if r.user != "" {
			r.URI.User = r.user
		}
		r.Cause, r.Err = cause.None, nil
		return
	}
}

// contactFailed notes that the present Contact did not take the call, and says whether the next one has its turn.
func (r *Reached) contactFailed(t *peers.Dial, how string) bool {
	if len(r.bindings) == 0 || time.Since(r.since) >= t.RingTimeout {
		return false
	}
	r.note(how)
	return true
}

// RingTimeout is how long the present address may ring: all Contacts together have the trunk's time.
func (r *Reached) RingTimeout(t *peers.Dial) time.Duration {
	if !t.Registered {
		return t.RingTimeout
	}
	return max(t.RingTimeout-time.Since(r.since), t.FirstResponseTimeout)
}
