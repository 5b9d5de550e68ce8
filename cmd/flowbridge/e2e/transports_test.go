//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"flowbridge/store/record"
)

// These are SIPp's modes of sending: over UDP, over one connection for all calls, and over
// one connection per call.
const (
	sippUDP      = "u1"
	sippTCP      = "t1"
	sippTCPCalls = "tn"
)

// serveStreams starts a B2BUA that accepts UDP and TCP, and calls its target over a transport.
func (s *stage) serveStreams(target string, o setup) *server {
	s.Helper()
	o.listen = append(o.listen, s.listener("udp", s.b2bua), s.listener("tcp", s.b2bua))
	o.target += ", transport: " + target
	return s.serve(o)
}

// carrierOver plays a carrier that hangs up after a while, and calls in one of SIPp's modes.
func (s *stage) carrierOver(mode, scenario string, calls int, options ...string) *sipp {
	s.Helper()
	transport := "udp"
	if mode != sippUDP {
		transport = "tcp"
	}
	options = append([]string{"-s", called, "-t", mode, "-max_socket", "100", "-m", strconv.Itoa(calls), "-r", "20"}, options...)
	if !slices.Contains(options, "-d") {
		options = append(options, "-d", "200")
	}
	return s.sipp("carrier", scenario, s.freePort(s.carrier), append(options, s.server.at(transport, s.carrier).String()))
}

// agentOver plays an agent that waits for its calls, over udp or tcp. It hangs up without being
// told to.
func (s *stage) agentOver(transport, scenario string, calls int, options ...string) *sipp {
	s.Helper()
	mode := sippUDP
	if transport == "tcp" {
		mode = sippTCP
	}
	a := s.sipp("agent", scenario, s.agent, append([]string{"-t", mode, "-m", strconv.Itoa(calls)}, options...),
		`<recv request="INFO"/>`, `<pause milliseconds="200"/>`)
	eventually(s.T, "the agent listens", func() bool { return a.ended() || bound(s.T, transport, a.addr) })
	return a
}

// over checks the transport of the INVITEs in records.
func (s *stage) over(transport string, records []record.Record) {
	s.Helper()
	for _, r := range records {
		for _, a := range r.Attempts {
			if a.Transport != transport || a.DroppedHeaders != nil {
				s.Errorf("the INVITE went over %q without %v; want all of it over %s", a.Transport, a.DroppedHeaders, transport)
			}
		}
	}
}

// TestTransports has carriers and agents over UDP and TCP, in each combination. They hang up in
// turn.
func TestTransports(t *testing.T) {
	t.Parallel()
	const each = 3
	for _, mode := range []string{sippUDP, sippTCP, sippTCPCalls} {
		for _, transport := range []string{"udp", "tcp"} {
			if mode == sippUDP && transport == "udp" {
				continue // every other test
			}
			t.Run(mode+"_"+transport, func(t *testing.T) {
				s := newPreparedStage(t)
				b := s.serveStreams(transport, setup{})
				var wanted []want
				for scenarios, expected := range map[[2]string]want{
					{"load", "caller_hangup"}:        hungUpByCaller,
					{"agent_hangup", "agent_hangup"}: hungUpByAgent,
				} {
					agent := s.agentOver(transport, scenarios[1]+"/uas.xml", each)
					carrier := s.carrierOver(mode, scenarios[0]+"/uac.xml", each)
					carrier.finish()
					agent.finish()
					s.hides(carrier, agent)
					s.namesItself(mode, transport, carrier, agent)
					wanted = append(wanted, slices.Repeat([]want{expected}, each)...)
				}
				s.over(transport, b.finish(wanted...))
			})
		}
	}
}

// namesItself checks the B2BUA's address in Via and Contact.
func (s *stage) namesItself(mode, transport string, carrier, agent *sipp) {
	s.Helper()
	invite, answer := agent.received("INVITE ", 1)[0], carrier.received("SIP/2.0 200", 1)[0]
	contact := func(at, transport string) string {
		if transport == "tcp" {
			at += ";transport=tcp"
		}
		return "<sip:" + at + ">"
	}
	at := s.server.at(transport, s.platform).String()
	via := fmt.Sprintf("SIP/2.0/%s %s;", strings.ToUpper(transport), at)
	if got := invite.header("Via"); !strings.HasPrefix(got, via) || invite.header("Contact") != contact(at, transport) {
		s.Errorf("the agent got Via %q and Contact %q; want %q and %q", got, invite.header("Contact"), via, contact(at, transport))
	}
	by := "udp"
	if mode != sippUDP {
		by = "tcp"
	}
	if got, want := answer.header("Contact"), contact(s.server.at(by, s.carrier).String(), by); got != want {
		s.Errorf("the carrier got Contact %q; want %q", got, want)
	}
}
