package b2bua

import (
	"strings"
	"testing"

	"flowbridge/internal/siptest"

	"github.com/emiago/sipgo/sip"
)

// RFC 3261 section 13.2.2.4: the 200 that began the call gets its ACK again,
// however many re-INVITEs came after it.
func TestFirst200AfterReinvites(t *testing.T) {
	lt := uacIn(t, "confirmed")
	for range 4 {
		lt.do(lt.answerWithinOffer())
	}
	lt.want(lt.do(lt.ok("agent")), "ACK")
	if ack, _ := lt.request(sip.ACK); ack.CSeq().SeqNo != 1 {
		t.Errorf("ACK has CSeq %d", ack.CSeq().SeqNo)
	}
}

// answerWithinOffer has the leg send a re-INVITE, and gives the 200 to it.
func (lt *legTest) answerWithinOffer() Input {
	lt.do(Offer{Ref: 1, SDP: []byte("v=0")})
	return lt.answerWithinSent(sip.INVITE, 200)
}

// RFC 3261 section 22.2: what was given up, or is over, is not sent again for a
// challenge.
func TestChallengeComesTooLate(t *testing.T) {
	challenged := func(lt *legTest) ResponseIn {
		in := lt.answerWithinSent(sip.INVITE, 401)
		in.Res.AppendHeader(sip.NewHeader("WWW-Authenticate", strings.TrimPrefix(askTarget, "WWW-Authenticate: ")))
		return in
	}
	offering := func() *legTest {
		lt := newUAC(t)
		lt.do(lt.ok0())
		lt.do(Offer{Ref: 1, SDP: []byte("v=0")})
		return lt
	}
	lt := offering()
	lt.want(lt.do(challenged(lt)), "INVITE")
	lt = offering()
	lt.do(Hangup{Why: CauseShutdown})
	lt.want(lt.do(challenged(lt)), "")
	lt = offering()
	lt.do(lt.answerWithinSent(sip.INVITE, 183))
	lt.want(lt.deadline(), "offer refused 408, CANCEL")
	lt.want(lt.do(challenged(lt)), "")
}

// ok0 sends the INVITE and gives the 200 to it.
func (lt *legTest) ok0() Input {
	lt.do(inviteWithAuth())
	return lt.ok("agent")
}

// RFC 3261 section 9.2: a CANCEL that was faster than our 200 undoes a change
// that the other side had agreed to: it gets the session back.
func TestCancelOvertakesAcceptedChange(t *testing.T) {
	eachEnd(t, func(c *talk, e, far *end) {
		seq := e.offers("INVITE", e.pcma())
		far.takes(siptest.SessionAt(far.address, 44000, "8 101"))
		ok := e.p.expect("SIP/2.0 200")
		l := c.w.server.registry.leg(tagOf(ok.res().To().Params))
		l.post(FinalLost{Seq: uint32(seq)})
		if again := far.takes(siptest.SessionAt(far.address, 44002, "0 101")); described(t0(c), again).chosen() != "PCMU" {
			t0(c).Errorf("restored with\n%s", again.raw)
		}
		if got := e.peer().RTP.Port(); got == 42000 {
			t0(c).Errorf("media goes to port %d", got)
		}
		e.changes("UPDATE", siptest.SessionAt(e.address, 40000, "0 101"), "200")
		c.hangsUp()
	})
}
