//go:build e2e

package e2e

import (
	"net"
	"net/netip"
	"time"
)

// attack is a way to get a caller to an agent untold.
type attack struct {
	name   string
	route  string             // prefix of the called number; empty: tellsRoute
	late   bool               // the INVITE has no offer
	deaf   bool               // the caller sends no ACK
	nat    bool               // the caller's RTP comes from another port than it describes, and is heard there
	caller func(h *untold)    // what the caller does once it has its answer, or 183 in early media; nil: it waits
	agent  func(c *partyCall) // how the agent takes the call; nil: it answers at once, and speaks
	ends   bool               // the call ends without an agent

	redial     string // CANCEL or BYE: how the caller ends the call at once, and places another; empty: it does not
	sameCallID bool   // the other call has the Call-ID of the first
}

// The routes of the test: the statement after our 200, in early media, and with a key.
const (
	tellsRoute, earlyRoute, acceptRoute = "+1507000", "+1508000", "+1509000"
	warmUp                              = 900 // numbers from here have an agent that needs 3 s to answer
)

// agentSpeaks lets an agent speak from a socket until the call is over.
func agentSpeaks(c *partyCall, from *net.UDPConn) {
	_, _, to := c.peer()
	for i := 0; ; i++ {
		pkt := append(rtpPacket(0, i == 0, uint16(i), uint32(i*frame), 0xa9), utterance(agentSays, uint32(i))...)
		_, _ = from.WriteToUDPAddrPort(pkt, to)
		if c.pauses(i) {
			return
		}
	}
}

// answersAndSpeaks is how an agent takes a call.
func answersAndSpeaks(c *partyCall) {
	c.answers("200 OK", c.sdp())
	agentSpeaks(c, c.rtp)
}

// speaksFirst is an agent that speaks a second before it answers.
func speaksFirst(c *partyCall) {
	time.AfterFunc(time.Second, func() { c.answers("200 OK", c.sdp()) })
	agentSpeaks(c, c.rtp)
}

// earlyAndSpeaks is an agent with early media.
func earlyAndSpeaks(c *partyCall) {
	c.provisional("183 Session Progress", c.sdp())
	speaksFirst(c)
}

// asksAtOnce returns an agent that sends requests once it has got its ACK, and speaks.
func asksAtOnce(requests func(c *partyCall)) func(c *partyCall) {
	return func(c *partyCall) {
		c.answers("200 OK", c.sdp())
		go func() {
			select {
			case <-c.acked:
				requests(c)
			case <-c.over:
			}
		}()
		agentSpeaks(c, c.rtp)
	}
}

// attacks are the ways that are tried.
var attacks = []attack{
	{name: "none"},
	{name: "none, in early media", route: earlyRoute},
	{name: "an offer in the ACK", late: true},
	{name: "RTP from another port", nat: true},
	{name: "RTP from another port, in early media", route: earlyRoute, nat: true},
	{name: "no ACK", deaf: true, ends: true, caller: func(h *untold) {
		for range 4 { // the copies of our 200, for longer than the statement
			h.answered()
		}
		h.hangUp()
	}},
	{name: "re-INVITE at once, with another address", caller: func(h *untold) { h.moved("INVITE") }},
	{name: "UPDATE at once, with another address", caller: func(h *untold) { h.moved("UPDATE") }},
	{name: "re-INVITEs without an end of the statement", caller: func(h *untold) {
		for range 3 {
			h.moved("INVITE")
			h.awaits(20)
		}
	}},
	{name: "hold by sendonly", caller: func(h *untold) {
		h.awaits(50)
		h.describes("INVITE", h.held("sendonly"), false)
		h.describes("INVITE", h.held("sendrecv"), true)
	}},
	{name: "hold by inactive, resumed by UPDATE", caller: func(h *untold) {
		h.awaits(50)
		h.describes("INVITE", h.held("inactive"), false)
		h.describes("UPDATE", h.held("sendrecv"), true)
	}},
	{name: "hold by 0.0.0.0", caller: func(h *untold) {
		h.awaits(50)
		nowhere := netip.AddrPortFrom(netip.IPv4Unspecified(), local(h.rtp).Port())
		h.describes("INVITE", h.sdpAt(nowhere), false)
		h.describes("INVITE", h.nextVersion(), true)
	}},
	{name: "keys in INFO", caller: func(h *untold) { h.presses("1#*0123") }},
	{name: "the key in INFO, where one is asked for", route: acceptRoute, caller: func(h *untold) { h.presses("1") }},
	{name: "another key, where one is asked for", route: acceptRoute, ends: true, caller: func(h *untold) { h.presses("2") }},
	{name: "no key, where one is asked for", route: acceptRoute, ends: true},
	{name: "REFER of the caller", caller: func(h *untold) { h.refers("+15070001") }},
	{name: "CANCEL and another call", redial: "CANCEL"},
	{name: "CANCEL and another call, in early media", route: earlyRoute, redial: "CANCEL"},
	{name: "CANCEL and the same Call-ID", redial: "CANCEL", sameCallID: true},
	{name: "CANCEL and the same Call-ID, in early media", route: earlyRoute, redial: "CANCEL", sameCallID: true},
	{name: "BYE and another call", redial: "BYE"},
	{name: "a flood of RTP", caller: func(h *untold) {
		other := h.by.newSocket(local(h.by.conn).Addr())
		for range 1000 {
			h.says(other)
			h.says(h.socket())
		}
	}},
	{name: "orders", caller: func(h *untold) {
		for _, o := range [][2]string{
			{"play", `{"side":"a","sound":"none"}`},
			{"play", `{"side":"b","sound":"none"}`},
			{"play", `{"side":"a","sound":"us"}`},
			{"resume", ""},
			{"hold", ""},
			{"resume", ""},
			{"recording/start", ""},
			{"transfer", `{"to":"+15070001"}`},
		} {
			if status := h.orders(o[0], o[1]); status < 400 && o[0] != "resume" && !h.isTold() {
				h.all.Errorf("the order %s gets %d during the statement", o, status)
			}
		}
	}},
	{name: "early media of the agent", agent: earlyAndSpeaks},
	{name: "early media of the agent, in early media", route: earlyRoute, agent: earlyAndSpeaks},
	{name: "RTP of the agent before its answer", agent: speaksFirst},
	{name: "RTP of the agent from another port", agent: func(c *partyCall) {
		c.answers("200 OK", c.sdp())
		go agentSpeaks(c, c.by.newSocket(local(c.by.conn).Addr()))
		agentSpeaks(c, c.rtp)
	}},
	{name: "a 200 of the agent without SDP", ends: true, agent: func(c *partyCall) {
		c.answers("200 OK", "")
		agentSpeaks(c, c.rtp)
	}},
	{name: "REFER of the agent at once", agent: asksAtOnce(func(c *partyCall) { c.refers("+15070001") })},
	{name: "re-INVITE of the agent at once", agent: asksAtOnce(func(c *partyCall) { c.asks("INVITE", c.sdp()) })},
	{name: "UPDATE of the agent at once", agent: asksAtOnce(func(c *partyCall) { c.asks("UPDATE", c.sdp()) })},
}
