package leg

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
)

// A 200 to our re-INVITE that comes when that has been given up, and the dialog
// with it, gets its ACK.
func TestReinviteAnsweredTooLate(t *testing.T) {
	lt := uasIn(t, "confirmed")
	lt.want(lt.do(Offer{Ref: 1, SDP: []byte("v=0")}), "INVITE")
	late := responseTo(t, lt, sip.INVITE, 200, "OK")
	lt.want(lt.do(RequestFailed{Method: sip.INVITE, Seq: 1, Cause: cause.TargetSilent}), "gone dialog_lost, BYE")
	lt.want(lt.do(late), "ACK")
	lt.want(lt.do(late), "ACK")
}

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
