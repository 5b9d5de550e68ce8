package calltest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

func digitsConfig(mode string) string {
	return strings.Replace(testConfig, `"sip:{{.To.Number}}@192.0.2.21:32681"`, `"sip:{{.To.Number}}@192.0.2.21:32681", dtmf: `+mode+
		`, pass_headers: ["X-*"]`, 1)
}

// answeredBySpare sets up a call to the spare agent with these session descriptions. ok
// is the carrier's 200.
func (w *world) answeredBySpare(offer, sdp string) (d *dialogue, invite, ok received) {
	w.t.Helper()
	d = w.carrier.newCall("+15095785607")
	d.sdp = offer
	invite, ok = w.answeredBySpareTo(d, sdp)
	return d, invite, ok
}

// answeredBySpareTo is answeredBySpare for an existing call.
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

// noEvents removes telephone-events from a session description.
func noEvents(sdp string) string {
	return strings.NewReplacer(" 101\r", "\r", "a=rtpmap:101 telephone-event/8000\r\n", "", "a=fmtp:101 0-15\r\n", "").Replace(sdp)
}

// With dtmf: rfc4733, the caller's INFO becomes telephone-events for the target, although the caller has no
// telephone-events itself.
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

// A caller may list telephone-events only in a re-INVITE, so the target is always offered them. Until then, its own
// become INFO to the caller.
func TestEventsThatComeLater(t *testing.T) {
	tell(t, talkYAML("", ""), `
== with a re-INVITE of the caller
carrier: calls 15075785607 (0) ; gets 180
agent: gets INVITE (0 101) ; takes (0 96) ; changed -101 -96
carrier: gets 200 (0) ; acks
agent: presses 5
carrier: gets INFO | text: ~Signal=5 ; says 200
carrier: says INVITE (0 101) ; gets 200 (0 101) ; acks ; changed 101>96
agent: changed 96>101 ; presses 5 ; silent 1s
carrier: silent 1s ; hangs up on agent

== a target that does not take them
carrier: calls 15075785607 (0) ; gets 180
agent: gets INVITE (0 101) ; takes (0)
carrier: gets 200 (0) ; acks ; says INVITE (0 101) ; gets 200 (0) ; acks ; hangs up on agent

== the next target
carrier: calls 15085785607 (0)
agent: gets INVITE (0 101) ; says 183 (0)
carrier: gets 183 (0)
agent: says 500 to INVITE ; gets ACK
spare: gets INVITE (8 101) ; takes (8 101)
carrier: gets 200 (0) ; acks ; says INVITE (0 101) ; gets 200 (0 101) ; acks ; changed 0u>8 ; hangs up on spare

== Opus that is made of G.711, and the reverse
`+opusAgent+`carrier: calls 15075785607 (0) ; gets 180
agent: gets INVITE (96 101) ; takes (111 110)
carrier: gets 200 (0) ; acks ; says INVITE (0 101) ; gets 200 (0 101) ; acks ; changed 101>110 ; hangs up on agent

== and the reverse
carrier: calls 15075785607 (111) ; gets 180
agent: gets INVITE (0 8 101) ; takes (0 101)
carrier: gets 200 (111) ; acks ; says INVITE (111 110) ; gets 200 (111 110) ; acks ; changed 110>101 ; hangs up on agent
`)
}

// With dtmf: rfc4733, the target's telephone-events become INFO for a caller without telephone-events, even if its
// Allow lacks INFO, as with Asterisk. If the caller refuses the INFO, the call continues.
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

// With dtmf: info, the caller's telephone-events become INFO for the target, which has no telephone-events. The
// target's INFO becomes telephone-events.
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
		seq := w.carrier.reinvite(d, siptest.SessionAt("192.0.2.10", 20000, "0 8 96")) // another payload number
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, seq, "")
		synctest.Wait()
		if e := s.events[media.SideA]; !e.On || e.PayloadType != 96 {
			t.Errorf("events %+v; want those of 96", e)
		}
		if e := s.peers[media.SideA].Events; !e.Has(96) || e.Has(0) {
			t.Errorf("the media is told of events %b", e)
		}
		w.callerEnds(w.agent2, d)
	})
}

// Keys that become INFO are sent one at a time: each waits for the answer to the one before, and for that key's
// duration.
func TestKeysAsInfo(t *testing.T) {
	tell(t, strings.Replace(transferConfig, "transfer: local", "transfer: local\n    dtmf: info", 1), `
up: agent

== of an order, though the target has telephone-events
operator: presses 479
agent: gets INFO | body: Signal=4\nDuration=100\n ; says 200 ; silent 100ms ; gets INFO | body: ~Signal=7 ; silent 400ms ; says 200
agent: gets INFO | body: ~Signal=9 | later ; says 200
operator: is told <nil> ; presses 1
agent: gets INFO | body: ~Signal=1 ; says 200
operator: is told <nil>
carrier: hangs up on agent

== to a side without telephone-events
with: dtmf: info => dtmf: relay
agent: says INVITE (0) ; gets 200 ; acks
operator: presses 4
agent: gets INFO ; says 200
operator: is told <nil>
carrier: hangs up on agent

== a key that is refused ends the order, and its answer says how many went
operator: presses 471
agent: gets INFO ; says 200 ; gets INFO ; says 500 ; silent 2s
operator: is told 1 of 3 keys were pressed, and the next one got 500
carrier: hangs up on agent

== so does one without an answer
operator: presses 471
agent: gets INFO ; says 200 ; gets INFO ; drains 40s
operator: is told 1 of 3 keys were pressed, and 10 s were over
carrier: presses 9
agent: gets INFO | body: ~Signal=9 ; says 200
carrier: hangs up on agent

== and a BYE
operator: presses 471
agent: gets INFO ; says 200
carrier: hangs up on agent
operator: is told 1 of 3 keys were pressed, and the call has ended

== and the agent's leaving
operator: presses 471
agent: gets INFO ; refers to <tel:4711>
spare: gets INVITE ; takes
agent: notified 200 terminated ; gets BYE ; says 200 ; says 200 to INFO
operator: is told 0 of 3 keys were pressed, and the call goes to somebody else ; presses 1
spare: says 200 ; drains 1s
operator: is told <nil>
carrier: hangs up on spare

== and an upgrade
operator: presses 471
agent: gets INFO ; says 200
server: is replaced
operator: is told 1 of 3 keys were pressed, and the process was replaced
agent: silent 1s
carrier: hangs up on agent

== keys of a caller, of which each has its own fate, and for which an upgrade waits
carrier: presses 123
agent: gets INFO | body: ~Signal=1 ; silent 400ms ; says 500 ; silent 20ms
server: waits: a request has no answer yet
agent: gets INFO | body: ~Signal=2 ; says 200 ; silent 100ms ; gets INFO | body: ~Signal=3 ; says 200 ; silent 1s
carrier: hangs up on agent

== no more than 32 wait
carrier: presses 1234567890123456789012345678901234
agent: gets INFO `+strings.Repeat("; says 200 ; gets INFO ", 31)+`| body: ~Signal=2 ; says 200 ; silent 1s
carrier: hangs up on agent`)
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

// Some requests within a call are passed on to the other side.
func TestRequestsAreRelayed(t *testing.T) {
	tell(t, digitsConfig("relay"), `
up: spare

== INFO goes from one side to the other, and the answer back (RFC 6086); other requests get 405
carrier: says INFO {Signal=5\nDuration=160\n} | Content-Type: application/dtmf-relay | X-Step: 1 | Y-Step: 1
spare: gets INFO | body: Signal=5\nDuration=160\n | Content-Type: application/dtmf-relay | X-Step: 1 | Y-Step: | Contact: *
spare: says 200 | X-Answer: 2
carrier: gets 200 | text: ~SIP/2.0 200 Said So | CSeq: 2 INFO
spare: says MESSAGE ; gets 405 ; says SUBSCRIBE ; gets 405
spare: says REFER | Refer-To: <tel:+15075550177> ; gets 405 # the target has no transfer
carrier: hangs up on spare

== a request that the other side does not answer gets 408; one that it has no dialog for ends the call
carrier: says INFO | Info-Package: x
spare: gets INFO`+strings.Repeat(" ; gets INFO", 10)+`
carrier: gets 408 | CSeq: 2 INFO ; says INFO | Info-Package: x
spare: gets INFO ; says 481
carrier: gets 481 ; is left for dialog_lost
spare: is left for dialog_lost
record: answered dialog_lost system`)
	stories := ""
	for _, late := range []string{"", "says 200 to INFO ; ", `says 401 to INFO | WWW-Authenticate: Digest realm="r", nonce="n" ; `} {
		stories += `
== a BYE answers what is pending (RFC 3261 section 15.1.2); after it nothing is sent, whatever comes late: ` + late[:min(len(late), 8)] + `
with: spare, kind: sip, => spare, kind: sip, auth: {username: u, password_env: PW},
up: spare
carrier: says INFO | Info-Package: x
spare: gets INFO
carrier: says BYE ; gets 200 | CSeq: 3 BYE ; gets 487 | CSeq: 2 INFO
spare: gets BYE ; ` + late + `silent 400ms ; says 200 to BYE ; silent 40s # before the BYE would come again
record: hung up by carrier
`
	}
	tell(t, digitsConfig("relay"), stories+`
== privacy holds within the dialog, too (RFC 3323 section 4.1)
with: pass_headers: ["X-*"] => pass_headers: [P-Asserted-Identity, "X-*"]
carrier: calls 15095785607 | Privacy: id ; gets 180
spare: gets INVITE ; takes
carrier: gets 200 ; acks ; says INFO | P-Asserted-Identity: <sip:+15075550100@192.0.2.10> | X-A: b
spare: gets INFO | P-Asserted-Identity: | X-A: b ; says 200
carrier: gets 200 ; hangs up on spare`)
	tell(t, transferConfig, `
== headers of a BYE go to the other side as pass_headers says, and its cause in our own Reason
up: agent
agent: says BYE | X-Outcome: sold | Y-Secret: 1 | Reason: Q.850;cause=19;text="at 10.1.2.3" ; gets 200
carrier: gets BYE | X-Outcome: sold | Y-Secret: | Reason: Q.850;cause=19;text="agent_hangup" ; says 200
record: hung up by agent | Q850: 19`)
}
