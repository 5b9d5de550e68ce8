package calltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/store/record"
)

// failoverConfig has a route with one target, one with two, and one on which each answer
// that would be passed on leads to the next target.
var failoverConfig = testConfig[:strings.Index(testConfig, "routes:")] + `routes:
  - {to: "^\\+1507", targets: [agent], ringing: RINGING, otherwise: 502}
  - {to: "^\\+1508", targets: [agent, spare], ringing: RINGING, otherwise: 502}
  - {to: "^\\+1509", targets: [agent, spare], ringing: RINGING, failover_on: [` +
	strings.Trim(strings.ReplaceAll(fmt.Sprint(passedOn), " ", ", "), "[]") + `]}
`

// passedOn are statuses that the carrier gets if a target sends them. failedOver are
// statuses after which the next target is tried.
var (
	passedOn = []int{
		400, 402, 403, 404, 405, 406, 410, 415, 420, 421, 423, 428, 433, 480, 481, 482, 483, 484, 485, 486, 487, 488, 491, 494,
		499, 600, 603, 607, 608,
	}
	failedOver = []int{300, 301, 302, 305, 380, 401, 407, 408, 500, 501, 502, 503, 504, 505, 513, 580, 599, 604, 606, 699}
)

// failure is one way in which the first target fails to take a call.
type failure struct {
	name    string
	replace []string       // replacements in the configuration: old, new
	begin   func(w *world) // runs before the call
	play    func(w *world) // plays the target
	says    string         // provisional answer to the carrier before the failure: 180, 183; empty if there is none
	after   func(w *world)
	want    record.Attempt // the attempt in the record, without the target's name
	passed  string         // status that the carrier gets; empty if the next target is tried
	refused wantEnd        // the record if no other target is left
}

// wantEnd is the end of a call according to its record.
type wantEnd struct {
	disposition  string
	by           string
	status, q850 int
}

// lost returns the record of a call that no target took.
func lost(disposition string) wantEnd { return wantEnd{disposition, record.EndedBySystem, 502, 38} }

func statusFailures() (all []failure) {
	for _, code := range append(slices.Clone(passedOn), failedOver...) {
		f := failure{
			name: fmt.Sprint("status ", code),
			play: func(w *world) {
				w.agent.concludes(w.agent.expect("INVITE"), code, "Said So", "a", "", "Contact: <sip:elsewhere@192.0.2.99>")
			},
			want:    record.Attempt{PrepareStatus: 200, SIPStatus: code, Cause: string(cause.OfStatus(code))},
			refused: lost("failed"),
		}
		if code == 401 || code == 407 {
			f.want.Cause = string(cause.AuthMissing)
		}
		if slices.Contains(passedOn, code) {
			f.passed = fmt.Sprintf("SIP/2.0 %d Said So", code)
			f.refused = wantEnd{outbound.DispositionOf(cause.Cause(f.want.Cause), code), record.EndedByAgent, code, cause.Q850Of(code)}
		}
		all = append(all, f)
	}
	return all
}

func prepareFailures() (all []failure) {
	for cause, status := range map[cause.Cause]int{
		cause.PrepareFailed: 500, cause.PrepareRefused: 200, cause.PrepareInvalid: 200, cause.PrepareTimeout: 0,
	} {
		all = append(all, failure{
			name: string(cause),
			begin: func(w *world) {
				w.prepare.after, w.prepare.err = 2*time.Second, &outbound.PrepareError{Cause: cause, Status: status, Err: errors.New("so it is")}
			},
			play:    func(*world) {},
			want:    record.Attempt{PrepareStatus: status, PrepareMS: 2000, MS: 2000, Cause: string(cause)},
			refused: lost("failed"),
		})
	}
	return all
}

// unsent returns a failure that happens before an INVITE is sent.
func unsent(name string, cause cause.Cause, prepared int, replace ...string) failure {
	return failure{
		name: name, replace: replace, play: func(*world) {},
		want: record.Attempt{PrepareStatus: prepared, Cause: string(cause)}, refused: lost("failed"),
	}
}

const (
	agentURI = `uri: "sip:{{.To.Number}}@192.0.2.20:32681"`
	overTCP  = `5060", "tcp://198.51.100.1:5060"]}`
)

func otherFailures() []failure {
	busy := unsent("capped", cause.TargetCapped, 0, "- name: agent\n", "- name: agent\n    max_calls: 1\n")
	busy.begin = func(w *world) {
		w.admission.Occupy(w.admission.Peers.Load().Targets["agent"], peers.Parties{})
	}
	busy.after = func(w *world) {
		w.admission.Vacate(w.admission.Peers.Load().Targets["agent"], peers.Parties{})
	}
	codec := unsent("no codec in common", cause.NoCommonCodec, 0, "- name: agent\n", "- name: agent\n    codecs: [G722]\n")
	codec.passed, codec.refused = "SIP/2.0 488", wantEnd{"failed", record.EndedBySystem, 488, 65}
	tls := unsent("no TLS", cause.TLSFailed, 200, "- name: agent\n", "- name: agent\n    transport: tls\n")
	tls.begin = func(w *world) { w.listenInVain() }
	return []failure{
		busy, codec, tls,
		unsent("no such name", cause.DNSFailed, 200, "@192.0.2.20:32681", "@nowhere.test:32681"),
		unsent("nobody listens", cause.TargetUnreachable, 200, "- name: agent\n", "- name: agent\n    transport: tcp\n", `5060"]}`, overTCP),
		unsent("no such family", cause.TargetUnreachable, 200, "@192.0.2.20:32681", "@[2001:db8::20]:32681"),
		unsent("header's template", cause.TemplateFailed, 200, `"{{.From.Number}}"`, `"{{slice .Diversion 0 4}}"`),
		unsent("uri's template", cause.TemplateFailed, 0, agentURI, `uri: "sip:{{slice .Diversion 0 4}}@192.0.2.20"`),
		unsent("too large", cause.InviteTooLarge, 200, "- name: agent\n", "- name: agent\n    budget: {size: 600}\n    overflow: trim\n"),
		{
			name: "silent", want: record.Attempt{PrepareStatus: 200, MS: 4000, Cause: string(cause.TargetSilent)}, refused: lost("failed"),
			play:  func(w *world) { w.agent.drainFor(4 * time.Second) },
			after: func(w *world) { w.agent.drainFor(time.Minute) }, // until its transaction has timed out
		},
		{
			name: "rings for ever", says: "180", want: record.Attempt{PrepareStatus: 200, MS: 60_000, Cause: string(cause.RingTimeout)},
			refused: lost("no_answer"),
			play: func(w *world) {
				invite := w.agent.progresses(180, "Ringing", "a", "")
				time.Sleep(time.Minute)
				w.agent.takesCancel(invite, "a")
			},
		},
		{
			name: "early media, then 503", says: "183", want: record.Attempt{PrepareStatus: 200, SIPStatus: 503, Cause: string(cause.TargetError)},
			refused: lost("failed"),
			play: func(w *world) {
				invite := w.agent.expect("INVITE")
				w.agent.reply(invite, 183, "Session Progress", "a", agentSDP())
				w.agent.reply(invite, 503, "Service Unavailable", "a", "")
				w.agent.expect("ACK")
			},
		},
		answersBadly("without SDP", ""),
		answersBadly("without audio", strings.Replace(agentSDP(), "m=audio", "m=video", 1)),
		answersBadly("another codec", strings.Replace(agentSDP(), "RTP/AVP 0 8 101", "RTP/AVP 18", 1)),
		answersBadly("without an address", withoutAddress(agentSDP())),
		answersBadly("declined", strings.Replace(agentSDP(), "m=audio 30000", "m=audio 0", 1)),
	}
}

func answersBadly(name, sdp string) failure {
	return failure{
		name: "answers " + name, refused: lost("failed"),
		want: record.Attempt{PrepareStatus: 200, SIPStatus: 200, Cause: string(cause.BadAnswer)},
		play: func(w *world) {
			w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "a", sdp)
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		},
	}
}

// listenInVain accepts each connection to the agent and closes it at once.
func (w *world) listenInVain() {
	l := w.streamAgent(agentAddr).l
	go func() {
		defer l.Close()
		if conn, err := l.Accept(); err == nil {
			_ = conn.Close()
		}
	}()
}

// TestFailover lets the first target fail in every way: as the only target, with a second
// target, and with the failure's status in failover_on. Each is combined with each setting
// of ringing, except that failures before any answer to the carrier take turns with the
// settings. Either another target gets the call, or the carrier gets the expected status.
func TestFailover(t *testing.T) {
	for i, f := range slices.Concat(statusFailures(), prepareFailures(), otherFailures()) {
		status, answers := strings.CutPrefix(f.name, "status ")
		every := f.says != "" || f.name == "silent" || answers && strings.Contains("401 408 486 503", status)
		for k, called := range []string{"+15075785607", "+15085785607", "+15095785607"} {
			for way, ringing := range []string{"none", "immediate", "on-target"} {
				if !every && way != (i+k)%3 {
					continue
				}
				t.Run(f.name+" "+called[:5]+" "+ringing, func(t *testing.T) {
					for i := 0; i < len(f.replace); i += 2 {
						if !strings.Contains(failoverConfig, f.replace[i]) {
							t.Fatalf("%q is not in the configuration", f.replace[i])
						}
					}
					replace := append(slices.Clone(f.replace), "RINGING", ringing)
					inWorldWith(t, strings.NewReplacer(replace...).Replace(failoverConfig), func(w *world) { w.failsOver(f, called, ringing) })
				})
			}
		}
	}
}

func (w *world) failsOver(f failure, called, ringing string) {
	t := w.t
	if f.begin != nil {
		f.begin(w)
	}
	if f.after != nil {
		defer f.after(w)
	}
	d := w.carrier.dials(called)
	f.play(w)
	sent := f.want.SIPStatus != 0 // the target sent an answer that could be passed on
	next := called[:5] == "+1509" || called[:5] == "+1508" && (f.passed == "" || !sent)
	r := record.Record{}
	var told []string
	if next {
		invite := w.agent2.expect("INVITE")
		w.agent2.reply(invite, 180, "Ringing", "b", "")
		w.agent2.answer(invite, "b")
		w.agent2.expect("ACK")
		told = w.carrier.final(d, "SIP/2.0 200")
		w.carrier.ack(d)
		synctest.Wait()
		w.callerHangsUpAt(w.agent2, d)
		r = w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
		if len(r.Attempts) != 2 || r.Attempts[1].Target != "spare" || r.Attempts[1].Cause != "" || r.Attempts[1].SIPStatus != 200 {
			t.Fatalf("attempts %+v", r.Attempts)
		}
		if r.Target != "spare" || r.SynthflowCallID != "" {
			t.Errorf("the record is of %s with the id %q", r.Target, r.SynthflowCallID)
		}
	} else {
		expected := f.passed
		if expected == "" {
			expected = "SIP/2.0 502 Bad Gateway"
		}
		told = w.carrier.final(d, expected)
		w.carrier.ackRefused(d)
		r = w.record()
		if got := (wantEnd{r.Disposition, r.EndedBy, r.SIPStatus, r.Q850}); got != f.refused || r.Cause != f.want.Cause {
			t.Errorf("record: %s %+v; want %s %+v", r.Cause, got, f.want.Cause, f.refused)
		}
		if f.want.Cause == string(cause.NoCommonCodec) { // it is detected before an attempt starts
			return
		}
		if len(r.Attempts) != 1 {
			t.Fatalf("attempts %+v", r.Attempts)
		}
	}
	f.checkRinging(t, ringing, told, r)
	got := r.Attempts[0]
	got.Transport, got.SIPCallID, got.DroppedHeaders, got.StartedAt = "", "", nil, record.Time{}
	f.want.Target = "agent"
	says := map[cause.Cause]bool{ // the causes whose error the record has
		cause.TLSFailed: true, cause.DNSFailed: true, cause.TargetUnreachable: true, cause.BadAnswer: true,
	}
	if (got.Error != "") != says[cause.Cause(got.Cause)] {
		t.Errorf("the error of %s is %q", got.Cause, got.Error)
	}
	got.Error = ""
	if fmt.Sprint(got) != fmt.Sprint(f.want) {
		t.Errorf("attempt %+v; want %+v", got, f.want)
	}
}

// checkRinging checks the provisional answers to the carrier, and the time of the first
// ringing in the record.
func (f failure) checkRinging(t testing.TB, ringing string, told []string, r record.Record) {
	t.Helper()
	var want []string
	at := record.Time{}
	if ringing == "immediate" {
		want, at = []string{"180"}, r.StartedAt
	}
	says := []string{f.says}
	if len(r.Attempts) > 1 {
		says = append(says, "180")
	}
	for i, code := range says {
		if code == "" || slices.Contains(want, code) || code == "180" && ringing == "none" {
			continue
		}
		if want = append(want, code); at.IsZero() {
			at = r.Attempts[i].StartedAt
		}
	}
	if !slices.Equal(told, want) || !r.RingingAt.Equal(at.Time) {
		t.Errorf("the carrier got %v, ringing at %v; want %v at %v", told, r.RingingAt, want, at)
	}
}

// final expects the final answer to a call, and checks that all answers have the same To
// tag. It returns the provisional answers before it, without repetitions.
func (p *peer) final(d *dialogue, expected string) (before []string) {
	p.w.t.Helper()
	m := p.expect("SIP/2.0 ")
	for ; m.raw[8] == '1'; m = p.expect("SIP/2.0 ") {
		if code := m.raw[8:11]; code != "100" && !slices.Contains(before, code) {
			before = append(before, code)
			d.learn(m)
		}
	}
	told := d.toTag
	if d.learn(m); !strings.HasPrefix(m.raw, expected) || told != "" && told != d.toTag || m.value("Retry-After") != "" {
		p.w.t.Fatalf("got\n%s\nwant %s with the tag %s, without Retry-After", m.raw, expected, told)
	}
	return before
}

// spareTakes makes the spare target answer, and the caller hang up.
func (w *world) spareTakes(d *dialogue) {
	w.t.Helper()
	w.carrier.isTakenBy(w.agent2, w.agent2.expect("INVITE"), "b", d)
	w.callerHangsUpAt(w.agent2, d)
}
