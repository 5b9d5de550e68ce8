package bridge

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
)

// This file passes requests within an established call from one side to the other: INFO, and NOTIFY about a REFER
// that was passed on.

// relayed is a request of one side that was passed to the other.
type relayed struct {
	from   *Half // the leg that sent the request; nil if we sent it ourselves, as for a key
	to     *Half
	method sip.RequestMethod
	seq    uint32
	done   func(leg.Replied) // called with the answer before it is passed back; may be nil
}

// Relays tracks the requests that were passed from one side to the other, until they are answered.
type Relays struct {
	idle
	requests map[int]relayed // unanswered requests by leg.Send.Ref
	last     int             // the Ref of the latest request
	Watcher  *Half           // the agent that gets the NOTIFYs for its REFER from the caller's side; nil if none
}

func (r *Relays) save(k *snapshot.Sheet) {
	k.Bridge.Relays.Watched = r.Watcher != nil && r.Watcher == r.bridge.Call.Connected()
}

func (r *Relays) restore(k *snapshot.Bridge) {
	if k.Relays.Watched {
		r.Watcher = r.bridge.Call.Connected()
	}
}

func (r *Relays) busy() error {
	if len(r.requests) > 0 {
		return ErrRequest
	}
	return nil
}

func (r *Relays) end() { r.requests = nil }

// on answers with 480 the requests that were passed to a leg that now leaves the call.
func (r *Relays) on(e Event) (handled bool) { //nolint:unparam // as part demands
	leaves, is := e.(Left)
	if !is {
		return false
	}
	for ref, waits := range r.requests {
		if waits.to != leaves.Leg {
			continue
		}
		if delete(r.requests, ref); waits.from != nil {
			waits.from.Step(leg.Reply{Method: waits.method, Seq: waits.seq, Code: 480, Reason: message.StatusText(480)})
		}
	}
	return false
}

// alwaysPassed returns the headers that are passed on without configuration, because they describe the body or the
// request.
func alwaysPassed() []config.Pass {
	return config.PassNamed("Content-Disposition", "Content-Encoding", "Info-Package", "Recv-Info", "Event",
		"Subscription-State", "Accept", "Retry-After")
}

// asked passes on an INFO, or a NOTIFY that reports about a REFER.
func (r *Relays) asked(from *Half, req *sip.Request) (handled bool) {
	handled = r.isReport(from, req) || req.Method == sip.INFO
	if handled {
		r.Relay(from, req, contentOf(req), nil)
	}
	return handled
}

// Relay passes a request with this content to the other side, or answers it with 480 if there is no other side.
// done is called with the answer unless it is nil.
func (r *Relays) Relay(from *Half, req *sip.Request, content leg.Content, done func(leg.Replied)) {
	b := r.bridge
	to := b.Other(from)
	if to == nil {
		b.Reply(from, req, 480)
		return
	}
	ref := r.add(relayed{from: from, to: to, method: req.Method, seq: req.CSeq().SeqNo, done: done})
	content.Headers = append(content.Headers, b.PassedTo(to, req.Headers())...)
	to.Step(leg.Send{Ref: ref, Method: req.Method, Content: content})
}

// Refer passes an agent's REFER to the caller's side, which carries out the transfer. The agent gets the NOTIFYs
// about it. answered is called when the REFER is answered.
func (r *Relays) Refer(from *Half, req *sip.Request, to, by string, answered func()) {
	content := leg.Content{Headers: []sip.Header{sip.NewHeader("Refer-To", to), sip.NewHeader("Referred-By", by)}}
	if !message.WantsReport(req) {
		content.Headers = append(content.Headers, sip.NewHeader("Refer-Sub", "false"))
	}
	r.bridge.Log.Info().Str("to", to).Msg("transfer relayed")
	r.bridge.Ladder.Decide("the agent's transfer to %s is passed to the caller's side", to)
	r.Watcher = from // a NOTIFY may come before the answer to the REFER (RFC 6665 section 4.1.2.4)
	r.Relay(from, req, content, func(f leg.Replied) {
		if f.Code >= 300 {
			r.Watcher = nil
		}
		answered()
	})
}

// add stores a request that waits for its answer, and returns its Ref.
func (r *Relays) add(request relayed) (ref int) {
	if r.requests == nil {
		r.requests = map[int]relayed{}
	}
	r.last++
	r.requests[r.last] = request
	return r.last
}

// Replied passes back the answer to a request that was passed on. It reports whether the answer belongs to a
// request in r.
func (r *Relays) Replied(f leg.Replied) bool {
	waits, ok := r.requests[f.Ref]
	if !ok {
		return false
	}
	delete(r.requests, f.Ref)
	if waits.done != nil {
		waits.done(f)
	}
	if waits.from == nil {
		return true
	}
	content := leg.Content{ContentType: f.ContentType, Body: f.Body, Headers: alwaysOf(f.Headers)}
	content.Headers = append(content.Headers, r.bridge.PassedTo(waits.from, f.Headers)...)
	waits.from.Step(leg.Reply{Method: waits.method, Seq: waits.seq, Code: f.Code, Reason: f.Reason, Content: content})
	return true
}

// contentOf returns a request's body and the headers that are always passed on.
func contentOf(req *sip.Request) leg.Content {
	content := leg.Content{Headers: alwaysOf(req.Headers())}
	if ct := req.ContentType(); ct != nil && len(req.Body()) > 0 {
		content.ContentType, content.Body = ct.Value(), req.Body()
	}
	return content
}

func alwaysOf(headers []sip.Header) []sip.Header {
	out, _ := outbound.Passed(headers, alwaysPassed())
	return out
}

// PassedTo returns the headers of one side's message that the configuration passes to the
// other side.
func (b *Bridge) PassedTo(to *Half, headers []sip.Header) []sip.Header {
	list := slices.DeleteFunc(slices.Clone(to.Peer.PassHeaders), func(p config.Pass) bool {
		return slices.ContainsFunc(alwaysPassed(),
			func(always config.Pass) bool { return strings.EqualFold(always.To, p.To) })
	})
	if len(list) == 0 {
		return nil
	}
	in := outbound.Inbound{Trusted: b.Trunk.Caller.Trusted, Privacy: b.Privacy}
	reveals := func(h sip.Header) bool { return to.Side != media.SideA && in.Reveals(h.Name(), []string{h.Value()}) }
	if slices.ContainsFunc(headers, reveals) {
		headers = slices.DeleteFunc(slices.Clone(headers), reveals)
	}
	out, _ := outbound.Passed(headers, list)
	// we add our own Reason to a BYE
	return slices.DeleteFunc(out, func(h sip.Header) bool { return strings.EqualFold(h.Name(), "Reason") || reveals(h) })
}

// isReport reports whether a request is a NOTIFY from the caller's side about a REFER, and the agent that sent the
// REFER is still connected.
func (r *Relays) isReport(from *Half, req *sip.Request) bool {
	event, _, _ := message.CutByte(message.FirstHeader(req, "event"), ';')
	return req.Method == sip.NOTIFY && from.Side == media.SideA && r.Watcher != nil &&
		r.Watcher == r.bridge.Call.Connected() &&
		message.EqualFold(message.Trim(event), "refer")
}
