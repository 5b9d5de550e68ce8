package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/sip"
)

// ends are a carrier and an agent, with just enough SIP to set up calls one after the other and to leave them up.
type ends struct {
	carrier, agent sip.UDP
	taken          chan call // calls taken by the agent: their ACK came
	calls          []call    // the agent's, in the order of the carrier's
	media          netip.AddrPort
	describe       func(call int, a netip.AddrPort) string // the carrier's end
	secure         *secure
}

// call is one of the agent's calls, and where its RTP must go.
type call struct {
	dialog *sip.Dialog
	to     netip.AddrPort
	err    error // it can't be sealed
}

const sipPatience = 5 * time.Second

func newEnds(n network, describe func(call int, a netip.AddrPort) string, x *secure) (e *ends, err error) {
	e = &ends{taken: make(chan call, maxCalls), describe: describe, secure: x}
	system := netip.AddrPortFrom(namespace.RelayAddr, 5060)
	if err = e.carrier.Listen("carrier", n.Carrier, netip.AddrPortFrom(namespace.CarrierAddr, 5060), system); err != nil {
		return nil, err
	}
	if err = e.agent.Listen("agent", n.Agent, netip.AddrPortFrom(namespace.AgentAddr, 5060), system); err != nil {
		e.carrier.Close()
		return nil, err
	}
	e.agent.Arrive = func(d *sip.Dialog, s *sip.Server) {
		offer := s.Request.Body()
		d.Of = call{d, sip.Media(offer), x.learn(1, offer)}
		answer := x.describe(1, offer, sip.Description(e.media))
		s.Accept(fmt.Sprintf("Contact: <sip:%v>\r\n", e.agent.Addr) + sip.WithBody(answer))
	}
	e.agent.Acked = func(d *sip.Dialog) { e.taken <- d.Of.(call) }
	go e.carrier.Run()
	go e.agent.Run()
	return e, nil
}

func (e *ends) close() {
	e.carrier.Close()
	e.agent.Close()
}

// call sets a call up (RFC 3261 §13): the carrier's INVITE, the agent's 200, the carrier's ACK.
func (e *ends) call(n int, a, b netip.AddrPort) (forA, forB netip.AddrPort, err error) {
	answer := make(chan sip.Message, 2)
	e.agent.Lock()
	e.media = b
	e.agent.Unlock()
	e.carrier.Lock()
	d := e.carrier.Dial("+15075550100", fmt.Sprintf("+1507%07d", n))
	d.Ask("INVITE", sip.WithBody(e.describe(n, a)), func(m sip.Message) { answer <- m })
	e.carrier.Unlock()
	late := time.After(sipPatience)
	select {
	case m := <-answer:
		if m.Status() != 200 {
			return forA, forB, errors.New(m.Start())
		}
		forA = sip.Media(m.Body())
		if err = e.secure.learn(0, m.Body()); err != nil {
			return forA, forB, err
		}
	case <-late:
		return forA, forB, fmt.Errorf("carrier: %w", errNoAnswer)
	}
	select {
	case c := <-e.taken:
		e.calls, forB, err = append(e.calls, c), c.to, c.err
	case <-late:
		return forA, forB, fmt.Errorf("agent: %w", errNoAnswer)
	}
	return forA, forB, errors.Join(err, valid(forA, forB))
}

// valid returns an error unless both ends of a call know where to send.
func valid(forA, forB netip.AddrPort) error {
	if !forA.IsValid() || !forB.IsValid() {
		return fmt.Errorf("no address for RTP: %v, %v", forA, forB)
	}
	return nil
}

// die ends the agent's legs with the reason of a failure, answers as their successors, and returns how long that took.
func (e *ends) die(calls int, media netip.AddrPort) (took time.Duration, err error) {
	begin := time.Now()
	for _, c := range e.calls {
		e.agent.Lock()
		e.media = media
		c.dialog.Ask("BYE", "Reason: Q.850;cause=41\r\n"+sip.Empty, func(sip.Message) {})
		e.agent.Unlock()
	}
	late := time.After(sipPatience)
	for n := range calls {
		select {
		case <-e.taken:
		case <-late:
			return time.Since(begin), fmt.Errorf("%w: %d of %d", errNotTaken, n, calls)
		}
	}
	return time.Since(begin), nil
}
