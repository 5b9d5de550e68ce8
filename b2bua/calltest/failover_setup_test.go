package calltest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/sdp"
	"flowbridge/store/record"
)

// withSDP is an agent's description with these formats instead of the usual.
func withSDP(host, formats string) string {
	return strings.Replace(sdpAt(host, 30000), "RTP/AVP 0 8 101", "RTP/AVP "+formats, 1)
}

// What the carrier was told with early media stays as it is when the target
// fails and another one answers: the other one is offered that codec alone.
func TestAnswerOutlivesItsTarget(t *testing.T) {
	for _, tt := range []struct {
		first, offered, second string
		code                   int
	}{
		{"0 101", "0 101", "0 101", 183},
		{"8 101", "8 101", "8 101", 183},
		{"8 0 101", "8 101", "8", 180},
		{"8", "8", "8", 183}, // no telephone-event was agreed
	} {
		for _, ringing := range []string{"immediate", "on-target", "none"} {
			t.Run(tt.first+" "+ringing, func(t *testing.T) {
				yaml := strings.Replace(testConfig, "ringing: on-target", "ringing: "+ringing, 1)
				inWorldWith(t, yaml, func(w *world) {
					d := w.carrier.dials("+15085785607")
					if ringing == "immediate" {
						w.carrier.expect("SIP/2.0 180")
					}
					first := w.agent.expect("INVITE")
					w.agent.reply(first, tt.code, "Early", "a", withSDP("192.0.2.20", tt.first))
					early := d.learn(w.carrier.expect("SIP/2.0 18"))
					w.agent.concludes(first, 500, "Broken", "a", "")
					second := w.agent2.expect("INVITE")
					answer := strings.ToLower(withSDP("192.0.2.21", tt.second)) // names of codecs are the same in any case
					answer = strings.ReplaceAll(strings.ReplaceAll(answer, "rtp/avp", "RTP/AVP"), "in ip4", "IN IP4")
					if !strings.Contains(second.raw, " RTP/AVP "+tt.offered+"\r\n") {
						t.Errorf("want an offer of %s:\n%s", tt.offered, second.raw)
					}
					for range 2 {
						w.agent2.reply(second, 183, "Session Progress", "b", answer)
					}
					w.carrier.silent(time.Second)
					w.agent2.concludes(second, 200, "OK", "b", answer)
					if ok := w.carrier.expect("SIP/2.0 200"); string(ok.Body()) != string(early.Body()) {
						t.Errorf("the answer changed:\n%s\n%s", early.Body(), ok.Body())
					}
					w.carrier.ack(d)
					synctest.Wait()
					if got := w.relay.sessions[0].peers[1].RTP; got != netip.MustParseAddrPort("192.0.2.21:30000") || len(w.relay.sessions) != 1 {
						t.Errorf("media goes to %v in %d sessions", got, len(w.relay.sessions))
					}
					r := w.callerEnds(w.agent2, d)
					if len(r.Attempts) != 2 || r.Attempts[0].SIPStatus != 500 || r.Codec != map[byte]string{'0': "PCMU", '8': "PCMA"}[tt.first[0]] {
						t.Errorf("codec %s, attempts %+v", r.Codec, r.Attempts)
					}
				})
			})
		}
	}
}

// A target that can't use the codec that the carrier was told is not called.
func TestCodecOfEarlyMediaIsNotTheOthers(t *testing.T) {
	yaml := strings.Replace(testConfig, "{name: spare, kind: sip,", "{name: spare, kind: sip, codecs: [G722],", 1)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.dials("+15085785607")
		invite := w.agent.progresses(183, "Session Progress", "a", withSDP("192.0.2.20", "8"))
		d.learn(w.carrier.expect("SIP/2.0 183"))
		w.agent.concludes(invite, 503, "Broken", "a", "")
		w.carrier.isRefused(d, "503")
		r := w.wantRecord("failed", cause.NoCommonCodec, record.EndedBySystem)
		if len(r.Attempts) != 2 || r.Attempts[1].Cause != string(cause.NoCommonCodec) {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

// setup_timeout is of the whole set-up: it runs out in whatever the call is
// about at that moment, and what it began is ended.
func TestSetupTimeoutEverywhere(t *testing.T) {
	const limit = 10 * time.Second
	for name, tt := range map[string]struct {
		prepare time.Duration
		replace []string
		play    func(w *world)
		causes  []cause.Cause
	}{
		"while preparing": {
			prepare: time.Hour, play: func(*world) {}, causes: []cause.Cause{cause.SetupTimeout},
		},
		"without an answer": {
			play:   func(w *world) { w.agent.drainFor(limit) },
			causes: []cause.Cause{cause.SetupTimeout},
			// longer than the set-up may take
			replace: []string{"timeout: 3s}", "timeout: 3s}\n    first_response_timeout: 30s"},
		},
		"at the second target": {
			prepare: 3 * time.Second,
			play: func(w *world) {
				w.agent.concludes(w.agent.expect("INVITE"), 503, "Busy", "a", "", "Reason: Q.850;cause=34")
				invite := w.agent2.progresses(183, "Session Progress", "b", "")
				w.agent2.takesCancel(invite, "b")
			},
			causes: []cause.Cause{cause.TargetError, cause.SetupTimeout},
		},
		"while the second's name is looked up": {
			replace: []string{"192.0.2.21:32681", "hangs.test:32681"},
			play: func(w *world) {
				invite := w.agent.progresses(100, "Trying", "", "")
				time.Sleep(limit - time.Second)
				w.agent.concludes(invite, 503, "Busy", "a", "")
			},
			causes: []cause.Cause{cause.TargetError, cause.SetupTimeout},
		},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.NewReplacer(append(tt.replace, "ringing: on-target}", "ringing: none, setup_timeout: 10s, otherwise: 504}")...).
				Replace(testConfig)
			inSlowWorld(t, yaml, func(w *world) {
				w.prepare.after = tt.prepare
				d := w.carrier.newCall("+15085785607")
				begin := time.Now()
				w.carrier.invite(d)
				tt.play(w)
				d.learn(w.carrier.expect("SIP/2.0 504"))
				if took := time.Since(begin); took != limit {
					t.Errorf("504 after %v; want %v", took, limit)
				}
				w.carrier.ackRefused(d)
				r := w.wantRecord("failed", cause.SetupTimeout, record.EndedBySystem)
				if r.SIPStatus != 504 || r.Q850 != 102 {
					t.Errorf("status %d, Q.850 %d", r.SIPStatus, r.Q850)
				}
				w.wantCauses(r, tt.causes...)
				w.agent.drainFor(time.Minute) // INVITEs that have no answer
			})
		})
	}
}

// inSlowWorld is a world where the name hangs.test is looked up for ever.
func inSlowWorld(t *testing.T, yaml string, test func(w *world)) {
	t.Helper()
	inWorldOf(t, yaml, func(o *b2bua.Options) {
		o.Network.Names.Ask = func(ctx context.Context, host string, kind uint16) (*dns.Msg, error) {
			if host == "hangs.test." {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return noNames(ctx, host, kind)
		}
	}, test)
}

// wantCauses checks the attempts of a record, and that their times add up.
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

// Every status can be what the carrier gets when no target took the call, and
// the record says the same.
func TestOtherwise(t *testing.T) {
	for _, tt := range []struct {
		code        int
		phrase      string
		disposition string
		q850        int
	}{
		{400, "Bad Request", "failed", 41},
		{403, "Forbidden", "failed", 21},
		{404, "Not Found", "failed", 1},
		{408, "Request Timeout", "no_answer", 102},
		{480, "Temporarily Unavailable", "no_answer", 18},
		{486, "Busy Here", "busy", 17},
		{500, "Server Internal Error", "failed", 41},
		{504, "Server Time-out", "failed", 102},
		{599, "Server Failure", "failed", 0},
		{600, "Busy Everywhere", "busy", 17},
		{603, "Decline", "failed", 21},
	} {
		t.Run(tt.phrase, func(t *testing.T) {
			yaml := strings.Replace(testConfig, "ringing: on-target}", fmt.Sprintf("ringing: none, otherwise: %d}", tt.code), 1)
			inWorldWith(t, yaml, func(w *world) {
				w.prepare.err = &outbound.PrepareError{Cause: cause.PrepareRefused, Status: 200, Err: sdp.ErrNoCodec}
				d := w.carrier.dials("+15085785607")
				w.agent2.concludes(w.agent2.expect("INVITE"), 500, "Broken", "b", "")
				d.learn(w.carrier.expect(fmt.Sprintf("SIP/2.0 %d %s\r\n", tt.code, tt.phrase)))
				w.carrier.ackRefused(d)
				r := w.wantRecord(tt.disposition, cause.TargetError, record.EndedBySystem)
				if r.SIPStatus != tt.code || r.Q850 != tt.q850 {
					t.Errorf("status %d, Q.850 %d; want %d", r.SIPStatus, r.Q850, tt.q850)
				}
				w.wantCauses(r, cause.PrepareRefused, cause.TargetError)
			})
		})
	}
}

// The ISDN cause is that of the answer which decided: the one passed on, or
// the last target's.
func TestQ850OfAttempts(t *testing.T) {
	for name, tt := range map[string]struct {
		first, second string // its Reason
		code, q850    int
		status        int
	}{
		"passed on":      {"Q.850;cause=34", "Q.850;cause=20", 480, 20, 480},
		"without Reason": {"Q.850;cause=34", "SIP;cause=200", 480, 18, 480},
		"last target":    {"Q.850;cause=34", `SIP;cause=503, Q.850 ; cause=27;text="a;b"`, 503, 27, 503},
		"not the first":  {"Q.850;cause=34", "", 503, 41, 503},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.Replace(testConfig, "ringing: on-target}", "ringing: none}", 1)
			inWorldWith(t, yaml, func(w *world) {
				d := w.carrier.dials("+15085785607")
				w.agent.concludes(w.agent.expect("INVITE"), 503, "Broken", "a", "", "Reason: "+tt.first)
				w.agent2.concludes(w.agent2.expect("INVITE"), tt.code, "Said So", "b", "", "Reason: "+tt.second)
				d.learn(w.carrier.expect(fmt.Sprintf("SIP/2.0 %d ", tt.status)))
				w.carrier.ackRefused(d)
				if r := w.record(); r.Q850 != tt.q850 {
					t.Errorf("Q.850 %d; want %d", r.Q850, tt.q850)
				}
			})
		})
	}
}

// The last resort is a number at another carrier, by a plain INVITE to a host
// that is a trunk, too: its answers and its BYE belong to the call that we made.
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
