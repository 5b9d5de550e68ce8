package calltest

import (
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/store/record"
)

// cancelStage is a moment of a set-up over two targets at which the caller
// gives up.
type cancelStage struct {
	replace []string       // in the configuration: old, new
	begin   func(w *world) // what is so before the call; nil: nothing
	until   func(w *world) // what happens before
	then    func(w *world) // and after
	want    []string       // attempts: target and cause
}

var bothPrepare = []string{
	`kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681"`,
	`kind: synthflow, uri: "sip:{{.To.Number}}@192.0.2.21:32681", prepare: {api: "https://api.test", token_env: TOKEN}`,
}

const (
	gaveUpFirst  = "agent caller_cancelled"
	gaveUpSecond = "spare caller_cancelled"
)

func nothing(*world) {}

// provisional has an agent answer its INVITE with this.
func provisional(p *peer, code int, sdp string) (invite received) {
	p.w.t.Helper()
	invite = p.expect("INVITE")
	p.reply(invite, code, "Well", "x", sdp)
	return invite
}

// isCancelled has an agent take the CANCEL of its INVITE.
func (p *peer) isCancelled(invite received) {
	p.w.t.Helper()
	cancel := p.expect("CANCEL " + message.AddrSpec(invite.value("To")))
	if cancel.value("Via") != invite.value("Via") || cancel.value("Reason") != "" {
		p.w.t.Errorf("CANCEL:\n%s\nof\n%s", cancel.raw, invite.raw)
	}
	p.reply(cancel, 200, "OK", "x", "")
	p.concludes(invite, 487, "Request Terminated", "x", "")
}

func (p *peer) refuses(code int) {
	p.w.t.Helper()
	p.concludes(p.expect("INVITE"), code, "No", "x", "")
}

func cancelStages() map[string]cancelStage {
	var invite, second, cancel received // of the agent that is to be cancelled
	return map[string]cancelStage{
		"the first is prepared": {
			begin: func(w *world) { w.prepare.after = time.Hour }, until: nothing, then: nothing, want: []string{gaveUpFirst},
		},
		"the first's name is looked up": {
			replace: []string{"192.0.2.20:32681", "hangs.test:32681"}, until: nothing, then: nothing, want: []string{gaveUpFirst},
		},
		"the first is connected to": {
			replace: []string{"- name: agent\n", "- name: agent\n    transport: tcp\n", `5060"]}`, overTCP},
			begin:   func(w *world) { w.holdDials = make(chan struct{}) }, until: nothing,
			then: func(w *world) { close(w.holdDials) },
			want: []string{gaveUpFirst},
		},
		"the first says nothing, then 180": {
			until: func(w *world) { invite = w.agent.expect("INVITE") },
			then: func(w *world) {
				w.agent.reply(invite, 180, "Ringing", "x", "") // RFC 3261 section 9.1: now CANCEL may be sent
				w.agent.isCancelled(invite)
			},
			want: []string{gaveUpFirst},
		},
		"the first says nothing, then 200": {
			until: func(w *world) { invite = w.agent.expect("INVITE") },
			then: func(w *world) {
				w.agent.takes(invite, "x")
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			},
			want: []string{gaveUpFirst},
		},
		"the first said 100": {
			until: func(w *world) { invite = provisional(w.agent, 100, "") },
			then:  func(w *world) { w.agent.isCancelled(invite) }, want: []string{gaveUpFirst},
		},
		"the first rings": {
			until: func(w *world) { invite = provisional(w.agent, 180, "") },
			then:  func(w *world) { w.agent.isCancelled(invite) }, want: []string{gaveUpFirst},
		},
		"the first rings, and its 200 crosses the CANCEL": {
			until: func(w *world) { invite = provisional(w.agent, 180, "") },
			then: func(w *world) {
				cancel = w.agent.expect("CANCEL")
				w.agent.takes(invite, "x")
				w.agent.reply(w.agent.expect("BYE sip:agent@192.0.2.20:32681"), 200, "OK", "", "")
				w.agent.reply(cancel, 481, "Too Late", "x", "")
			},
			want: []string{gaveUpFirst},
		},
		"the first has early media": {
			until: func(w *world) { invite = provisional(w.agent, 183, agentSDP()) },
			then:  func(w *world) { w.agent.isCancelled(invite) }, want: []string{gaveUpFirst},
		},
		"the first has challenged": {
			replace: []string{"- name: agent\n", "- name: agent\n    auth: {username: bob, password_env: PASSWORD}\n"},
			until: func(w *world) {
				w.agent.challenge(w.agent.expect("INVITE"), `nonce="n1"`)
				invite = provisional(w.agent, 180, "")
			},
			then: func(w *world) { w.agent.isCancelled(invite) }, want: []string{gaveUpFirst},
		},
		"the second is prepared": {
			replace: bothPrepare,
			until: func(w *world) {
				first := w.agent.expect("INVITE")
				w.prepare.after = time.Hour
				w.agent.concludes(first, 503, "No", "x", "")
			},
			then: nothing, want: []string{"agent target_error", gaveUpSecond},
		},
		"the second's name is looked up": {
			replace: []string{"192.0.2.21:32681", "hangs.test:32681"},
			until:   func(w *world) { w.agent.refuses(503) }, then: nothing, want: []string{"agent target_error", gaveUpSecond},
		},
		"the second rings": {
			until: func(w *world) {
				w.agent.refuses(503)
				invite = provisional(w.agent2, 180, "")
			},
			then: func(w *world) { w.agent2.isCancelled(invite) }, want: []string{"agent target_error", gaveUpSecond},
		},
		"the second rings after early media of the first": {
			until: func(w *world) {
				first := provisional(w.agent, 183, agentSDP())
				w.agent.concludes(first, 503, "No", "x", "")
				invite = provisional(w.agent2, 180, "")
			},
			then: func(w *world) { w.agent2.isCancelled(invite) }, want: []string{"agent target_error", gaveUpSecond},
		},
		"the first, which rang for too long, is still to answer its CANCEL": {
			until: func(w *world) {
				invite = provisional(w.agent, 180, "")
				cancel = w.agent.expect("CANCEL")
				second = provisional(w.agent2, 180, "")
			},
			then: func(w *world) {
				w.agent2.isCancelled(second)
				w.agent.answer(invite, "x") // crossed it
				w.agent.expect("ACK")
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
				w.agent.reply(cancel, 481, "Too Late", "x", "")
			},
			replace: []string{"timeout: 3s}", "timeout: 3s}\n    ring_timeout: 5s"},
			want:    []string{"agent ring_timeout", gaveUpSecond},
		},
	}
}

// The caller may give up at any moment: one 487, one record, and nobody is
// left ringing.
func TestCancelAtEveryStage(t *testing.T) {
	for name := range cancelStages() {
		for _, ringing := range []string{"immediate", "none"} {
			t.Run(name+", "+ringing, func(t *testing.T) {
				stage := cancelStages()[name]
				yaml := strings.NewReplacer(append(stage.replace, "ringing: on-target", "ringing: "+ringing)...).Replace(testConfig)
				inSlowWorld(t, yaml, func(w *world) {
					if stage.begin != nil {
						stage.begin(w)
					}
					d := w.carrier.newCall("+15085785607")
					begin := time.Now()
					w.carrier.invite(d)
					stage.until(w)
					time.Sleep(100 * time.Millisecond)
					to := ""
					for _, m := range w.carrier.rest() { // 180 and 183
						to = d.learn(m).value("To")
					}
					w.carrier.cancel(d)
					if got := w.carrier.expect("SIP/2.0 200").value("To"); to != "" && got != to { // RFC 3261 section 9.2
						w.t.Errorf("To of the CANCEL's answer %s; the INVITE's %s", got, to)
					}
					refused := w.carrier.expect("SIP/2.0 487")
					if tag := message.TagOf(refused.res().To().Params); d.toTag != "" && tag != d.toTag {
						t.Error("487 has another To tag than what came before")
					}
					d.learn(refused)
					w.carrier.ackRefused(d)
					r := w.wantRecord("cancelled", cause.CallerCancelled, record.EndedByCaller)
					if took := r.EndedAt.Sub(begin); r.SIPStatus != 487 || r.Q850 != 31 || took > 6*time.Second {
						t.Errorf("status %d, Q.850 %d after %v", r.SIPStatus, r.Q850, took)
					}
					w.wantAttempts(r, stage.want...)
					stage.then(w)
				})
			})
		}
	}
}
