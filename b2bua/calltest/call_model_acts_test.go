package calltest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// modelAct is an action that a model may take in a call. Its function returns a description
// of the action, or "" if there was nothing to do.
type modelAct struct {
	name string
	do   func(m *callModel, choose func(n int) int) string
}

// modelActs returns the actions: frequent ones several times, and the simplest first,
// because rapid shrinks to these.
func modelActs() []modelAct {
	pass := modelAct{"time", (*callModel).actTime}
	answer := modelAct{"answer", (*callModel).actAnswer}
	ask := modelAct{"request", (*callModel).actRequest}
	call := modelAct{"call", (*callModel).actCall}
	replay := modelAct{"replay", (*callModel).actReplay}
	early := modelAct{"ring", (*callModel).actRing}
	return []modelAct{
		{"proceed", (*callModel).actProceed},
		pass, answer, ask, early,
		{"proceed", (*callModel).actProceed},
		ask, answer, pass, replay,
		{"lose", (*callModel).actLose},
		{"cancel", (*callModel).actCancel},
		{"ack", (*callModel).actACK},
		{"media", (*callModel).actMedia},
		call, ask, answer,
		{"proceed", (*callModel).actProceed},
		{"habit", (*callModel).actHabit},
		{"prack", (*callModel).actPRACK},
		early,
		ask, ask, replay,
		{"bye", (*callModel).actBye},
		{"hangup all", (*callModel).actHangup},
		{"proceed", (*callModel).actProceed},
		{"die", (*callModel).actDie},
		{"upgrade", (*callModel).actUpgrade},
		{"order", (*callModel).actOrder},
		{"order", (*callModel).actOrder},
		{"place", (*callModel).actPlace},
		{"place", (*callModel).actPlace},
		{"variables", (*callModel).actVariables},
	}
}

func (m *callModel) step(s modelStep) {
	a := modelActs()[s.Act]
	at := 0
	choose := func(n int) int {
		if at == len(s.Args) {
			return 0
		}
		at++
		return s.Args[at-1] % n
	}
	m.mu.Lock()
	line := len(m.trace)
	m.trace = append(m.trace, "")
	m.mu.Unlock()
	what := a.do(m, choose)
	m.mu.Lock()
	m.trace[line] = fmt.Sprintf("%10.3f === %s: %s", time.Since(m.start).Seconds(), a.name, what)
	m.mu.Unlock()
	if !m.crosses || s.Args[len(s.Args)-1]%4 != 3 { // otherwise the next step's messages cross this step's
		m.settle()
	}
}

// somebody picks one of the peers that meet a condition, or returns nil if there is none.
func (m *callModel) somebody(choose func(int) int, is func(*modelPeer) bool) *modelPeer {
	first := choose(3)
	for i := range 3 {
		if p := m.peers[(first+i)%3]; is(p) {
			return p
		}
	}
	return nil
}

// pendingINVITE returns the oldest INVITE of a new call without a final answer.
func (p *modelPeer) pendingINVITE() *modelAsk {
	for _, a := range p.asks {
		if a.msg.method == "INVITE" && !a.inside && a.code < 200 {
			return a
		}
	}
	return nil
}

// prelude sets up a call in most cases, because most actions need one.
func (m *callModel) prelude(how int) {
	if how%3 == 2 {
		return
	}
	var headers []string
	if how >= 3 {
		headers = []string{"Supported: 100rel, timer"}
	}
	m.peers[0].newCall("+15075785607", "plain", headers...)
	m.sleep(2 * time.Second)
	if a := m.peers[1].pendingINVITE(); a != nil && how%3 == 0 {
		m.peers[1].respond(a, 200, 0, "plain")
		m.settle()
	}
}

// actProceed does the next thing that a call in progress needs: for example it answers or
// acknowledges a message.
func (m *callModel) actProceed(func(int) int) string {
	if len(m.peers[0].dialogs) == 0 {
		m.peers[0].newCall("+15075785607", "plain")
		return "carrier calls"
	}
	for _, p := range m.peers {
		if a := p.pendingINVITE(); a != nil {
			p.respond(a, 200, 0, "plain")
			return p.name + " answers"
		}
	}
	m.sleep(time.Second)
	return "1s"
}

func (m *callModel) actTime(choose func(int) int) string {
	d := pick([]time.Duration{
		500 * time.Millisecond, 100 * time.Millisecond, 2 * time.Second, 5 * time.Second, 33 * time.Second, 61 * time.Second,
		46 * time.Second, 3 * time.Minute, 31 * time.Minute, 2 * time.Hour,
	}, choose(10))
	m.sleep(d)
	return d.String()
}

func (m *callModel) actCall(choose func(int) int) string {
	p := m.peers[0]
	if len(p.dialogs) >= 3 {
		return ""
	}
	kind := pick([]string{"plain", "", "pcma", "hold", "video", "g729", "broken"}, choose(7))
	headers := pick([][]string{
		nil,
		{"Supported: 100rel, timer"},
		{"Require: 100rel"},
		{"Supported: timer", "Session-Expires: 90"},
		{"Supported: timer, 100rel", "Session-Expires: 600;refresher=uas"},
		{"Supported: timer", "Session-Expires: 120;refresher=uac"},
		{"Supported: timer", "Session-Expires: 60"},
		{"Require: nonsense"},
		{"Session-Expires: 300"},
	}, choose(9))
	to := pick([]string{"+15075785607", "4711"}, choose(2))
	p.newCall(to, kind, headers...)
	return fmt.Sprintf("carrier calls %s with %q %v", to, kind, headers)
}

// actRing answers an INVITE provisionally.
func (m *callModel) actRing(choose func(int) int) string {
	p := m.somebody(choose, func(p *modelPeer) bool { return p.pendingINVITE() != nil })
	if p == nil {
		return ""
	}
	a := p.pendingINVITE()
	code := pick([]int{180, 183, 100, 181, 199}, choose(5))
	kind := pick([]string{"", "plain", "pcma", "hold", "g729"}, choose(5))
	fork := choose(3)
	var headers []string
	if choose(2) == 1 && (a.msg.has("supported", "100rel") || a.msg.has("require", "100rel")) && code > 100 {
		headers = []string{"RSeq"}
	}
	if code == 100 {
		kind = ""
	}
	p.respond(a, code, fork, kind, headers...)
	return fmt.Sprintf("%s: %d, fork %d, %q %v", p.name, code, fork, kind, headers)
}

// actAnswer answers one of the requests that a peer has received so far, most often the
// newest one.
func (m *callModel) actAnswer(choose func(int) int) string {
	p := m.somebody(choose, func(p *modelPeer) bool { return len(p.asks) > 0 })
	if p == nil {
		return ""
	}
	a := p.asks[len(p.asks)-1]
	switch n := choose(8); {
	case n == 1 && p.pendingINVITE() != nil:
		a = p.pendingINVITE()
	case n > 1 && n < len(p.asks):
		a = p.asks[len(p.asks)-1-n]
	case n > 5 && p.asks[0].msg.method == "INVITE":
		a = p.asks[0]
	}
	if a.msg.method == "INVITE" && a.code >= 200 && (a.inside || a.code >= 300) {
		p.say(a.last) // a server sends only one final answer
		return p.name + " repeats its answer to " + a.msg.short()
	}
	if a.msg.method != "INVITE" && a.code >= 200 {
		p.say(a.last)
		return p.name + " repeats its answer to " + a.msg.short()
	}
	code := pick([]int{200, 486, 503, 401, 481, 491, 500, 302, 422, 408, 603, 487, 405, 415, 420, 180, 404}, choose(17))
	kind, fork := "", 0
	var headers []string
	switch {
	case code == 200 && (a.msg.sdp != "" || a.msg.method == "INVITE"):
		kind = pick([]string{"plain", "pcma", "hold", "", "g729", "broken", "declined", "moved"}, choose(8))
		fork = choose(3)
	case code == 200 && !a.inside:
		fork = choose(3)
	default:
		headers = answerHeaders(code, choose(4))
	}
	if a.code >= 200 && code != 200 { // after one fork has accepted, the others may only accept, too
		code, headers = 200, nil
	}
	if d := a.d; code == 200 && choose(2) == 1 {
		if d == nil {
			d = a.forks[fork]
		}
		if d != nil && a.msg.has("supported", "timer") {
			d.expires = pick([]string{
				"Session-Expires: 90;refresher=uac\nRequire: timer", "Session-Expires: 90;refresher=uas\nRequire: timer", "Session-Expires: 1800;refresher=uac\nRequire: timer",
			}, choose(3))
		}
	}
	p.respond(a, code, fork, kind, headers...)
	return fmt.Sprintf("%s: %d, fork %d, %q %v to %s", p.name, code, fork, kind, headers, a.msg.short())
}

// actRequest sends a request within a dialog.
func (m *callModel) actRequest(choose func(int) int) string {
	p := m.somebody(choose, func(p *modelPeer) bool { return len(p.dialogs) > 0 })
	if p == nil {
		return ""
	}
	d := p.dialogs[len(p.dialogs)-1-choose(min(2, len(p.dialogs)))]
	if paramIn(d.remote, "tag") == "" || !strings.Contains(d.local, "tag=") {
		return "no dialog yet"
	}
	method := pick([]string{"INVITE", "UPDATE", "INFO", "REFER", "OPTIONS", "MESSAGE", "PRACK", "NOTIFY", "SUBSCRIBE", "PUBLISH", "REFER", "INVITE"}, choose(12))
	if method == "INVITE" {
		for _, i := range d.invites {
			if i.code < 200 {
				return "its INVITE is pending"
			}
		}
		kind := pick(append([]string{"plain", "", "hold", "pcma", "moved"}, sdpKinds...), choose(15))
		headers := pick([][]string{nil, {"Supported: timer, 100rel", "Session-Expires: 90"}, {"Supported: timer"}, {"Require: nonsense"}}, choose(4))
		d.invite(kind, headers...)
		return fmt.Sprintf("%s: re-INVITE %q %v", p.name, kind, headers)
	}
	d.seq++
	seq, sdp := d.seq, ""
	switch choose(6) {
	case 4:
		seq -= 2
	case 5:
		d.seq += 10
		seq = d.seq
	}
	var headers []string
	switch method {
	case "UPDATE":
		sdp = d.describe(pick(append([]string{"", "plain"}, sdpKinds...), choose(12)))
		headers = pick([][]string{nil, {"Supported: timer", "Session-Expires: 90;refresher=uac"}, {"Supported: timer", "Session-Expires: 30"}}, choose(3))
	case "INFO":
		sdp, headers = "Signal=5\r\nDuration=160\r\n", []string{"Content-Type: application/dtmf-relay"}
	case "MESSAGE":
		sdp, headers = "hello", []string{"Content-Type: text/plain"}
	case "REFER":
		headers = []string{"Refer-To: " + pick([]string{"<tel:4711>", "<sip:bob@192.0.2.21:32681>", "<tel:+15075550177>", "<sip:x@203.0.113.7>", "<tel:5711>"}, choose(5))}
		headers = append(headers, pick([][]string{nil, {"Refer-Sub: false"}}, choose(2))...)
	case "PRACK":
		headers = []string{fmt.Sprintf("RAck: %d %d INVITE", 1+choose(3), 1)}
	case "NOTIFY":
		sdp, headers = "SIP/2.0 200 OK\r\n", []string{"Event: refer", "Content-Type: message/sipfrag", "Subscription-State: " + pick([]string{"active", "terminated;reason=noresource"}, choose(2))}
	case "SUBSCRIBE":
		headers = []string{"Event: conference", "Expires: 60"}
	}
	d.request(method, max(seq, 1), "", sdp, headers...)
	return fmt.Sprintf("%s: %s %v", p.name, method, headers)
}

func (m *callModel) actBye(choose func(int) int) string {
	p := m.somebody(choose, func(p *modelPeer) bool { return len(p.dialogs) > 0 })
	if p == nil {
		return ""
	}
	d := p.dialogs[len(p.dialogs)-1-choose(min(2, len(p.dialogs)))]
	if paramIn(d.remote, "tag") == "" {
		return "no dialog yet"
	}
	d.seq++
	d.request("BYE", d.seq, "", "", pick([][]string{nil, {`Reason: Q.850;cause=31`}}, choose(2))...)
	return p.name
}

func (m *callModel) actCancel(choose func(int) int) string {
	p := m.somebody(choose, func(p *modelPeer) bool {
		for _, d := range p.dialogs {
			if len(d.invites) > 0 {
				return true
			}
		}
		return false
	})
	if p == nil {
		return ""
	}
	for _, d := range slices.Backward(p.dialogs) {
		if len(d.invites) > 0 {
			i := d.invites[len(d.invites)-1]
			d.cancel(i)
			return fmt.Sprintf("%s cancels its INVITE %d, which has %d", p.name, i.seq, i.code)
		}
	}
	return ""
}

// owed finds an INVITE of a peer with a message that waits.
func (m *callModel) owed(is func(*modelDialog, *modelInvite) bool) (*modelDialog, bool) {
	for _, p := range m.peers {
		for _, d := range p.dialogs {
			for _, i := range d.invites {
				if is(d, i) {
					return d, true
				}
			}
		}
	}
	return nil, false
}

func (m *callModel) actACK(choose func(int) int) string {
	kind := pick([]string{"plain", "", "g729", "broken", "hold", "moved"}, choose(6))
	d, ok := m.owed(func(d *modelDialog, i *modelInvite) bool { return d.ack(i, kind) })
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s %q", d.p.name, kind)
}

func (m *callModel) actPRACK(choose func(int) int) string {
	kind := pick([]string{"", "plain", "hold", "g729", "broken"}, choose(5))
	d, ok := m.owed(func(d *modelDialog, i *modelInvite) bool { return d.prack(i, kind) })
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s %q", d.p.name, kind)
}

// actReplay sends an earlier message again.
func (m *callModel) actReplay(choose func(int) int) string {
	p := m.somebody(choose, func(p *modelPeer) bool { return len(p.sent) > 0 })
	if p == nil {
		return ""
	}
	raw := p.sent[len(p.sent)-1-choose(min(12, len(p.sent)))]
	msg, err := parseWire(raw)
	if err != nil {
		m.fail("the model's own message: %v\n%s", err, raw)
		return ""
	}
	if r := m.theirs[msg.branch+" INVITE"]; r != nil && msg.method == "INVITE" && msg.toTag == "" && (m.died || time.Since(r.at) > 20*time.Second) {
		return "" // by the rules this would be a new call
	}
	for range 1 + choose(2) {
		p.send(raw)
	}
	return p.name + ": " + msg.short()
}

func (m *callModel) actLose(choose func(int) int) string {
	key := m.peers[choose(3)].name + pick([]string{"", " out"}, choose(2))
	n := 1 + choose(12)
	m.mu.Lock()
	m.drops[key] = n
	m.mu.Unlock()
	return fmt.Sprintf("%d of %s", n, key)
}

func (m *callModel) actHabit(choose func(int) int) string {
	p := m.peers[choose(3)]
	switch choose(6) {
	case 0:
		p.habits = habits{}
	case 1:
		p.habits.NoACK = !p.habits.NoACK
	case 2:
		p.habits.NoPRACK = !p.habits.NoPRACK
	case 3:
		p.habits.NoAnswer = !p.habits.NoAnswer
	case 4:
		p.habits.NoReACK = !p.habits.NoReACK
	case 5:
		p.habits.Silent = !p.habits.Silent
	}
	return fmt.Sprintf("%s %+v", p.name, p.habits)
}
