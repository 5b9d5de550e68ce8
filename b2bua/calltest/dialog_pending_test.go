package calltest

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/internal/siptest"
	"flowbridge/store/record"
)

// eachEnd runs a test for a re-INVITE of the carrier, and for one of the agent,
// with a call that the test ends by itself.
func eachEnd(t *testing.T, test func(c *talk, e, far *end)) {
	t.Helper()
	for _, who := range []string{"carrier", "agent"} {
		runIn(t, who, talkYAML("", ""), func(w *world) {
			c := w.talk(nil, nil)
			if who == "agent" {
				test(c, c.agent, c.carrier)
			} else {
				test(c, c.carrier, c.agent)
			}
		})
	}
}

// byeTo takes a BYE of ours, and gives it.
func (e *end) byeTo(cause cause.Cause) {
	e.p.w.t.Helper()
	bye := e.p.expect("BYE")
	if !strings.Contains(bye.value("Reason"), string(cause)) {
		e.p.w.t.Errorf("Reason %q; want %s", bye.value("Reason"), cause)
	}
	e.p.reply(bye, 200, "OK", "", "")
}

// finals takes final answers with these codes in any order, and gives them in
// this one.
func (e *end) finals(codes ...string) []received {
	e.p.w.t.Helper()
	got := make([]received, len(codes))
	for range codes {
		m := e.p.expect("SIP/2.0 ")
		for strings.HasPrefix(m.raw, "SIP/2.0 1") {
			m = e.p.expect("SIP/2.0 ")
		}
		i := slices.Index(codes, strconv.Itoa(m.res().StatusCode))
		if i < 0 || got[i].Message != nil {
			e.p.w.t.Fatalf("waits for %v, got\n%s", codes, m.raw)
		}
		got[i] = m
	}
	return got
}

// RFC 3261 sections 9.1 and 14.1: a side that only ever says 183 to a re-INVITE
// of ours gets CANCEL after 64*T1, and the change is refused; the session
// stands.
func TestReinviteWithProvisionalsForEver(t *testing.T) {
	eachEnd(t, func(c *talk, e, far *end) {
		begin := time.Now()
		e.offers("INVITE", e.pcma())
		in := far.p.expect("INVITE")
		go func() {
			for range 5 {
				far.p.reply(in, 183, "Session Progress", "", "")
				time.Sleep(10 * time.Second)
			}
		}()
		cancel := far.p.expect("CANCEL")
		if d := time.Since(begin); d != 32*time.Second {
			t0(c).Errorf("CANCEL after %v; want 32s", d)
		}
		if message.BranchOf(cancel.Message) != message.BranchOf(in.Message) || cancel.value("CSeq") != strings.Replace(in.value("CSeq"), "INVITE", "CANCEL", 1) ||
			cancel.value("To") != in.value("To") || cancel.req().Recipient.String() != in.req().Recipient.String() {
			t0(c).Errorf("CANCEL\n%s\nof\n%s", cancel.raw, in.raw)
		}
		e.ackRefusal(e.p.expect("SIP/2.0 488"))
		far.p.reply(cancel, 200, "OK", "", "")
		far.p.concludes(in, 487, "Request Terminated", "", "")
		e.changes("INVITE", siptest.SessionAt(e.address, 40002, "0 101"), "200")
		far.changes("INVITE", siptest.SessionAt(far.address, 40002, "0 101"), "200")
		e.offers("INVITE", e.pcma()) // another one is possible
		far.refuses(488)
		e.ackRefusal(e.p.expect("SIP/2.0 488"))
		time.Sleep(time.Minute)
		c.hangsUp()
	})
}

// A 200 that crosses our CANCEL has made the change: the side gets the session
// back as it is (RFC 3261 section 9.1).
func TestReinvite200CrossesCancel(t *testing.T) {
	eachEnd(t, func(c *talk, e, far *end) {
		e.offers("INVITE", e.pcma())
		in := far.p.progresses(183, "Session Progress", "", "")
		cancel := far.p.expect("CANCEL")
		e.ackRefusal(e.p.expect("SIP/2.0 488"))
		far.p.reply(cancel, 200, "OK", "", "")
		far.p.concludes(in, 200, "OK", "", siptest.SessionAt(far.address, 44000, "8 101"))
		if again := far.takes(siptest.SessionAt(far.address, 44002, "0 101")); described(t0(c), again).Speaks().Name != "PCMU" {
			t0(c).Errorf("restored with\n%s", again.raw)
		}
		if got := far.peer().RTP.Port(); got != 44002 {
			t0(c).Errorf("media goes to port %d", got)
		}
		c.hangsUp()
	})
}

// A CANCEL that is not heeded either: the dialog is lost.
func TestReinviteCancelUnheeded(t *testing.T) {
	eachEnd(t, func(c *talk, e, far *end) {
		e.offers("INVITE", e.pcma())
		far.p.reply(far.p.expect("INVITE"), 183, "Session Progress", "", "")
		far.p.reply(far.p.expect("CANCEL"), 200, "OK", "", "")
		e.ackRefusal(e.p.expect("SIP/2.0 488"))
		far.byeTo(cause.DialogLost)
		e.byeTo(cause.DialogLost)
		c.w.wantRecord("answered", cause.DialogLost, record.EndedBySystem)
	})
}

// RFC 3261 section 9.2: a re-INVITE that is cancelled while the other side is
// asked gets 487; the other side gets the session back if it had agreed.
func TestReinviteCancelled(t *testing.T) {
	for _, agrees := range []bool{true, false} {
		eachEnd(t, func(c *talk, e, far *end) {
			before := e.peer()
			seq := e.offers("INVITE", e.pcma())
			in := far.p.expect("INVITE")
			e.cancels(seq)
			refused := e.finals("200", "487")[1]
			e.ackRefusal(refused)
			synctest.Wait()
			if agrees {
				far.p.concludes(in, 200, "OK", "", siptest.SessionAt(far.address, 44000, "8 101"))
				if again := far.takes(siptest.SessionAt(far.address, 44002, "0 101")); described(t0(c), again).Speaks().Name != "PCMU" {
					t0(c).Errorf("restored with\n%s", again.raw)
				}
			} else {
				far.p.concludes(in, 488, "No", "", "")
			}
			if e.peer().RTP != before.RTP {
				t0(c).Errorf("media goes to %v", e.peer().RTP)
			}
			e.changes("INVITE", siptest.SessionAt(e.address, 40002, "0 101"), "200")
			c.hangsUp()
		})
	}
}

// RFC 3261 section 15.1.2: BYE answers everything that is pending with 487, on
// either leg, whoever sends it.
func TestByeWhileReinvitePending(t *testing.T) {
	for _, hangsUp := range []string{"asking", "asked"} {
		for _, heard := range []bool{true, false} {
			eachEnd(t, func(c *talk, e, far *end) {
				e.offers("INVITE", e.pcma())
				in := far.p.expect("INVITE")
				if heard {
					far.p.reply(in, 183, "Session Progress", "", "")
				}
				byer, byed := e, far
				if hangsUp == "asked" {
					byer, byed = far, e
				}
				byer.offers("BYE", "")
				if byer == e {
					e.ackRefusal(e.finals("200", "487")[1])
				} else {
					byer.p.expect("SIP/2.0 200")
					e.ackRefusal(e.p.expect("SIP/2.0 487"))
				}
				bye := byed.p.expect("BYE")
				byed.p.reply(bye, 200, "OK", "", "")
				far.p.concludes(in, 487, "Request Terminated", "", "")
				by := record.EndedByCaller
				why := cause.CallerHangup
				if byer == c.agent {
					by, why = record.EndedByAgent, cause.AgentHangup
				}
				c.w.wantRecord("answered", why, by)
			})
		}
	}
}

// RFC 3261 section 14.1: a new offer that comes while the last one of ours is
// under way replaces it, and is not answered by the answer to that.
func TestOfferReplacesRestored(t *testing.T) {
	eachEnd(t, func(c *talk, e, far *end) {
		e.offers("INVITE", e.pcma())
		far.takes(siptest.SessionAt(far.address, 44000, "18")) // not usable: it gets the session back
		e.ackRefusal(e.p.expect("SIP/2.0 488"))
		restoring := far.p.expect("INVITE")
		seq := e.offers("INVITE", siptest.SessionAt(e.address, 42002, "8 101"))
		synctest.Wait()
		far.p.concludes(restoring, 200, "OK", "", siptest.SessionAt(far.address, 44004, "0 101"))
		if in := far.takes(siptest.SessionAt(far.address, 44006, "8 101")); described(t0(c), in).Speaks().Name != "PCMA" {
			t0(c).Errorf("asked for\n%s", in.raw)
		}
		if ok := e.p.expect("SIP/2.0 200"); described(t0(c), ok).Speaks().Name != "PCMA" {
			t0(c).Errorf("answer:\n%s", ok.raw)
		}
		e.acks(seq, "")
		c.hangsUp()
	})
}
