//go:build e2e && interop

package e2e

import (
	"fmt"
	"strings"
	"time"

	"flowbridge/store/record"
)

const (
	dialled = "sip:8200@192.168.10.2" // dialled to reach the agent
	g711    = "PCMU/8000/1"
)

// directly is the record of a call that was answered without an id from a platform.
var directly = want{"answered", "caller_hangup", "caller", 200, []try{{"", 0, 200}}}

// agentMayCall lets the agent, which then needs sources, call phones.
var agentMayCall = []string{"routes:\n", "routes:\n  - {target: agent, to: \"^60[0-9]{2}$\", trunks: [pbx]}\n"}

// dials makes the first phone dial the agent, and waits for this event of the phone. Asterisk does not call a
// Flowbridge that it has found unreachable, as between two tests.
func (l *lab) dials(event string) *baresip {
	l.Helper()
	phone := l.extension(labPhone1, g711)
	if l.pbx != nil {
		eventually(l.T, "Asterisk can reach Flowbridge", func() bool {
			_, contact, _ := strings.Cut(l.pbx.cli("pjsip show contacts"), "flowbridge/")
			state, _, _ := strings.Cut(contact, "\n")
			return !strings.Contains(state, "Unavail")
		})
	}
	phone.dial(event)
	return phone
}

func (p *baresip) dial(event string) {
	p.t.Helper()
	p.command("dial", dialled)
	p.await(event)
}

// echoes checks that a connected phone hears its own words from the agent for a while, and then hangs up. There must be
// no other call.
func (l *lab) echoes(b *server, phone *baresip, long time.Duration, wanted want) record.Record {
	l.Helper()
	phone.hears(long)
	phone.hangUp()
	r := l.finish(b, wanted)[0]
	l.understands("echo", phone, phone)
	return r
}

// connected makes the first phone dial a SIPp agent, which must hear the phone. The call ends with hungUp.
func (l *lab) connected(replace ...string) (b *server, phone *baresip, agent *sipp, two *phone) {
	l.Helper()
	l.prepareCalls()
	two = l.newPhone(l.platform)
	agent = l.sippAgent("caller_hangup", two.key()...)
	b = l.bridge(replace...)
	phone = l.dials("CALL_ESTABLISHED")
	agent.confirmed(1)
	eventually(l.T, "the agent hears the caller", func() bool { return len(two.heard()) > 100 })
	return b, phone, agent, two
}

func (l *lab) hungUp(b *server, phone *baresip, agent *sipp) {
	l.Helper()
	phone.hangUp()
	agent.finish()
	l.finish(b, hungUpByCaller)
}

// outbound makes a phone register, call the agent, talk, and hang up.
func (l *lab) outbound() {
	l.simulate()
	b := l.bridge()
	if r := l.echoes(b, l.dials("CALL_ESTABLISHED"), 6*time.Second, hungUpByCaller); r.From != "6001" || r.To != "8200" {
		l.Errorf("the record says %+v; want a call from 6001 to 8200", r)
	}
}

// cancelled makes the caller cancel its call.
func (l *lab) cancelled() {
	l.simulate("--ring", "10m")
	b := l.bridge()
	l.dials("CALL_RINGING").hangUp()
	l.finish(b, want{"cancelled", "caller_cancelled", "caller", 487, []try{{"caller_cancelled", 200, 0}}})
}

// busy checks that the phone learns that the agent is busy. A proxy must not try another Flowbridge after that.
func (l *lab) busy() {
	l.simulate("--fault", "busy")
	b := l.bridge()
	phone := l.dials("CALL_CLOSED")
	phone.quit()
	if _, ok := phone.find("486"); !ok {
		l.Errorf("the phone has not heard of 486")
	}
	l.finish(b, want{"busy", "target_busy", "agent", 486, []try{{"target_busy", 200, 486}}})
}

// held checks that the phone's hold reaches Flowbridge, and that the agent hears the phone again after it.
func (l *lab) held() {
	b, phone, agent, two := l.connected()
	for i, command := range []string{"hold", "resume"} {
		phone.command(command, "")
		eventually(l.T, command+" is agreed on", func() bool { return b.changes() == i+1 })
	}
	before := len(two.heard())
	eventually(l.T, "the agent hears the caller again", func() bool { return len(two.heard()) > before+100 })
	l.hungUp(b, phone, agent)
}

// keys checks that the agent gets the phone's keys, and that Asterisk gets the agent's.
func (l *lab) keys(replace ...string) {
	b, phone, agent, two := l.connected(replace...)
	phone.command("sndcode", "4711")
	eventually(l.T, "the agent gets all digits", func() bool { return two.digits() == "4711" })
	if l.pbx != nil {
		toB := agent.rtpOf("INVITE ", 1)
		two.talk(keypress(9, 200, 20000, 0x77), toB)
		l.logged("DTMF end '9' received on PJSIP/flowbridge-")
	}
	l.hungUp(b, phone, agent)
}

// referred makes the agent transfer the caller to another phone by REFER. Asterisk does not hang up the agent's call,
// so in mode relay the agent hangs up itself.
func (l *lab) referred(mode string) {
	l.prepareCalls()
	two := l.newPhone(l.platform)
	agent := l.transferrer(two.key(), "@TO@", "<tel:6002>", "@EXTRA@", "", "@STATUS@", "202", "@LEAVES@", fmt.Sprint(mode == "relay"), "@HOLDS@", "false")
	b := l.bridge("transfer: local", "transfer: "+mode)
	other := l.extension(labPhone2, g711)
	phone := l.dials("CALL_ESTABLISHED")
	agent.proceed(agent.confirmed(1)[0])
	other.await("CALL_ESTABLISHED")
	agent.finish() // ends with BYE
	phone.hears(3 * time.Second)
	other.hears(3 * time.Second)
	if mode == "relay" && l.proxy != nil { // the phone has a separate call to the other phone
		phone.quit()
	} else {
		phone.hangUp()
		other.await("CALL_CLOSED")
	}
	other.quit()
	expected := transferred(hungUpByCaller, try{"", 0, 200})
	if mode == "relay" {
		expected = hungUpByAgent
	}
	l.finish(b, expected)
	l.understands("the caller", phone, other)
	l.understands("the other phone", other, phone)
}

// called makes the agent call a phone, as for a warm transfer.
func (l *lab) called() {
	l.prepareCalls()
	l.agentCalls(l.bridge(append(agentMayCall, "    transfer: local\n", "    sources: [192.168.10.30]\n    transfer: local\n")...))
}

// agentCalls makes the agent call the second phone. before are the records of the calls before that.
func (l *lab) agentCalls(b *server, before ...want) {
	l.Helper()
	other := l.extension(labPhone2, g711)
	call := labPlatform.command(labPlatform.dir(l.T), program, "call", "--to", "sip:6002@192.168.10.5", "--from", "agent", "--listen", "192.168.10.30:5080", "--seconds", "4")
	if out, err := call.CombinedOutput(); err != nil {
		l.Errorf("flowbridge call: %v\n%s", err, out)
	}
	other.await("CALL_ESTABLISHED")
	other.await("CALL_CLOSED")
	other.quit()
	l.finish(b, append(before, directly)...)
}
