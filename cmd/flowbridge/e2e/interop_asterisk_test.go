//go:build e2e && interop

package e2e

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAsterisk runs the sections of Asterisk's page, each with a separate Asterisk.
func TestAsterisk(t *testing.T) {
	type tries []labTry
	for _, setup := range []struct {
		sections, replace []string
		tries             tries
	}{
		{[]string{"Asterisk"}, []string{"qualify_frequency = 60", "qualify_frequency = 1\nqualify_timeout = 0.8"}, tries{
			{"outbound_by_a_registered_phone", (*lab).outbound},
			{"cancelled_while_it_rings", (*lab).cancelled},
			{"busy_agent", (*lab).busy},
			{"hold_with_music_of_the_PBX", (*lab).holdLocal},
			{"blind_transfer_by_the_phone", (*lab).blind},
			{"attended_transfer_by_the_phone", (*lab).attended},
			{"agent_REFERs_to_an_extension_local", func(l *lab) { l.referred("local") }},
			{"agent_REFERs_to_an_extension_relay", func(l *lab) { l.referred("relay") }},
			{"agent_calls_an_extension", (*lab).called},
			{"keys_by_RFC_4733_both_ways", func(l *lab) { l.keys() }},
			{"OPTIONS_and_a_restart_of_Flowbridge", (*lab).options},
		}},
		{[]string{"Asterisk"}, nil, transferMatrix()},
		{[]string{"Asterisk"}, []string{"${EXTEN},30)", "${EXTEN},2)"}, tries{
			{"API:_Dial_gives_up,_Hangup()", labTransfer{"API", "is_silent", "caller", 603, try{"target_refused", 0, 603}}.run},
		}},
		{[]string{"Asterisk"}, []string{"${EXTEN},30)\n same => n,Hangup()", "${EXTEN},2)\n same => n,Hangup(19)"}, tries{
			{"API:_Dial_gives_up,_Hangup(19)", labTransfer{"API", "is_silent", "caller", 480, try{"target_refused", 0, 480}}.run},
		}},
		{[]string{"Asterisk"}, []string{direct, "direct_media = yes", ",120,T)", ",120)"}, tries{
			{"direct_media", (*lab).direct},
		}},
		{[]string{"Asterisk"}, []string{direct, direct + "\nmoh_passthrough = yes"}, tries{
			{"hold_that_is_signalled", (*lab).held},
		}},
		{[]string{"Asterisk"}, []string{"dtmf_mode = rfc4733", "dtmf_mode = info"}, tries{
			{"keys_by_INFO_to_RFC_4733_and_back", func(l *lab) { l.keys("    transfer: local\n", "    transfer: local\n    dtmf: rfc4733\n") }},
		}},
		{[]string{"Asterisk"}, []string{direct, direct + "\ntimers = always\ntimers_sess_expires = 90"}, tries{
			{"session_timer", (*lab).timer},
		}},
		{[]string{"Asterisk"}, []string{"allow = ulaw,alaw", "allow = alaw"}, tries{
			{"PCMA_of_the_PBX_PCMU_of_the_agent", (*lab).transcoded},
		}},
		{[]string{"Asterisk", "With a password"}, []string{"change-me", apiToken}, tries{
			{"password", (*lab).password},
		}},
		{[]string{"Asterisk", "With a password", "Asterisk registers"}, []string{"change-me", apiToken}, tries{
			{"Asterisk_registers,_calls_go_both_ways", (*lab).registers},
		}},
		{[]string{"Asterisk", "Flowbridge registers"}, []string{"change-me", apiToken, "contact = sip:192.168.10.5:5060\nqualify_frequency = 60", ""}, tries{
			{"Flowbridge_registers,_calls_go_both_ways", (*lab).registered},
		}},
		{[]string{"Asterisk", "TLS and SRTP"}, []string{"[flowbridge]\ntype = aor\ncontact = sip:192.168.10.5:5060", "[flowbridge]\ntype = aor"}, tries{
			{"TLS_and_SRTP_outbound", (*lab).encrypted},
			{"TLS_and_SRTP_to_an_extension", (*lab).encryptedCalled},
		}},
	} {
		t.Run(setup.sections[len(setup.sections)-1], func(t *testing.T) {
			a := startAsterisk(t, setup.sections, setup.replace...)
			lab{page: readPage(t, "asterisk.md"), pbx: a}.inLabs(t, setup.tries)
			a.stop()
		})
	}
}

// direct is the line of the page after which further lines are inserted.
const direct = "direct_media = no"

// logged waits for a line with these words in Asterisk's log since watch.
func (l *lab) logged(words string) {
	l.Helper()
	eventually(l.T, "Asterisk logs "+words, func() bool { return strings.Contains(l.pbx.log()[l.pbx.since:], words) })
}

// holdLocal puts the agent on hold: Asterisk plays music itself, and sends Flowbridge no SIP about it.
func (l *lab) holdLocal() {
	l.simulate()
	b := l.bridge()
	phone := l.dials("CALL_ESTABLISHED")
	phone.hears(3 * time.Second)
	phone.command("hold", "")
	l.logged("Started music on hold")
	phone.command("resume", "")
	l.logged("Stopped music on hold")
	at := b.calls()[0].Media.A.Rx
	eventually(l.T, "the phone is heard again", func() bool { return b.calls()[0].Media.A.Rx > at+100 })
	if n := b.changes(); n != 0 {
		l.Errorf("the session was changed %d times; want none", n)
	}
	phone.hangUp()
	l.finish(b, hungUpByCaller)
}

// blind makes the phone transfer the agent blindly to another phone.
func (l *lab) blind() {
	l.handsOver(func(phone, other *baresip) {
		phone.command("transfer", "sip:6002@192.168.10.2")
		other.await("CALL_ESTABLISHED")
		phone.await("CALL_CLOSED")
		phone.quit()
	})
}

// attended makes the phone transfer the agent with *2: it first talks to the other phone, and then hangs up.
func (l *lab) attended() {
	l.handsOver(func(phone, other *baresip) {
		phone.command("sndcode", "*2")
		l.logged("pbx-transfer")
		phone.command("sndcode", "6002")
		other.await("CALL_ESTABLISHED")
		other.hears(time.Second)
		phone.hangUp()
	})
}

// handsOver makes a phone that talks to the agent transfer the call to another phone.
func (l *lab) handsOver(leave func(phone, other *baresip)) {
	l.Helper()
	l.simulate()
	b := l.bridge()
	other := l.extension(labPhone2, g711)
	phone := l.dials("CALL_ESTABLISHED")
	phone.hears(2 * time.Second)
	leave(phone, other)
	l.echoes(b, other, 5*time.Second, hungUpByCaller)
}

// options checks that Asterisk sends Flowbridge OPTIONS every second, and notices when it gets no answer.
func (l *lab) options() {
	l.prepareCalls()
	b := l.bridge()
	const answered = "bytes) from UDP:192.168.10.5:5060"
	l.logged(answered)
	l.pbx.watch(l.T)
	b.stop()
	l.logged("Endpoint flowbridge is now Unreachable")
	l.pbx.watch(l.T)
	b = l.bridge()
	l.logged("Endpoint flowbridge is now Reachable")
	lasts, err := time.ParseDuration(cmp.Or(os.Getenv("INTEROP_OPTIONS"), "10s"))
	must(l, err)
	l.pbx.watch(l.T)
	before := b.memory()
	heard := func(words string) int { return strings.Count(l.pbx.log()[l.pbx.since:], words) }
	asked := func() int { return heard("OPTIONS sip:192.168.10.5:5060") }
	want := int(lasts.Seconds()) // one check per second
	inTime := false
	for tick, end := time.Tick(time.Second), time.Now().Add(2*lasts); !inTime && time.Now().Before(end); <-tick {
		inTime = asked() >= want && heard(answered) >= want-1
	}
	l.Logf("%d OPTIONS, %d answers, memory %d KB, then %d KB", asked(), heard(answered), before, b.memory())
	if !inTime || heard("flowbridge is now Unreachable") > 0 {
		l.Errorf("%d OPTIONS in %v, %d answers, unreachable %d times; want %d and one less at least, never unreachable",
			asked(), 2*lasts, heard(answered), heard("flowbridge is now Unreachable"), want)
	}
	b.stop()
}

// direct lets the phone and Flowbridge send RTP to each other directly, after a re-INVITE from Asterisk.
func (l *lab) direct() {
	l.simulate()
	b := l.bridge()
	phone := l.dials("CALL_ESTABLISHED")
	eventually(l.T, "the session is changed", func() bool { return b.changes() > 0 })
	l.echoes(b, phone, 6*time.Second, hungUpByCaller)
	if _, ok := b.find("192.168.10.21"); !ok {
		l.Errorf("the server has not heard of the phone's address")
	}
}

// timer checks that the session is refreshed during the call.
func (l *lab) timer() {
	l.simulate()
	b := l.bridge()
	l.echoes(b, l.dials("CALL_ESTABLISHED"), 100*time.Second, hungUpByCaller)
	if n := strings.Count(l.pbx.log()[l.pbx.since:], "Session-Expires: 90"); n < 4 {
		l.Errorf("Session-Expires came %d times; want 4 at least", n)
	}
}

// transcoded places a call whose sides use different laws of G.711.
func (l *lab) transcoded() {
	l.simulate()
	b := l.bridge("    transfer: local\n", "    transfer: local\n    codecs: [PCMU]\n")
	phone := l.extension(labPhone1, "PCMA/8000/1")
	phone.dial("CALL_ESTABLISHED")
	phone.hears(4 * time.Second)
	phone.hangUp()
	if r := l.finish(b, hungUpByCaller)[0]; r.Codec != "PCMA" {
		l.Errorf("the record says %+v; want PCMA", r)
	}
}

// password lets Asterisk answer both challenges in each INVITE, although only one answer is right. This must not count
// as a wrong password: a dozen calls must be accepted.
func (l *lab) password() {
	l.simulate("--direct-dial", "on")
	b := l.bridgeOf("With a password", "password_file: /run/secrets/pbx", "password_env: E2E_TOKEN")
	phone := l.dials("CALL_ESTABLISHED")
	phone.hears(5 * time.Second)
	phone.hangUp()
	answered := []want{directly}
	for range 11 {
		l.pbx.cli("channel originate PJSIP/8200@flowbridge application Wait 1")
		answered = append(answered, directly)
		eventually(l.T, "the next call has a record", func() bool { return len(b.cdrs()) == len(answered) })
	}
	l.finish(b, answered...)
	l.understands("echo", phone, phone)
}

// secured starts Flowbridge with the page's configuration for TLS, and a certificate of the PBX's
// authority.
func (l *lab) secured(replace ...string) *server {
	l.Helper()
	file, dir := l.pbx.ca.sign("flowbridge", labFlowbridge.addr.String()), labFlowbridge.dir(l.T)
	labFlowbridge.take(l.T, map[string]string{
		filepath.Join(dir, "cert.pem"): file, filepath.Join(dir, "key.pem"): file + ".key", filepath.Join(dir, "ca.pem"): l.pbx.ca.file,
	})
	return l.bridgeOf("TLS and SRTP", append(replace, "/etc/flowbridge", dir)...)
}

// encrypted places a call over TLS with SRTP.
func (l *lab) encrypted() {
	l.simulate("--direct-dial", "on")
	b := l.secured()
	l.echoes(b, l.dials("CALL_ESTABLISHED"), 5*time.Second, directly)
}

// encryptedCalled makes the agent call a phone over TLS with SRTP.
func (l *lab) encryptedCalled() {
	l.prepareCalls()
	l.agentCalls(l.secured(agentIsSource...))
}

// agentIsSource lets the agent call phones, in the configurations in which it has one number.
var agentIsSource = append([]string{
	`uri: "sip:+15075785607@sip.agents.example"}`, `uri: "sip:+15075785607@sip.agents.example", sources: [192.168.10.30]}`,
}, agentMayCall...)

// registers lets Asterisk register at Flowbridge, which then calls Asterisk at its Contact.
func (l *lab) registers() {
	b := l.registeredBridge("Asterisk registers")
	l.pbx.cli("pjsip send register flowbridge") // because Asterisk's first attempt was before Flowbridge started
	eventually(l.T, "Asterisk is registered", func() bool { return strings.Contains(l.pbx.cli("pjsip show registrations"), "Registered") })
	l.callsBothWays(b)
}

// registered lets Flowbridge register at Asterisk, get a call, and remove its Contact at the end.
func (l *lab) registered() {
	b := l.registeredBridge("Flowbridge registers")
	l.logged("@192.168.10.5:5060' to AOR 'flowbridge'")
	l.callsBothWays(b)
	l.logged("@192.168.10.5:5060' from AOR 'flowbridge'")
}

// registeredBridge starts Flowbridge with a section's configuration, in which the agent may call
// phones.
func (l *lab) registeredBridge(section string) *server {
	l.Helper()
	l.simulate("--direct-dial", "on")
	return l.bridgeOf(section, append(agentIsSource, "password_file: /run/secrets/pbx", "password_env: E2E_TOKEN")...)
}

// callsBothWays makes a phone call the agent, and then the agent call a phone.
func (l *lab) callsBothWays(b *server) {
	l.Helper()
	phone := l.dials("CALL_ESTABLISHED")
	phone.hears(6 * time.Second) // two of these seconds are the agent's greeting
	phone.hangUp()
	l.understands("echo", phone, phone)
	eventually(l.T, "the first call has a record", func() bool { return len(b.cdrs()) == 1 })
	l.agentCalls(b, directly)
}
