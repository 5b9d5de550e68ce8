package calltest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/store/record"
)

func TestCallAnsweredCallerHangsUp(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dials("+15075785607")
		ringing := d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE sip:+15075785607@192.0.2.20:32681")

		if got := ringing.value("Contact"); got != "<sip:198.51.100.1:5060>" {
			t.Errorf("Contact toward the carrier %q", got)
		}
		for header, want := range map[string]string{
			"X-EI": "S.id-1;", "P-Asserted-Identity": "<sip:+15075550100@198.51.100.1>", "Max-Forwards": "69",
			"Contact": "<sip:198.51.100.1:5060>", "To": "<sip:+15075785607@192.0.2.20:32681>", "CSeq": "1 INVITE",
			"X-Empty": "", "Allow": leg.Methods + ", INFO", "User-Agent": leg.AgentName,
		} {
			if got := invite.value(header); got != want {
				t.Errorf("%s: %q; want %q", header, got, want)
			}
		}
		if !strings.Contains(invite.raw, "\r\nx-Caller: +15075550100\r\n") {
			t.Error("configured header is not on the wire as it was spelled")
		}
		if got := invite.value("From"); !strings.HasPrefix(got, `"Ann Smith" <sip:+15075550100@198.51.100.1>;tag=`) {
			t.Errorf("From %q", got)
		}
		for _, secret := range []string{"carrier-1", "192.0.2.10", "10.9.9.9", "peer's own name"} {
			if strings.Contains(invite.raw, secret) {
				t.Errorf("the target can see %q of the carrier's side", secret)
			}
		}
		if !strings.Contains(invite.raw, "c=IN IP4 198.51.100.1\r\n") || !strings.Contains(invite.raw, "m=audio 10002 RTP/AVP 0 8 101\r\n") ||
			!strings.Contains(invite.raw, "a=fmtp:101 0-15\r\n") || !strings.Contains(invite.raw, "a=rtcp:10003\r\n") {
			t.Errorf("offer to the target:\n%s", invite.raw)
		}

		w.agent.reply(invite, 180, "Ringing", "agent1", "")
		time.Sleep(2 * time.Second)
		w.agent.answer(invite, "agent1")
		ack := w.agent.expect("ACK sip:agent@192.0.2.20:32681")
		if ack.value("CSeq") != "1 ACK" || !strings.Contains(ack.value("To"), "tag=agent1") {
			t.Errorf("ACK:\n%s", ack.raw)
		}
		ok := w.carrier.expect("SIP/2.0 200")
		if !strings.Contains(ok.raw, "m=audio 10000 RTP/AVP 0 8 101\r\n") || strings.Contains(ok.raw, "192.0.2.20") {
			t.Errorf("answer to the carrier:\n%s", ok.raw)
		}
		if message.TagOf(ok.res().To().Params) != d.toTag {
			t.Error("200 has another To tag than 180")
		}
		w.carrier.ack(d)
		time.Sleep(time.Minute)
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		bye := w.agent.expect("BYE sip:agent@192.0.2.20:32681")
		w.agent.reply(bye, 200, "OK", "", "")

		r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
		if r.DurationMS != 60_000 || r.SetupMS != 2000 || r.SynthflowCallID != "id-1" || r.Codec != "PCMU" ||
			r.SIPStatus != 200 || r.Q850 != 16 || r.Media.A.Rx != 7 || len(r.Attempts) != 1 || r.Target != "agent" {
			t.Errorf("record %+v", r)
		}
	})
}

func TestRetransmittedInviteMakesOneCall(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dials("+15075785607")
		invite := w.carrier.ringsAt(w.agent, d)
		w.carrier.rest() // the transaction answers the retransmission
		w.carrier.invite(d)
		w.carrier.expect("SIP/2.0 180") // the answer to the new INVITE
		w.carrier.isTakenBy(w.agent, invite, "a", d)
		w.carrier.invite(d) // a very late retransmission
		w.carrier.silent(time.Second)
		if n := len(w.prepare.asked); n != 1 {
			t.Errorf("%d calls were prepared", n)
		}
		merged := *d
		merged.branch += "x"
		merged.toTag = "" // so that it is not within the dialog
		w.carrier.invite(&merged)
		w.carrier.expect("SIP/2.0 482")
		w.carrier.ackRefused(&merged)
		w.callerEnds(w.agent, d)
	})
}

func TestShutdownHangsUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.established()
		w.server.Drain()
		w.server.HangupAll()
		hungUpOn(w.carrier, w.agent)
		w.wantRecord("answered", cause.Shutdown, record.EndedBySystem)
		d := w.carrier.dials("+15075785607")
		if refused := d.learn(w.carrier.expect("SIP/2.0 503")); refused.value("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		if all := w.server.Rejected().All(); all["draining"] != 1 || all["full"] != 0 {
			t.Errorf("the refusal of a drain is counted as %v", all)
		}
	})
}

// Messages from unknown senders are dropped and counted. So are calls of a target that has neither sources nor
// call_auth. A request within a dialog, with our tag, is accepted from any address.
func TestStrangers(t *testing.T) {
	inWorld(t, func(w *world) {
		stranger := w.peer(netip.MustParseAddrPort("203.0.113.66:5060"))
		defer stranger.conn.Close()
		d := stranger.newCall("+15075785607")
		invite, forged := d.request("INVITE"), *d
		forged.toTag = "forged"
		for i, text := range []string{
			invite, d.request("OPTIONS"), forged.request("BYE"), strings.Replace(invite, "Call-ID: ", "X: ", 1),
			strings.Replace(invite, "SIP/2.0\n", "SIP/3.0\n", 1), strings.Replace(invite, "INVITE sip", "INVITE nosip", 1), sized(d, maxMessage+1),
		} {
			stranger.send(text)
			stranger.silent(time.Minute)
			if n := w.server.Rejected().UnknownSource.Load(); n != uint64(i+1) {
				t.Errorf("%d strangers counted; want %d, after\n%.60s", n, i+1, text)
			}
		}
		w.agent.dials("+15075785607")
		w.agent.silent(time.Second)
		if n := w.server.Rejected().UnknownSource.Load(); n != 8 {
			t.Errorf("%d strangers counted; want 8", n)
		}
		_, own := w.established()
		stranger.agentRequest("BYE", own, "agent1", 1) // from the platform, but from an address that is not configured
		stranger.expect("SIP/2.0 200")
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.record()
	})
}

// A call can be found until its record is written, but does not count as live after its end.
func TestFoundUntilRecordIsWritten(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		id := w.server.Live(w.t.Context())[0].Record.ID
		w.sink.hold = make(chan struct{})
		w.callerHangsUp(d)
		time.Sleep(time.Minute)
		l, ok := w.server.Find(w.t.Context(), id)
		if !ok || l.Phase != "ending" || l.Record.Cause != string(cause.CallerHangup) || len(w.server.Live(w.t.Context())) != 0 {
			t.Errorf("found %v: %+v; %d live, want none", ok, l, len(w.server.Live(w.t.Context())))
		}
		close(w.sink.hold)
		w.record()
		if _, ok := w.server.Find(w.t.Context(), id); ok {
			t.Error("a call whose record is written is still live")
		}
	})
}

func TestPlainCalls(t *testing.T) {
	tell(t, testConfig, `
== max_duration is over
up: agent
carrier: +1h ; is left for max_duration
agent: is left for max_duration
record: answered max_duration system | DurationMS: 3600000

== the advertised addresses are what peers are told, but for those in the local networks
with: sip: { => sip: {advertise: sip.example.com, local_networks: [192.0.2.10/32],
with: media: { => media: {advertise: 203.0.113.9,
carrier: calls 15075785607 ; gets 180 | Contact: <sip:198.51.100.1:5060>
agent: gets INVITE | Contact: <sip:sip.example.com:5060> | Via: ~SIP/2.0/UDP sip.example.com:5060; | text: ~c=IN IP4 203.0.113.9
agent: takes
carrier: gets 200 | text: ~c=IN IP4 198.51.100.1 ; acks ; hangs up on agent`)
	tell(t, talkYAML("", ""), `
== an offer without c= says nowhere to send media to (RFC 8866 section 5.7)
carrier: calls 15075785607 (0 101 homeless) ; gets 400 | Warning: 399 flowbridge "no c= line with an address for the audio" ; acks
record: failed bad_offer system

== an offer that can't be read says why, and shows no key
carrier: calls 15075785607 (0 101 :70000) ; gets 400 | Warning: 399 flowbridge "not a session description: port \"70000\"" ; acks
record: failed bad_offer system

== media can't go to an address of another family, or to another network (RFC 3261 section 20.43)
carrier: calls 15075785607 (0 101 host=2001:db8::7) ; gets 488 | Warning: 301 flowbridge "media has no address of the family in c=" ; acks
record: failed no_common_codec system

== and a target that answers with one is no target
carrier: calls 15085785607
agent: gets INVITE ; says 183 (host=2001:db8::7)
carrier: silent 1s
agent: says 200 (host=2001:db8::7) to INVITE ; gets ACK ; gets BYE ; says 200
spare: gets INVITE ; takes (8 101)
carrier: gets 200 ; acks ; hangs up on spare | attempts: agent bad_answer, spare

== a caller gets media of the family in its c=, also over signalling of the other family
with: listen: ["198.51.100.1"] => listen: ["198.51.100.1", "2001:db8::1"]
carrier: calls 15075785607 (0 101 host=2001:db8::7) ; gets 180
agent: gets INVITE ; takes
carrier: gets 200 | text: ~c=IN IP6 2001:db8::1 ; acks ; hears [2001:db8::7]:20000 ; hangs up on agent

== a target that is called while the caller holds is not told: the hold is kept here
carrier: calls 15075785607 (0 101 inactive) ; gets 180
agent: gets INVITE (sendrecv) ; takes
carrier: gets 200 (inactive) ; acks ; hears :20000 held ; says INVITE (sendrecv) ; gets 200 (sendrecv) ; acks ; hears
agent: silent 1s
carrier: hangs up on agent

== and a caller whose target holds from the beginning is not told
carrier: calls 15075785607 (0 101 recvonly) ; gets 180
agent: gets INVITE (sendrecv) ; says 183 (sendonly)
carrier: gets 183 (sendonly)
agent: takes (sendonly)
carrier: gets 200 same ; acks ; says INVITE (sendrecv) ; gets 200 (sendrecv) ; acks
agent: says INVITE (sendrecv) ; gets 200 (sendrecv) ; acks
carrier: silent 1s ; hangs up on agent

== and early media without it is not passed on
carrier: calls 15085785607
agent: gets INVITE ; says 183 (0 101 homeless)
carrier: silent 1s
agent: takes
carrier: gets 200 ; acks ; hangs up on agent

== nothing fits, and nothing can be made to (RFC 3261 section 21.4.26)
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [PCMU]
carrier: calls 15075785607 (9 18 101) ; gets 488 | Warning: ~no codec in common ; acks
record: failed no_common_codec system

== a hold lacks what was agreed besides the codec: the other side of a translated call can't be asked for it, and need not be
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [PCMA]
carrier: calls 15075785607 (0 101) ; gets 180
agent: gets INVITE ; takes (8 101)
carrier: gets 200 ; acks ; says INVITE (0 sendonly) ; gets 200 (0 recvonly) ; acks ; hangs up on agent

== what was told with early media stays: the next target, which has the other kind of G.711 alone, is translated for
carrier: calls 15085785607
agent: gets INVITE ; says 183 (0 101)
carrier: gets 183
agent: says 500 ; gets ACK
spare: gets INVITE (8 101) ; takes (8 101)
carrier: gets 200 same ; acks ; changed 0u>8
spare: changed 8a>0
carrier: hangs up on spare`)
}

// A carrier behind NAT has a private address in Contact and sends SIP from a public one. Our BYE goes to the public
// address.
func TestBehindNAT(t *testing.T) {
	for nat, bye := range map[string]string{
		"auto": "gets BYE | URI: sip:ann@10.1.2.3:5062 ; says 200", "on": "gets BYE | URI: sip:ann@10.1.2.3:5062 ; says 200",
		"off": "silent 1s",
	} {
		tell(t, testConfig, strings.NewReplacer("NAT", nat, "BYE-COMES", bye).Replace(`
== nat: NAT
with: country: "1"} => country: "1", nat: NAT}
carrier: calls 15075785607 at <sip:ann@10.1.2.3:5062> ; gets 180
agent: gets INVITE ; takes
carrier: gets 200 ; acks
agent: says BYE ; gets 200
carrier: BYE-COMES
record: hung up by agent`))
	}
}

// RFC 3261 sections 12 and 12.2.2: Call-ID and both tags identify a dialog. A request
// with another From tag belongs to no dialog and gets 481. The call continues.
func TestByeWithOtherFromTagGets481(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		d.from = strings.Replace(d.from, "tag=ann", "tag=eve", 1)
		w.carrier.bye(d)
		if got := w.carrier.expect("SIP/2.0 "); !strings.HasPrefix(got.raw, "SIP/2.0 481") {
			t.Errorf("BYE with another From tag: %s", strings.SplitN(got.raw, "\r\n", 2)[0])
		}
		w.settle()
	})
}
