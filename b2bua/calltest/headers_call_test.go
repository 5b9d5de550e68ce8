package calltest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// passingConfig is testConfig with lists of headers to pass on, both ways.
var passingConfig = strings.NewReplacer(
	`country: "1"`, `country: "1", pass_headers: [X-Agent-ID, reason, X-None]`,
	"  - {name: spare,", "  - {name: spare, pass_headers: [X-Customer, X-Bad, X-Order],",
).Replace(testConfig)

// Listed headers are passed on with the configured spelling of their names, in every answer
// that is passed on. Other headers are dropped.
func TestHeadersPass(t *testing.T) {
	inWorldWith(t, passingConfig, func(w *world) {
		d := w.carrier.newCall("+15095785607")
		d.extra = "X-Order: 2\nx-customer: a, b\nX-CUSTOMER: c\nX-Bad: a\x00b\nX-Other: 1\n"
		invite := w.carrier.ringsAt(w.agent2, d)
		if !strings.Contains(invite.raw, "\r\nX-Customer: a, b\r\nX-Customer: c\r\nX-Order: 2\r\n") ||
			strings.Contains(invite.raw, "X-Other") || strings.Contains(invite.raw, "X-Bad") {
			t.Errorf("INVITE:\n%s", invite.raw)
		}
		extra := []string{"x-agent-id: 7", "X-Agent-Id: 8", "Reason: SIP;cause=200", "X-Secret: 1"}
		w.agent2.reply(invite, 183, "Session Progress", "a", agentSDP(), extra...)
		wantPassed(t, w.carrier.expect("SIP/2.0 183"))
		w.agent2.concludes(invite, 200, "OK", "a", agentSDP(), extra...)
		wantPassed(t, w.carrier.expect("SIP/2.0 200"))
		w.carrier.ack(d)
		synctest.Wait()
		w.carrier.hangsUpOn(w.agent2, d)
		if r := w.record(); !slices.Equal(r.Attempts[0].DroppedHeaders, []string{"X-Bad"}) {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

func wantPassed(t *testing.T, m received) {
	t.Helper()
	if !strings.Contains(m.raw, "\r\nX-Agent-ID: 7\r\nX-Agent-ID: 8\r\nreason: SIP;cause=200\r\n") || strings.Contains(m.raw, "X-Secret") {
		t.Errorf("answer to the carrier:\n%s", m.raw)
	}
}

// If ringing or a refusal is passed on, the listed headers are passed on with it. An answer
// of our own has no header from a target that failed before.
func TestHeadersPassInRefusals(t *testing.T) {
	yaml := strings.Replace(passingConfig, "targets: [spare]}", "targets: [spare], ringing: on-target}", 1)
	inWorldWith(t, yaml, func(w *world) {
		extra := []string{"X-Agent-ID: 7", "X-Agent-ID: 8", "Reason: SIP;cause=200"}
		d := w.carrier.dials("+15095785607")
		invite := w.agent2.progresses(180, "Ringing", "a", "", extra...)
		wantPassed(t, d.learn(w.carrier.expect("SIP/2.0 180")))
		w.agent2.concludes(invite, 486, "Busy Here", "a", "", extra...)
		wantPassed(t, w.carrier.expect("SIP/2.0 486"))
		w.carrier.ackRefused(d)
		w.wantRecord("busy", cause.TargetBusy, record.EndedByAgent)

		d = w.carrier.newCall("+15095785607")
		w.carrier.invite(d)
		w.agent2.concludes(w.agent2.expect("INVITE"), 500, "Broken", "a", "", extra...)
		if m := d.learn(w.carrier.expect("SIP/2.0 503")); strings.Contains(m.raw, "X-Agent-ID") {
			t.Errorf("answer of our own:\n%s", m.raw)
		}
		w.carrier.ackRefused(d)
		w.record()
	})
}

// The budget for an INVITE's size holds to the byte: no INVITE exceeds it, and no header is
// dropped that would still have fitted.
func TestBudgetOnTheWire(t *testing.T) {
	lines := map[string]string{
		"x-Caller": "x-Caller: +15075550100\r\n", "User-Agent": "User-Agent: Flowbridge\r\n",
		"Allow":               "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO\r\n",
		"P-Asserted-Identity": "P-Asserted-Identity: <sip:+15075550100@198.51.100.1>\r\n",
	}
	seen := map[int]bool{}
	for size := 740; size <= 870; size++ {
		yaml := strings.Replace(testConfig, "    headers:\n", fmt.Sprintf("    budget: {size: %d}\n    overflow: trim\n    headers:\n", size), 1)
		inWorldWith(t, yaml, func(w *world) {
			d, invite := w.established()
			w.callerHangsUp(d)
			dropped := w.record().Attempts[0].DroppedHeaders
			seen[len(dropped)] = true
			if n := len(invite.raw); n > size || invite.value("X-EI") == "" {
				t.Errorf("%d bytes of %d:\n%s", n, size, invite.raw)
			} else if len(dropped) > 0 && n+len(lines[dropped[len(dropped)-1]]) <= size {
				t.Errorf("%d bytes of %d without %v", n, size, dropped)
			}
			for _, name := range dropped {
				if invite.value(name) != "" {
					t.Errorf("%s is there:\n%s", name, invite.raw)
				}
			}
		})
	}
	if !seen[0] || !seen[1] || !seen[2] || !seen[3] {
		t.Errorf("left out: %v", seen)
	}
}

// If an INVITE can't be made small enough, the next target is tried.
func TestInviteTooLarge(t *testing.T) {
	yaml := strings.Replace(testConfig, "    headers:\n", "    budget: {size: 500}\n    headers:\n", 1)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.dials("+15085785607")
		invite := w.agent2.expect("INVITE")
		r := w.shortCall(w.agent2, invite, "a", d)
		if len(r.Attempts) != 2 || r.Attempts[0].Cause != string(cause.InviteTooLarge) || r.Attempts[0].SIPStatus != 0 ||
			!slices.Contains(r.Attempts[0].DroppedHeaders, "x-Caller") || r.Attempts[1].DroppedHeaders != nil {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

// If the Request-URI can't be dialled, the INVITE is refused before a call is created.
func TestRequestURIRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		for to, want := range map[string]string{
			strings.Repeat("9", message.MaxURI): "SIP/2.0 414 Request-URI Too Long",
			"+1507\x015785607":                  "SIP/2.0 400 ",
		} {
			d := w.carrier.dials(to)
			d.learn(w.carrier.expect(want))
			w.carrier.ackRefused(d)
		}
		synctest.Wait()
		if n := len(w.sink.done); n != 0 {
			t.Errorf("%d records", n)
		}
	})
}

// If a caller asks for privacy, From is anonymous toward the target, but the record has the
// number.
func TestPrivateCaller(t *testing.T) {
	inWorldWith(t, strings.Replace(passingConfig, "[X-Customer, ", "[P-Asserted-Identity, Diversion, X-Customer, ", 1), func(w *world) {
		d := w.carrier.newCall("+15095785607")
		d.extra = "Privacy: id\nP-Asserted-Identity: <sip:+15075550199@x>\nDiversion: <sip:+15075550111@x>\nX-Customer: 7\n"
		invite := w.carrier.ringsAt(w.agent2, d)
		if !strings.HasPrefix(invite.value("From"), `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=`) || invite.value("Privacy") != "id" ||
			strings.Contains(invite.raw, "+1507555") || strings.Contains(invite.raw, "Ann") || invite.value("X-Customer") != "7" {
			t.Errorf("INVITE:\n%s", invite.raw)
		}
		w.carrier.isBusyAt(w.agent2, invite, "a", d)
		if r := w.record(); r.From != "+15075550199" || !slices.Equal(r.Attempts[0].DroppedHeaders, []string{"P-Asserted-Identity", "Diversion"}) {
			t.Errorf("record %+v", r)
		}
	})
}

// A display name without quotes that ends in a backslash does not escape the closing
// quote that we add.
func TestNameWithBackslash(t *testing.T) {
	from := siptest.InviteFrom(t, `Ann\ <sip:a@b>;tag=x`).From()
	party := message.NameAddr(from.DisplayName, &from.Address, from.Params)
	if got := message.AddrSpec(party); got != "sip:a@b" {
		t.Errorf("%s is read as %q", party, got)
	}
}

// Headers that match a name with a star are passed on in both directions, by the same
// rules as listed ones.
func TestHeadersPassByPattern(t *testing.T) {
	yaml := strings.NewReplacer(
		`country: "1"`, `country: "1", pass_headers: ["X-*", Reason]`,
		"  - {name: spare,", `  - {name: spare, headers: {X-Set: "{{.Header \"X-None\"}}"}, pass_headers: ["X-*", "P-*", "Di*"],`,
	).Replace(testConfig)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.newCall("+15095785607")
		d.extra = "X-Order: 2\nx-customer: a, b\nX-Bad: a\x00b\nX-EI: S.theirs;\nX-Set: theirs\nx: 90\nX-CUSTOMER: c\n" +
			"P-Asserted-Identity: <sip:+15075550100@192.0.2.10>\nPrivacy: id\nDiversion: <sip:+15075550111@192.0.2.10>\nOther: 1\n"
		invite := w.carrier.ringsAt(w.agent2, d)
		if !strings.Contains(invite.raw, "\r\nX-Order: 2\r\nx-customer: a, b\r\nx-customer: c\r\n") {
			t.Errorf("INVITE:\n%s", invite.raw)
		}
		for _, name := range []string{"X-Bad", "X-EI", "X-Set", "Other", "P-Asserted-Identity", "Diversion", "\nx: "} {
			if strings.Contains(invite.raw, name) {
				t.Errorf("the INVITE has %s:\n%s", name, invite.raw)
			}
		}
		w.agent2.concludes(invite, 200, "OK", "a", agentSDP(), "X-Agent: 7", "Reason: SIP;cause=200", "x: 90", "X-Result: done", "Other: 1")
		if m := w.carrier.expect("SIP/2.0 200"); !strings.Contains(m.raw, "\r\nX-Agent: 7\r\nX-Result: done\r\nReason: SIP;cause=200\r\n") ||
			strings.Contains(m.raw, "Other") || strings.Contains(m.raw, "\nx: ") {
			t.Errorf("answer to the carrier:\n%s", m.raw)
		}
		w.carrier.ack(d)
		synctest.Wait()
		w.callerEnds(w.agent2, d)
	})
}
