package calltest

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/media"
)

func digitsConfig(mode string) string {
	return strings.Replace(testConfig, `"sip:{{.To.Number}}@192.0.2.21:32681"`, `"sip:{{.To.Number}}@192.0.2.21:32681", dtmf: `+mode+
		`, pass_headers: ["X-*"]`, 1)
}

// answeredBySpare sets a call up to the spare agent with these session
// descriptions. ok is the carrier's 200.
func (w *world) answeredBySpare(offer, sdp string) (d *dialogue, invite, ok received) {
	w.t.Helper()
	d = w.carrier.newCall("+15095785607")
	d.sdp = offer
	invite, ok = w.answeredBySpareTo(d, sdp)
	return d, invite, ok
}

// answeredBySpareTo is answeredBySpare for this call.
func (w *world) answeredBySpareTo(d *dialogue, sdp string) (invite, ok received) {
	w.t.Helper()
	w.carrier.invite(d)
	d.extra = ""
	d.learn(w.carrier.expect("SIP/2.0 180"))
	invite = w.agent2.expect("INVITE")
	w.agent2.concludes(invite, 200, "OK", "agent2", sdp)
	ok = w.carrier.isAnswered(d)
	return invite, ok
}

func callerSDP() string { return sdpAt("192.0.2.10", 20000) }

// noEvents is a session description without telephone-events.
func noEvents(sdp string) string {
	return strings.NewReplacer(" 101\r", "\r", "a=rtpmap:101 telephone-event/8000\r\n", "", "a=fmtp:101 0-15\r\n", "").Replace(sdp)
}

// INFO (RFC 6086) goes from one side to the other, its body byte for byte, and the
// answer back. Other requests get 405.
func TestRequestsAreRelayed(t *testing.T) {
	inWorldWith(t, digitsConfig("relay"), func(w *world) {
		d, invite, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.carrier.within(d, "INFO", "Signal=5\r\nDuration=160\r\n", "Content-Type: application/dtmf-relay", "X-Step: 1", "Y-Step: 1")
		info := w.agent2.expect("INFO")
		if string(info.req().Body()) != "Signal=5\r\nDuration=160\r\n" || info.value("Content-Type") != "application/dtmf-relay" ||
			info.value("X-Step") != "1" || info.value("Y-Step") != "" || info.value("Contact") == "" {
			t.Errorf("INFO:\n%s", info.raw)
		}
		w.agent2.reply(info, 200, "Fine", "", "", "X-Answer: 2")
		if got := w.carrier.expect("SIP/2.0 200 Fine"); got.value("CSeq") != "2 INFO" {
			t.Errorf("answer:\n%s", got.raw)
		}
		w.agent2.agentRequest("MESSAGE", invite, "agent2", 7)
		w.agent2.expect("SIP/2.0 405")
		w.agent2.agentRequest("SUBSCRIBE", invite, "agent2", 8)
		w.agent2.expect("SIP/2.0 405")
		w.agent2.agentRequest("REFER", invite, "agent2", 9, "Refer-To: <tel:+15075550177>") // the target has no transfer
		w.agent2.expect("SIP/2.0 405")
		w.callerEnds(w.agent2, d)
	})
}

// A request that the other side does not answer gets 408; one that the other
// side has no dialog for any more ends the call.
func TestRelayedRequestWithoutAnswer(t *testing.T) {
	inWorldWith(t, digitsConfig("relay"), func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.carrier.within(d, "INFO", "", "Info-Package: x")
		for range 11 {
			w.agent2.expect("INFO")
		}
		if got := w.carrier.expect("SIP/2.0 408"); got.value("CSeq") != "2 INFO" {
			t.Errorf("answer:\n%s", got.raw)
		}
		w.carrier.within(d, "INFO", "", "Info-Package: x")
		w.agent2.reply(w.agent2.expect("INFO"), 481, "No Such Call", "", "")
		w.carrier.expect("SIP/2.0 481")
		hungUpOn(w.carrier, w.agent2)
		w.wantRecord("answered", cause.DialogLost, "system")
	})
}

// A BYE while a relayed request is pending: that gets 487 (RFC 3261 section 15.1.2). It is not sent again, and an answer that comes
// late changes nothing, not even a challenge: after our BYE nothing is sent in a dialog.
func TestByeAnswersWhatIsPending(t *testing.T) {
	yaml := strings.Replace(digitsConfig("relay"), "spare, kind: sip,", "spare, kind: sip, auth: {username: u, password_env: PW},", 1)
	for _, late := range []int{0, 200, 401} {
		runIn(t, strconv.Itoa(late), yaml, func(w *world) {
			d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
			w.carrier.within(d, "INFO", "", "Info-Package: x")
			info := w.agent2.expect("INFO")
			w.carrier.bye(d)
			if got := w.carrier.expect("SIP/2.0 200"); got.value("CSeq") != "3 BYE" {
				w.t.Errorf("answer:\n%s", got.raw)
			}
			if got := w.carrier.expect("SIP/2.0 487"); got.value("CSeq") != "2 INFO" {
				w.t.Errorf("answer:\n%s", got.raw)
			}
			bye := w.agent2.expect("BYE")
			if late != 0 {
				w.agent2.reply(info, late, "Late", "", "", `WWW-Authenticate: Digest realm="r", nonce="n"`)
			}
			w.agent2.silent(400 * time.Millisecond) // before the BYE would come again
			w.agent2.reply(bye, 200, "OK", "", "")
			w.agent2.silent(40 * time.Second)
			w.record()
		})
	}
}

// dtmf: rfc4733 makes telephone-events of the caller's INFO, although the
// caller has none.
func TestInfoToEvents(t *testing.T) {
	inWorldWith(t, digitsConfig("rfc4733"), func(w *world) {
		d, _, ok := w.answeredBySpare(noEvents(callerSDP()), agentSDP())
		if strings.Contains(ok.raw, "telephone-event") || strings.Contains(ok.raw, " 101") {
			t.Errorf("the caller was told of events:\n%s", ok.raw)
		}
		w.carrier.within(d, "INFO", "Signal=*\r\nDuration=160\r\n", "Content-Type: application/dtmf-relay")
		w.carrier.expect("SIP/2.0 200")
		if got, want := w.relay.sessions[0].digits, []string{"b * 160ms as 101/8000"}; !slices.Equal(got, want) {
			t.Errorf("digits %v; want %v", got, want)
		}
		w.carrier.within(d, "INFO", "x", "Content-Type: text/plain")
		w.agent2.reply(w.agent2.expect("INFO"), 200, "OK", "", "")
		w.carrier.expect("SIP/2.0 200")
		w.callerEnds(w.agent2, d)
	})
}

// dtmf: rfc4733 makes INFO of the target's telephone-events for a caller that has
// none, also where its Allow lacks INFO, as Asterisk's does. A caller that refuses
// INFO stays connected.
func TestEventsToCallerAsInfo(t *testing.T) {
	for allow, code := range map[string]int{"": 200, "Allow: INVITE, BYE, INFO\n": 200, "Allow: INVITE, BYE\n": 405} {
		inWorldWith(t, digitsConfig("rfc4733"), func(w *world) {
			d := w.carrier.newCall("+15095785607")
			d.sdp, d.extra = noEvents(callerSDP()), allow
			w.answeredBySpareTo(d, agentSDP())
			s := w.relay.sessions[0]
			if want := (media.TelephoneEvents{On: true, PayloadType: 101, ClockRate: 8000, Divert: true}); s.events[media.SideB] != want {
				t.Errorf("events %+v; want %+v", s.events, want)
			}
			s.onEvent(media.EventDigit{Side: media.SideB, Digit: '9', Duration: 120 * time.Millisecond})
			info := w.carrier.expect("INFO")
			if got := string(info.req().Body()); info.value("Content-Type") != "application/dtmf-relay" || !strings.Contains(got, "Signal=9") {
				t.Errorf("INFO:\n%s", info.raw)
			}
			w.carrier.reply(info, code, "As It Likes", "", "")
			synctest.Wait()
			w.callerHangsUpAt(w.agent2, d)
			w.wantRecord("answered", cause.CallerHangup, "caller")
		})
	}
	inWorldWith(t, digitsConfig("rfc4733"), func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		if got := w.relay.sessions[0].events; got[media.SideA].On || got[media.SideB].On {
			t.Errorf("events %+v are kept from a caller that has them", got)
		}
		w.callerEnds(w.agent2, d)
	})
}

// dtmf: info makes INFO of the caller's telephone-events, although the target
// has none, and telephone-events of the target's INFO.
func TestEventsToInfo(t *testing.T) {
	inWorldWith(t, digitsConfig("info"), func(w *world) {
		d, invite, ok := w.answeredBySpare(callerSDP(), noEvents(agentSDP()))
		if !strings.Contains(ok.raw, "a=rtpmap:101 telephone-event/8000") {
			t.Errorf("the caller was told no telephone-events:\n%s", ok.raw)
		}
		s := w.relay.sessions[0]
		if want := (media.TelephoneEvents{On: true, PayloadType: 101, ClockRate: 8000, Divert: true}); s.events[media.SideA] != want {
			t.Errorf("events %+v; want %+v", s.events, want)
		}
		s.onEvent(media.EventDigit{Side: media.SideA, Digit: '7', Duration: 120 * time.Millisecond})
		info := w.agent2.expect("INFO")
		if got := string(info.req().Body()); info.value("Content-Type") != "application/dtmf-relay" || !strings.Contains(got, "Signal=7") || !strings.Contains(got, "Duration=120") {
			t.Errorf("INFO:\n%s", info.raw)
		}
		w.agent2.reply(info, 200, "OK", "", "")
		w.agent2.agentSends("INFO", invite, "agent2", 9, "#", "Content-Type: application/dtmf")
		w.agent2.expect("SIP/2.0 200")
		if got, want := s.digits, []string{"a # 100ms as 101/8000"}; !slices.Equal(got, want) {
			t.Errorf("digits %v; want %v", got, want)
		}
		w.callerEnds(w.agent2, d)
	})
}

// Headers of a BYE go to the other side as pass_headers says, and its cause in
// our own Reason.
func TestByePassesHeaders(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		_, invite := w.established()
		w.agent.agentRequest("BYE", invite, "agent1", 7, "X-Outcome: sold", "Y-Secret: 1", `Reason: Q.850;cause=19;text="at 10.1.2.3"`)
		w.agent.expect("SIP/2.0 200")
		bye := w.carrier.expect("BYE")
		if bye.value("X-Outcome") != "sold" || bye.value("Y-Secret") != "" || bye.value("Reason") != `Q.850;cause=19;text="agent_hangup"` {
			t.Errorf("BYE:\n%s", bye.raw)
		}
		w.carrier.reply(bye, 200, "OK", "", "")
		if r := w.record(); r.Q850 != 19 {
			t.Errorf("record %+v", r)
		}
	})
}

// Privacy holds for what passes within the dialog, too (RFC 3323 section 4.1).
func TestPrivacyWithinDialog(t *testing.T) {
	inWorldWith(t, strings.Replace(digitsConfig("relay"), `pass_headers: ["X-*"]`, `pass_headers: [P-Asserted-Identity, "X-*"]`, 1), func(w *world) {
		d := w.carrier.newCall("+15095785607")
		d.extra = "Privacy: id\n"
		invite := w.carrier.ringsAt(w.agent2, d)
		w.carrier.isTakenBy(w.agent2, invite, "agent2", d)
		d.extra = ""
		w.carrier.within(d, "INFO", "", "P-Asserted-Identity: <sip:+15075550100@192.0.2.10>", "X-A: b")
		info := w.agent2.expect("INFO")
		if info.value("P-Asserted-Identity") != "" || info.value("X-A") != "b" {
			t.Errorf("INFO:\n%s", info.raw)
		}
		w.agent2.reply(info, 200, "OK", "", "")
		w.carrier.expect("SIP/2.0 200")
		w.callerEnds(w.agent2, d)
	})
}

// A flood of requests within a dialog leaves no transaction behind.
func TestFloodOfRequests(t *testing.T) {
	inWorld(t, func(w *world) {
		_, invite := w.established()
		for i := range 1000 {
			w.agent.agentRequest("OPTIONS", invite, "agent1", 10+i)
		}
		w.drain(time.Minute)
		w.settle()
	})
}
