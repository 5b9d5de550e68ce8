package calltest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/sdp"
	"flowbridge/store/record"
)

// If a target fails after its early media, the carrier's session stays the same when another target answers: the second
// target is offered only the codec that the carrier already has.
func TestAnswerOutlivesItsTarget(t *testing.T) {
	for _, tt := range []struct{ first, offered, second, code, codec string }{
		{"0 101", "0 101", "0 101", "183", "PCMU"},
		{"8 101", "8 101", "8 101", "183", "PCMA"},
		{"8 0 101", "8 101", "8", "180", "PCMA"},
		{"8", "8 101", "8", "183", "PCMA"}, // no telephone-event was agreed
	} {
		for ringing, first := range map[string]string{"immediate": "; gets 180", "on-target": "", "none": ""} {
			tell(t, testConfig, strings.NewReplacer(
				"FIRST", tt.first, "OFFERED", tt.offered, "SECOND", tt.second, "CODEC", tt.codec, "CODE", tt.code, "RINGING", ringing,
				"CALLS", "calls 15085785607 "+first,
			).Replace(`
== FIRST, ringing RINGING
with: ringing: on-target => ringing: RINGING
carrier: CALLS
agent: gets INVITE ; says CODE (FIRST)
carrier: gets 18
agent: says 500 ; gets ACK
spare: gets INVITE (OFFERED) ; says 183 (SECOND lower) ; says 183 (SECOND lower)
carrier: silent 1s
spare: takes (SECOND lower)
carrier: gets 200 same ; acks
spare: hears
carrier: hangs up on spare | attempts: agent target_error, spare | Codec: CODEC`))
		}
	}
	tell(t, testConfig, `
== a target that is not called was not dialled, though the one before was
with: {name: spare, kind: sip, => {name: spare, kind: sip, codecs: [G722],
carrier: calls 15085785607
agent: gets INVITE ; says 503 ; gets ACK
carrier: gets 503 ; acks
record: failed no_common_codec system | attempts: agent target_error, spare no_common_codec | DialedAt: | TargetSIPCallID:

== a target that can't use the codec that the carrier was told is not called
with: {name: spare, kind: sip, => {name: spare, kind: sip, codecs: [G722],
carrier: calls 15085785607
agent: gets INVITE ; says 183 (8)
carrier: gets 183
agent: says 503 ; gets ACK
carrier: gets 503 ; acks
record: failed no_common_codec system | attempts: agent target_error, spare no_common_codec`)
}

// setup_timeout and the Expires of an INVITE (RFC 3261 section 13.3.1) both limit the whole set-up. Either may expire
// at any step, and must then end whatever that step has started.
func TestSetupTimeoutEverywhere(t *testing.T) {
	stories := `
with: ringing: on-target} => ringing: none, setup_timeout: 10s, otherwise: 504}

== while preparing
platform: takes 1h
carrier: calls 15085785607 ; REFUSED | attempts: agent setup_timeout

== without an answer, for which it would wait for longer
with: timeout: 3s} => timeout: 3s}\n    first_response_timeout: 30s
carrier: calls 15085785607
agent: drains 10s
carrier: REFUSED | attempts: agent setup_timeout
agent: drains 1m

== at the second target
platform: takes 3s
carrier: calls 15085785607
agent: gets INVITE ; says 503 | Reason: Q.850;cause=34 ; gets ACK
spare: gets INVITE ; says 183 ; ceases
carrier: REFUSED | attempts: agent target_error, spare setup_timeout

== while the second's name is looked up
with: 192.0.2.21:32681 => hangs.test:32681
carrier: calls 15085785607
agent: gets INVITE ; says 100 ; +9s ; says 503 ; gets ACK
carrier: REFUSED | attempts: agent target_error, spare setup_timeout`
	tell(t, testConfig, strings.ReplaceAll(stories, "REFUSED", "gets 504 ; lasted 10s ; acks\nrecord: failed setup_timeout system | SIPStatus: 504 | Q850: 102"))
	tell(t, testConfig, strings.NewReplacer("calls 15085785607", "calls 15085785607 | Expires: 10", ", setup_timeout: 10s", "", "setup_timeout", "expired",
		"REFUSED", "gets 487 ; lasted 10s ; acks\nrecord: no_answer expired system | SIPStatus: 487 | Q850: 31").Replace(stories)+`

== an Expires that can't be read counts as none; one that was in time ends nothing
carrier: calls 15085785607 | Expires: soon
agent: gets INVITE ; says 180 ; +11s ; takes
carrier: gets 200 ; acks ; hangs up on agent
carrier: calls 15085785607 | Expires: 10
agent: gets INVITE ; takes
carrier: gets 200 ; acks ; +20s ; hangs up on agent`)
}

// inSlowWorld is a world in which looking up hangs.test never ends, and agents.test has two addresses.
func inSlowWorld(t *testing.T, yaml string, test func(w *world)) {
	t.Helper()
	inWorldOf(t, yaml, func(o *b2bua.Options) {
		o.Network.Names.Ask = func(ctx context.Context, host string, kind uint16) (*dns.Msg, error) {
			if host == "hangs.test." {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return zoneOf(t, twoAddresses)(ctx, host, kind)
		}
	}, test)
}

// wantCauses checks the causes of a record's attempts, and that the durations of the attempts add up.
func (w *world) wantCauses(r record.Record, causes ...cause.Cause) {
	w.t.Helper()
	var got []cause.Cause
	var sum int64
	for _, a := range r.Attempts {
		got = append(got, cause.Cause(a.Cause))
		sum += a.MS
	}
	if fmt.Sprint(got) != fmt.Sprint(causes) {
		w.t.Errorf("attempts ended by %v; want %v", got, causes)
	}
	if whole := r.EndedAt.Sub(r.StartedAt.Time).Milliseconds(); sum != whole {
		w.t.Errorf("attempts took %d ms of %d", sum, whole)
	}
}

// If no target takes the call, the carrier gets the expected answer, and the record the expected cause.
func TestNobodyTakesTheCall(t *testing.T) {
	stories := "with: ringing: on-target} => ringing: none, otherwise: OTHERWISE}\n"
	for _, tt := range []struct{ code, phrase, disposition, q850 string }{
		{"400", "Bad Request", "failed", "41"},
		{"403", "Forbidden", "failed", "21"},
		{"404", "Not Found", "failed", "1"},
		{"408", "Request Timeout", "no_answer", "102"},
		{"480", "Temporarily Unavailable", "no_answer", "18"},
		{"486", "Busy Here", "busy", "17"},
		{"500", "Server Internal Error", "failed", "41"},
		{"504", "Server Time-out", "failed", "102"},
		{"599", "Server Failure", "failed", "0"},
		{"600", "Busy Everywhere", "busy", "17"},
		{"603", "Decline", "failed", "21"},
	} {
		tell(t, testConfig, strings.NewReplacer(
			"OTHERWISE", tt.code, "PHRASE", tt.phrase, "DISPOSITION", tt.disposition, "CAUSE", tt.q850,
		).Replace(stories+`
== otherwise: OTHERWISE
platform: fails prepare_refused 200
carrier: calls 15085785607
spare: gets INVITE ; says 500 ; gets ACK
carrier: gets OTHERWISE | text: ~SIP/2.0 OTHERWISE PHRASE ; acks
record: DISPOSITION target_error system | SIPStatus: OTHERWISE | Q850: CAUSE | attempts: agent prepare_refused, spare target_error`))
	}
	// The Q.850 cause belongs to the answer that is passed on, or else to the last target's failure.
	for _, tt := range []struct{ name, said, code, q850, record string }{
		{"passed on", "Q.850;cause=20", "480", "20", "no_answer target_refused agent"},
		{"without Reason", "SIP;cause=200", "480", "18", "no_answer target_refused agent"},
		{"last target", `SIP;cause=503, Q.850 \; cause=27;text="a;b"`, "503", "27", "failed target_error system"},
		{"not the first", "", "503", "41", "failed target_error system"},
	} {
		tell(t, testConfig, strings.NewReplacer("NAME", tt.name, "SAID", tt.said, "CODE", tt.code, "ISDN", tt.q850, "RECORD", tt.record).Replace(`
== the cause of the answer that decided: NAME
with: ringing: on-target} => ringing: none}
carrier: calls 15085785607
agent: gets INVITE ; says 503 | Reason: Q.850;cause=34 ; gets ACK
spare: gets INVITE ; says CODE | Reason: SAID ; gets ACK
carrier: gets CODE ; acks
record: RECORD | Q850: ISDN`))
	}
}

// The last resort is a number at another carrier, called by a plain INVITE to a host that is also a trunk. That host's
// answers and BYE must be matched to our call.
func TestLastResortIsATrunk(t *testing.T) {
	yaml := strings.NewReplacer(
		"targets:\n", `  - {name: backup, sources: ["192.0.2.30"], max_calls: 1}
targets:
  - {name: desk, kind: sip, uri: "sip:+18005550199@192.0.2.30:5060"}
`, "targets: [agent, spare], ringing: on-target}", "targets: [agent, spare, desk], ringing: on-target}").Replace(testConfig)
	inWorldWith(t, strings.Replace(yaml, "  - {trunk: carrier, to: \"^\\\\+1509\"", "  - {to: \"^\\\\+1509\"", 1), func(w *world) {
		w.prepare.err = &outbound.PrepareError{Cause: cause.PrepareTimeout, Err: sdp.ErrNoCodec}
		desk := w.otherAt("192.0.2.30:5060")
		d := w.carrier.dials("+15085785607")
		w.agent2.concludes(w.agent2.expect("INVITE"), 500, "Broken", "b", "")
		invite := desk.expect("INVITE sip:+18005550199@192.0.2.30:5060 SIP/2.0")
		desk.reply(invite, 180, "Ringing", "c", "")
		d.learn(w.carrier.expect("SIP/2.0 180"))
		w.carrier.isTakenBy(desk, invite, "c", d)
		desk.agentHangsUpOn(w.carrier, invite, "c", 1)
		r := w.wantRecord("answered", cause.AgentHangup, record.EndedByAgent)
		w.wantAttempts(r, "agent prepare_timeout", "spare target_error", "desk ")
		if r.Trunk != "carrier" || r.Target != "desk" {
			t.Errorf("from %s to %s", r.Trunk, r.Target)
		}
	})
}

// wantAttempts checks targets and causes of the attempts.
func (w *world) wantAttempts(r record.Record, want ...string) {
	w.t.Helper()
	var got []string
	for _, a := range r.Attempts {
		got = append(got, a.Target+" "+a.Cause)
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		w.t.Errorf("attempts %q; want %q", got, want)
	}
}
