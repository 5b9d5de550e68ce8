package calltest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/internal/siptest"
	"flowbridge/store/record"
)

// pcma is what changes the codec of a talk, which the other side is asked for.
func (e *end) pcma() string { return siptest.SessionAt(e.address, 42000, "8 101") }

// takes has an end accept what it is asked for, and gives the request.
func (e *end) takes(sdp string) received {
	e.p.w.t.Helper()
	in := e.p.expect("INVITE")
	e.p.concludes(in, 200, "OK", "", sdp)
	return in
}

// refuses has an end refuse what it is asked for.
func (e *end) refuses(code int, headers ...string) received {
	e.p.w.t.Helper()
	in := e.p.expect("INVITE")
	e.p.concludes(in, code, "No", "", "", headers...)
	return in
}

// RFC 3264 section 8.3.2: another codec is asked for on the other side, whose
// answer is the answer.
func TestCodecChange(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		seq := e.offers(method, e.pcma())
		far := c.other(e)
		in := far.takes(siptest.SessionAt(far.address, 44000, "8 101"))
		if d := described(t0(c), in); d.Speaks().Name != "PCMA" || d.Connection() != "198.51.100.1" || d.Streams() != 1 {
			t0(c).Errorf("the other side was asked for\n%s", in.raw)
		}
		if in.value("Contact") == "" || in.value("Allow") == "" || in.value("Supported") == "" {
			t0(c).Errorf("re-INVITE without Contact, Allow or Supported:\n%s", in.raw)
		}
		ok := e.p.expect("SIP/2.0 200")
		e.settles(method, seq)
		if d := described(t0(c), ok); d.Speaks().Name != "PCMA" {
			t0(c).Errorf("answer:\n%s", ok.raw)
		}
		if e.peer().RTP.Port() != 42000 || far.peer().RTP.Port() != 44000 {
			t0(c).Errorf("media goes to %v and %v", e.peer().RTP, far.peer().RTP)
		}
		e.changes(method, siptest.SessionAt(e.address, 42002, "8 101", "a=sendonly"), "200") // the new codec is that of the call
		far.p.silent(time.Second)
	})
}

// RFC 3261 section 14.1: what the other side refuses is refused with 488, the
// session stands, and the next change works.
func TestCodecChangeRefused(t *testing.T) {
	for code, want := range map[int]string{488: "488", 486: "486", 403: "488", 503: "488", 606: "606"} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			bothEnds(t, "", "", func(c *talk, e *end, method string) {
				before, far := e.peer(), c.other(e)
				e.offers(method, e.pcma())
				far.refuses(code)
				m := e.p.expect("SIP/2.0 " + want)
				e.settlesRefused(method, m)
				if e.peer().RTP != before.RTP {
					t0(c).Errorf("media goes to %v", e.peer().RTP)
				}
				e.changes(method, siptest.SessionAt(e.address, 40010, "0 101"), "200")
				seq := e.offers(method, e.pcma())
				far.takes(siptest.SessionAt(far.address, 44000, "8 101"))
				e.p.expect("SIP/2.0 200")
				e.settles(method, seq)
			})
		})
	}
}

// An answer that can't be used is refused; who gave it gets the session back.
func TestAnswerOfTheOtherSideIsNotUsable(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		far := c.other(e)
		e.offers(method, e.pcma())
		far.takes(siptest.SessionAt(far.address, 44000, "18"))
		m := e.p.expect("SIP/2.0 488")
		e.settlesRefused(method, m)
		if again := far.takes(siptest.SessionAt(far.address, 44002, "0 101")); described(t0(c), again).Speaks().Name != "PCMU" {
			t0(c).Errorf("restored with\n%s", again.raw)
		}
		if got := far.peer().RTP.Port(); got != 44002 {
			t0(c).Errorf("media goes to port %d", got)
		}
	})
}

// reinvite: relay asks the other side for hold, too, and holds all the same
// where that refuses; reinvite: absorb never asks.
func TestReinviteModes(t *testing.T) {
	bothEnds(t, "", "reinvite: relay", func(c *talk, e *end, method string) {
		far := c.other(e)
		for _, way := range []struct{ offer, host, relayed, answer string }{
			{"sendonly", e.address, "sendonly", "recvonly"},
			{"sendrecv", "0.0.0.0", "sendonly", "recvonly"},
			{"inactive", e.address, "inactive", "inactive"},
			{"sendrecv", e.address, "sendrecv", "sendrecv"},
		} {
			seq := e.offers(method, siptest.SessionAt(way.host, 40000, "0 101", "a="+way.offer))
			in := far.takes(siptest.SessionAt(far.address, 30000, "0 101", "a="+way.answer))
			if got := described(t0(c), in).Direction(); string(got) != way.relayed {
				t0(c).Errorf("%s at %s was relayed as %s", way.offer, way.host, got)
			}
			ok := e.p.expect("SIP/2.0 200")
			if got := described(t0(c), ok).Direction(); string(got) != way.answer {
				t0(c).Errorf("%s was answered %s; want %s", way.offer, got, way.answer)
			}
			e.settles(method, seq)
		}
		seq := e.offers(method, siptest.SessionAt(e.address, 40000, "0 101", "a=sendonly"))
		far.refuses(488)
		if got := described(t0(c), e.p.expect("SIP/2.0 200")).Direction(); got != sdp.RecvOnly {
			t0(c).Errorf("hold was answered %s", got)
		}
		e.settles(method, seq)
	})
	bothEnds(t, "", "reinvite: absorb", func(c *talk, e *end, method string) {
		e.changes(method, e.pcma(), "488")
		e.changes(method, siptest.SessionAt(e.address, 40000, "0 96", "a=sendonly"), "200")
		c.other(e).p.silent(time.Minute)
	})
}

// Another payload type for telephone-events is a matter of one side: the relay
// renumbers.
func TestEventsChangePayload(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		ok := e.changes(method, siptest.SessionAt(e.address, 40000, "0 96"), "200")
		if !strings.Contains(ok.raw, " RTP/AVP 0 96\r\n") {
			t0(c).Errorf("answer\n%s", ok.raw)
		}
		far := c.other(e)
		far.p.silent(time.Second)
		if got, want := e.payloads(), "96>101"; got != want {
			t0(c).Errorf("what it sends is changed by %q; want %q", got, want)
		}
		if got, want := far.payloads(), "101>96"; got != want {
			t0(c).Errorf("what the other side sends is changed by %q; want %q", got, want)
		}
	})
}

// RFC 3261 section 14.1: who meets 491 tries again after 2.1 to 4 s where it
// owns the Call-ID, as we do toward the agent, else within 2 s; not for ever.
func TestGlareIsTriedAgain(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		far := c.other(e)
		least, most := time.Duration(0), 2*time.Second
		if far == c.agent {
			least, most = 2100*time.Millisecond, 4*time.Second
		}
		e.offers(method, e.pcma())
		last := time.Time{}
		for i := range 6 {
			far.refuses(491)
			if d := time.Since(last); i > 0 && (d < least || d > most) {
				t0(c).Errorf("tried again after %v; want %v to %v", d, least, most)
			}
			last = time.Now()
		}
		m := e.p.expect("SIP/2.0 491")
		e.settlesRefused(method, m)
		far.p.silent(time.Minute)
	})
}

// RFC 3261 section 14.2: a re-INVITE that says when to come back is sent again
// then.
func TestRetryAfterIsHonoured(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		far := c.other(e)
		seq := e.offers(method, e.pcma())
		far.refuses(500, "Retry-After: 7")
		begin := time.Now()
		far.takes(siptest.SessionAt(far.address, 44000, "8 101"))
		if d := time.Since(begin); d != 7*time.Second {
			t0(c).Errorf("again after %v; want 7s", d)
		}
		e.p.expect("SIP/2.0 200")
		e.settles(method, seq)
	})
}

// RFC 3261 section 14.2, RFC 3311 section 5.2: an offer that crosses ours gets
// 491, one that comes before the last one is answered 500 with Retry-After.
func TestOffersThatCross(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		far := c.other(e)
		seq := e.offers(method, e.pcma())
		in := far.p.expect("INVITE")
		for _, crossing := range []string{"INVITE", "UPDATE"} {
			far.changes(crossing, far.pcma(), "491")
			m := e.changes(crossing, siptest.SessionAt(e.address, 40000, "0 101"), "500")
			if n, err := strconv.Atoi(m.value("Retry-After")); err != nil || n < 0 || n > 10 {
				t0(c).Errorf("Retry-After %q", m.value("Retry-After"))
			}
		}
		e.changes("UPDATE", "", "200") // without an offer it crosses nothing
		far.changes("UPDATE", "", "200")
		far.p.concludes(in, 200, "OK", "", siptest.SessionAt(far.address, 44000, "8 101"))
		e.p.expect("SIP/2.0 200")
		if method == "INVITE" {
			e.changes("INVITE", siptest.SessionAt(e.address, 40000, "8 101"), "200") // who sends it has the 200: it stands for its ACK
			e.acks(seq, "")                                                          // which comes late
		}
		e.changes(method, siptest.SessionAt(e.address, 40004, "8 101"), "200")
	})
}

// RFC 3261 section 14.1, 12.2.1.2: a re-INVITE that is answered 481 or 408, or
// not at all, ends the dialog.
func TestDialogLost(t *testing.T) {
	for _, code := range []int{481, 408, 0} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			for _, who := range []string{"carrier", "agent"} {
				runIn(t, who, talkYAML("", ""), func(w *world) {
					c := w.talk(nil, nil)
					e := c.agent
					if who == "agent" {
						e = c.carrier
					}
					far := c.other(e)
					e.offers("INVITE", e.pcma())
					if code != 0 {
						far.refuses(code)
					} else {
						time.Sleep(31600 * time.Millisecond)
						far.p.rest()
					}
					bye := e.p.expect("SIP/2.0 487")
					e.ackRefusal(bye)
					for _, x := range []*end{e, far} {
						bye = x.p.expect("BYE")
						if !strings.Contains(bye.value("Reason"), "dialog_lost") {
							w.t.Errorf("Reason %q", bye.value("Reason"))
						}
						x.p.reply(bye, 200, "OK", "", "")
					}
					w.wantRecord("answered", cause.DialogLost, record.EndedBySystem)
				})
			}
		})
	}
}

// RFC 3261 section 13.3.1.4: the 200 to a re-INVITE is sent until its ACK
// comes; without one the dialog ends after 64*T1.
func TestReinviteWithoutACK(t *testing.T) {
	for _, who := range []string{"carrier", "agent"} {
		runIn(t, who, talkYAML("", ""), func(w *world) {
			c := w.talk(nil, nil)
			e := c.carrier
			if who == "agent" {
				e = c.agent
			}
			begin := time.Now()
			e.offers("INVITE", siptest.SessionAt(e.address, 40000, "0 101", "a=sendonly"))
			for range 11 {
				e.p.expect("SIP/2.0 200")
			}
			bye := e.p.expect("BYE")
			if d := time.Since(begin); d != 32*time.Second || !strings.Contains(bye.value("Reason"), "no_ack") {
				w.t.Errorf("BYE after %v with Reason %q", d, bye.value("Reason"))
			}
			e.p.reply(bye, 200, "OK", "", "")
			far := c.other(e)
			far.p.reply(far.p.expect("BYE"), 200, "OK", "", "")
			w.wantRecord("answered", cause.NoACK, record.EndedBySystem)
		})
	}
}

// RFC 3261 section 13.2.2.4: a 200 to a re-INVITE of ours that comes again gets
// its ACK again, also when the transaction is gone.
func TestRepeated200ToReinvite(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		far := c.other(e)
		seq := e.offers(method, e.pcma())
		in := far.p.expect("INVITE")
		var first received
		for i := range 5 {
			far.p.reply(in, 200, "OK", "", siptest.SessionAt(far.address, 44000, "8 101"))
			ack := far.p.expect("ACK")
			if i == 0 {
				first = ack
			}
			if ack.value("CSeq") != first.value("CSeq") || ack.value("Via") != first.value("Via") {
				t0(c).Errorf("another ACK:\n%s\n%s", first.raw, ack.raw)
			}
			time.Sleep(3 * time.Second)
			if i == 0 {
				e.p.expect("SIP/2.0 200")
				e.settles(method, seq)
			}
			e.p.rest()
		}
	})
}
