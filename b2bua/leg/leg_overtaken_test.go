package leg

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
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
	lt.do(Hangup{Why: cause.Shutdown})
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
