package b2bua

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// Requests within a call that is up, from one side to the other: INFO, and NOTIFY about
// a REFER that was passed on. DTMF in INFO is in call_digits.go, REFER in call_transfer.go.

// relayed is a request of one side that went to the other.
type relayed struct {
	from   *legOnWire
	to     *legOnWire
	method sip.RequestMethod
	seq    uint32
	done   func(leg.Replied) // besides; may be nil
}

// relays are the requests that were passed from one side to the other.
type relays struct {
	call    *Call
	open    map[int]relayed // without an answer, by Ref
	last    int             // Ref of the last one
	watcher *legOnWire      // the agent whose REFER the caller's side reports on; nil: none
}

// alwaysPassed are the headers of a request or answer that pass without
// configuration: they describe the body and the request.
func alwaysPassed() []config.Pass {
	return config.PassNamed("Content-Disposition", "Content-Encoding", "Info-Package", "Recv-Info", "Event", "Subscription-State", "Accept", "Retry-After")
}

// policy is the configuration of the call's platform, which is called or has placed
// the call.
func (c *Call) policy() *peers.Policy {
	if c.trunk.Platform != nil {
		return c.trunk.Platform
	}
	return &c.bridge.target.Dial.Policy
}

// asked answers a request within the dialog, or passes it to the other side.
func (r *relays) asked(from *legOnWire, req *sip.Request) {
	c := r.call
	switch {
	case c.masking.hidesKey(from, req):
		c.reply(from, req, 200)
	case req.Method == sip.REFER:
		c.transfers.asked(from, req)
	case req.Method == sip.INFO && c.takesDigit(from, req):
	case c.transfers.isReport(from, req), req.Method == sip.INFO:
		r.relay(from, req, contentOf(req), nil)
	default:
		c.reply(from, req, 405, from.leg.Allow())
	}
}

// relay sends a request to the other side. Without another side it is refused.
func (r *relays) relay(from *legOnWire, req *sip.Request, content leg.Content, done func(leg.Replied)) {
	c := r.call
	to := c.other(from)
	if to == nil {
		c.reply(from, req, 480)
		return
	}
	ref := r.add(relayed{from: from, to: to, method: req.Method, seq: req.CSeq().SeqNo, done: done})
	content.Headers = append(content.Headers, c.passedTo(to, req.Headers())...)
	c.step(to, leg.Send{Ref: ref, Method: req.Method, Content: content})
}

// add notes a request, and gives its Ref.
func (r *relays) add(request relayed) (ref int) {
	if r.open == nil {
		r.open = map[int]relayed{}
	}
	r.last++
	r.open[r.last] = request
	return r.last
}

// drop answers the requests that wait for a leg which has left the call.
func (r *relays) drop(to *legOnWire) {
	for ref, waits := range r.open {
		if waits.to == to {
			delete(r.open, ref)
			r.call.step(waits.from, leg.Reply{Method: waits.method, Seq: waits.seq, Code: 480, Reason: message.StatusText(480)})
		}
	}
}

// replied passes the answer to a request back.
func (r *relays) replied(f leg.Replied) {
	waits, ok := r.open[f.Ref]
	if !ok {
		r.call.onAnsweredAsk(f)
		return // the request was our own
	}
	delete(r.open, f.Ref)
	if waits.done != nil {
		waits.done(f)
	}
	content := leg.Content{ContentType: f.ContentType, Body: f.Body, Headers: alwaysOf(f.Headers)}
	content.Headers = append(content.Headers, r.call.passedTo(waits.from, f.Headers)...)
	r.call.step(waits.from, leg.Reply{Method: waits.method, Seq: waits.seq, Code: f.Code, Reason: f.Reason, Content: content})
}

// reply answers a request with a status of our own.
func (c *Call) reply(to *legOnWire, req *sip.Request, code int, headers ...sip.Header) {
	c.step(to, leg.Reply{
		Method: req.Method, Seq: req.CSeq().SeqNo, Code: code, Reason: message.StatusText(code), Content: leg.Content{Headers: headers},
	})
}

// contentOf is the part of a request that goes to the other side.
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

// passedTo picks the headers of one side's message that pass to the other by
// configuration.
func (c *Call) passedTo(to *legOnWire, headers []sip.Header) []sip.Header {
	list := c.trunk.Caller.PassHeaders
	if to != c.a {
		list = c.bridge.target.Dial.PassHeaders
	}
	list = slices.DeleteFunc(slices.Clone(list), func(p config.Pass) bool {
		return slices.ContainsFunc(alwaysPassed(), func(always config.Pass) bool { return strings.EqualFold(always.To, p.To) })
	})
	in := outbound.Inbound{Trusted: c.trunk.Caller.Trusted, Privacy: c.privacy}
	reveals := func(h sip.Header) bool { return to != c.a && in.Reveals(h.Name(), []string{h.Value()}) }
	if slices.ContainsFunc(headers, reveals) {
		headers = slices.DeleteFunc(slices.Clone(headers), reveals)
	}
	out, _ := outbound.Passed(headers, list)
	return slices.DeleteFunc(out, func(h sip.Header) bool { return strings.EqualFold(h.Name(), "Reason") || reveals(h) }) // a BYE has ours
}
