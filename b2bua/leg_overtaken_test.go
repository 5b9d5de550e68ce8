package b2bua

import (
	"testing"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/internal/siptest"
)

// RFC 3261 section 9.2: a CANCEL that was faster than our 200 undoes a change
// that the other side had agreed to: it gets the session back.
func TestCancelOvertakesAcceptedChange(t *testing.T) {
	eachEnd(t, func(c *talk, e, far *end) {
		seq := e.offers("INVITE", e.pcma())
		far.takes(siptest.SessionAt(far.address, 44000, "8 101"))
		ok := e.p.expect("SIP/2.0 200")
		l := c.w.server.registry.leg(message.TagOf(ok.res().To().Params))
		l.post(leg.FinalLost{Seq: uint32(seq)})
		if again := far.takes(siptest.SessionAt(far.address, 44002, "0 101")); described(t0(c), again).Speaks().Name != "PCMU" {
			t0(c).Errorf("restored with\n%s", again.raw)
		}
		if got := e.peer().RTP.Port(); got == 42000 {
			t0(c).Errorf("media goes to port %d", got)
		}
		e.changes("UPDATE", siptest.SessionAt(e.address, 40000, "0 101"), "200")
		c.hangsUp()
	})
}
