package calltest

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/transport"
)

// slowSocket delivers its datagrams late, as if they had waited in the socket's buffer.
type slowSocket struct {
	transport.Socket
	wait *atomic.Int64
}

func (s slowSocket) ReadTimed(b []byte) (n int, from netip.AddrPort, came time.Time, err error) {
	n, from, err = s.ReadFromUDPAddrPort(b)
	return n, from, time.Now().Add(-time.Duration(s.wait.Load())), err
}

// While messages wait too long, new calls get a 503 that leaves no state. Calls in progress
// continue, and so do their retransmissions. When messages no longer wait, new calls are
// accepted again.
func TestOverload(t *testing.T) {
	var wait atomic.Int64
	slow := func(o *b2bua.Options) {
		open := o.Network.Listen
		o.Network.Listen = func(a netip.AddrPort) (transport.Socket, error) {
			s, err := open(a)
			return slowSocket{s, &wait}, err
		}
	}
	inWorldOf(t, testConfig, slow, func(w *world) {
		d, _ := w.established()
		ringing := w.carrier.dials("+15075785607")
		w.carrier.expect("SIP/2.0 180")
		second := w.agent.expect("INVITE")
		wait.Store(int64(600 * time.Millisecond))
		for range 4 {
			w.carrier.send(w.carrier.newCall("1").request("OPTIONS"))
			w.carrier.expect("SIP/2.0 200")
			time.Sleep(60 * time.Millisecond)
		}
		over := w.carrier.dials("+15075785607")
		if m := over.learn(w.carrier.expect("SIP/2.0 503")); m.value("Retry-After") == "" {
			t.Errorf("503 without Retry-After:\n%s", m.raw)
		}
		w.carrier.ackRefused(over)
		w.carrier.invite(ringing) // a retransmission
		ringing.learn(w.carrier.expect("SIP/2.0 180"))
		w.carrier.isTakenBy(w.agent, second, "agent2", ringing)
		if n := w.server.Rejected().Overload.Load(); n != 1 {
			t.Errorf("%d refused for overload; want 1", n)
		}
		wait.Store(0)
		time.Sleep(10 * time.Millisecond)
		tag := over.toTag
		over.toTag = ""
		w.carrier.invite(over) // as if its 503 was lost: RFC 3261 section 8.2.7
		if again := over.learn(w.carrier.expect("SIP/2.0 503")); over.toTag != tag {
			t.Errorf("a refused INVITE that came again, when there was room, got another tag than %s:\n%s", tag, again.raw)
		}
		w.carrier.ackRefused(over)
		w.callerEnds(w.agent, d)
		w.callerEnds(w.agent, ringing)
		d, _ = w.established()
		w.callerEnds(w.agent, d)
	})
}

// The whole process has a limit for unanswered calls. When a call is answered or ends,
// another one may begin.
func TestSetups(t *testing.T) {
	yaml := strings.Replace(testConfig, "sip: {", "sip: {limits: {setups: 2}, ", 1)
	inWorldWith(t, yaml, func(w *world) {
		up, _ := w.established()
		var calls []*dialogue
		var invites []received
		for range 2 {
			d := w.carrier.newCall("+15075785607")
			calls = append(calls, d)
			w.carrier.invitesTillRung(d)
			invites = append(invites, w.agent.expect("INVITE"))
		}
		over := w.carrier.dials("+15075785607")
		if m := over.learn(w.carrier.expect("SIP/2.0 503")); m.value("Retry-After") == "" {
			t.Errorf("503 without Retry-After:\n%s", m.raw)
		}
		w.carrier.ackRefused(over)
		if n := w.server.Rejected().Setups.Load(); n != 1 {
			t.Errorf("%d refused for set-ups; want 1", n)
		}
		w.agent.reply(invites[0], 486, "Busy Here", "b", "")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 486")
		w.carrier.ackRefused(calls[0])
		w.record()
		w.agent.answer(invites[1], "agent2")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(calls[1])
		synctest.Wait()
		if n := w.admission.Open().Setups; n != 0 {
			t.Errorf("%d calls in set-up; want none", n)
		}
		for _, d := range []*dialogue{up, calls[1]} {
			w.callerEnds(w.agent, d)
		}
	})
}
