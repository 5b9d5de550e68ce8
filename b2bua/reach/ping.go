package reach

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
)

// checkEvery is how often Ping checks which OPTIONS are due. It is short because a reload may change that.
const checkEvery = time.Second

// pingTimeout is the time limit for an answer.
const pingTimeout = 2 * time.Second

// Ping sends OPTIONS to the targets and trunks that are configured for it (RFC 3261 section 11), until ctx ends. It
// reports the results to their circuit breakers. It returns when no OPTIONS waits for an answer.
func Ping(ctx context.Context, snapshot func() *peers.Snapshot, stack *transport.Stack) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var group sync.WaitGroup
	defer group.Wait()
	due := map[string]time.Time{} // by target name: when the next OPTIONS is due
	for {
		now, p := time.Now(), snapshot()
		wants := map[string]bool{}
		for _, all := range []map[string]*peers.Target{p.Targets, p.Callees} {
			for name, t := range all {
				uri, pinged := t.Dial.PingAt()
				if !pinged {
					continue
				}
				wants[name] = true
				if now.Before(due[name]) {
					continue
				}
				due[name] = nextPing(now, t)
				group.Go(func() { pingOnce(ctx, t, uri, stack) })
			}
		}
		for name := range due {
			if !wants[name] {
				delete(due, name)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// nextPing returns when the next OPTIONS is due: after the interval, or, if the circuit breaker is open, as soon as
// the target may be tried, so that calls continue as soon as an outage ends.
func nextPing(now time.Time, t *peers.Target) time.Time {
	next := now.Add(t.Dial.Ping.Interval)
	s := t.SIP.Status()
	if s.State == circuit.Closed {
		return next
	}
	earliest := now.Add(pingTimeout)
	if s.RetryAt.After(earliest) {
		earliest = s.RetryAt
	}
	if earliest.Before(next) {
		return earliest
	}
	return next
}

// pingOnce sends OPTIONS to all addresses of a target at once. One answer is enough.
func pingOnce(ctx context.Context, t *peers.Target, uri sip.Uri, stack *transport.Stack) {
	bounded, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	wrong := string(cause.DNSFailed)
	via, _ := nextHop(t.Dial, uri) // a proxy answers OPTIONS itself or passes them to the server behind it
	hops, err := stack.Locate(bounded, t.Dial.Name, queryOf(t.Dial, &via))
	if err == nil {
		wrong = pingAll(bounded, t, stack, uri, via, hops[:min(len(hops), maxAddresses)])
	}
	if ctx.Err() == nil {
		t.SIP.Probe(time.Now(), wrong)
	}
}

func queryOf(t *peers.Dial, uri *sip.Uri) locate.Query {
	return locate.Query{Host: message.TrimBrackets(uri.Host), Port: uri.Port, Transport: t.Transport}
}

// pingAll returns "" if any address has answered, and otherwise what went wrong at the last address.
func pingAll(ctx context.Context, t *peers.Target, stack *transport.Stack, uri, via sip.Uri,
	hops []locate.Hop,
) (wrong string) {
	var group sync.WaitGroup
	errs := make([]error, len(hops))
	for i, h := range hops {
		group.Go(func() { errs[i] = pingHop(ctx, t, stack, uri, via, h) })
	}
	group.Wait()
	ok := false
	for i, h := range hops {
		if errs[i] == nil {
			stack.Names().Worked(h)
			ok = true
			continue
		}
		wrong = errs[i].Error()
		if !errors.Is(ctx.Err(), context.Canceled) {
			stack.Names().Failed(h, errs[i].Error(), 0)
		}
	}
	if ok {
		return ""
	}
	return wrong
}

// pingHop sends an OPTIONS to one address and waits for the answer. The error says briefly what went wrong.
func pingHop(ctx context.Context, t *peers.Target, stack *transport.Stack, uri, via sip.Uri, h locate.Hop) error {
	var flow *transport.Stream
	var err error
	local, errLocal := stack.LocalFor(h.Transport, h.Addr.Addr())
	if message.IsStream(h.Transport) {
		if flow, err = stack.Connect(ctx, t.Dial.TLS, h.Transport, via, h.Addr); err == nil {
			local, errLocal = stack.LocalOver(flow)
		}
	}
	if err := errors.Join(err, errLocal); err != nil {
		return errors.New(string(transport.CauseOf(err)))
	}
	answers := make(chan leg.Input, 1)
	var w transport.Wire
	w.Open(stack, &local, &t.Dial.TLS, flow, func(in leg.Input) bool {
		if res, ok := in.(leg.ResponseIn); ok && res.Res.StatusCode < 200 {
			return true
		}
		select {
		case answers <- in:
		default:
		}
		return true
	})
	defer w.Close()
	w.Perform([]leg.Effect{leg.SendRequest{
		Req: optionsTo(uri, local, stack),
		To:  leg.Hop{Transport: local.Transport, Addr: h.Addr, Host: uri.Host, Port: h.Addr.Port()},
	}})
	select {
	case in := <-answers:
		res, answered := in.(leg.ResponseIn)
		switch {
		case !answered:
			return errors.New(string(cause.TargetUnreachable))
		case res.Res.StatusCode == 408, res.Res.StatusCode >= 500 && res.Res.StatusCode < 600 && res.Res.StatusCode != 501:
			return errors.New("OPTIONS: " + strings.TrimSpace(res.Res.StartLine()[len("SIP/2.0 "):]))
		}
		return nil
	case <-ctx.Done():
		return errors.New("no answer to OPTIONS")
	}
}

// optionsTo returns an OPTIONS outside a dialog.
func optionsTo(uri sip.Uri, local leg.Local, stack *transport.Stack) *sip.Request {
	tag := stack.Minter().Tag()
	out := leg.OutOfDialog{
		Method: sip.OPTIONS, URI: uri, From: local.Address("ping"), To: message.AddrText(&uri), Tag: tag,
		Branch: stack.Minter().Branch(tag),
		CallID: message.NewCallID(), Seq: 1,
	}
	return out.Request(local, sip.NewHeader("Accept", "application/sdp"))
}
