//go:build e2e && interop

package e2e

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dialled is what is dialled for the agent.
const dialled = "sip:8200@192.168.10.2"

// TestAsterisk runs the sections of Asterisk's page, each with an Asterisk of its
// own.
func TestAsterisk(t *testing.T) {
	type tries []labTry[*asterisk]
	for _, setup := range []struct {
		sections, replace []string
		tries             tries
	}{
		{[]string{"Asterisk"}, []string{"qualify_frequency = 60", "qualify_frequency = 1\nqualify_timeout = 0.8"}, tries{
			{"outbound_by_a_registered_phone", (*asterisk).outbound},
			{"cancelled_while_it_rings", (*asterisk).cancelled},
			{"busy_agent", (*asterisk).busy},
			{"hold_with_music_of_the_PBX", (*asterisk).holdLocal},
			{"blind_transfer_by_the_phone", (*asterisk).blind},
			{"attended_transfer_by_the_phone", (*asterisk).attended},
			{"agent_REFERs_to_an_extension_local", func(a *asterisk, s *stage) { a.referred(s, "local") }},
			{"agent_REFERs_to_an_extension_relay", func(a *asterisk, s *stage) { a.referred(s, "relay") }},
			{"agent_calls_an_extension", (*asterisk).called},
			{"keys_by_RFC_4733_both_ways", (*asterisk).keys},
			{"OPTIONS_and_a_restart_of_Flowbridge", (*asterisk).options},
		}},
		{[]string{"Asterisk"}, []string{direct, "direct_media = yes", ",120,T)", ",120)"}, tries{
			{"direct_media", (*asterisk).direct},
		}},
		{[]string{"Asterisk"}, []string{direct, direct + "\nmoh_passthrough = yes"}, tries{
			{"hold_that_is_signalled", (*asterisk).holdSignalled},
		}},
		{[]string{"Asterisk"}, []string{"dtmf_mode = rfc4733", "dtmf_mode = info"}, tries{
			{"keys_by_INFO_to_RFC_4733_and_back", (*asterisk).keysByINFO},
		}},
		{[]string{"Asterisk"}, []string{direct, direct + "\ntimers = always\ntimers_sess_expires = 90"}, tries{
			{"session_timer", (*asterisk).timer},
		}},
		{[]string{"Asterisk"}, []string{"allow = ulaw,alaw", "allow = alaw"}, tries{
			{"PCMA_of_the_PBX_PCMU_of_the_agent", (*asterisk).transcoded},
		}},
		{[]string{"Asterisk", "With a password"}, []string{"change-me", apiToken}, tries{
			{"password", (*asterisk).password},
		}},
		{[]string{"Asterisk", "With a password", "Asterisk registers"}, []string{"change-me", apiToken}, tries{
			{"Asterisk_registers,_calls_go_both_ways", (*asterisk).registers},
		}},
		{[]string{"Asterisk", "Flowbridge registers"}, []string{"change-me", apiToken, "contact = sip:192.168.10.5:5060\nqualify_frequency = 60", ""}, tries{
			{"Flowbridge_registers,_calls_go_both_ways", (*asterisk).registered},
		}},
		{[]string{"Asterisk", "TLS and SRTP"}, []string{"[flowbridge]\ntype = aor\ncontact = sip:192.168.10.5:5060", "[flowbridge]\ntype = aor"}, tries{
			{"TLS_and_SRTP_outbound", (*asterisk).encrypted},
			{"TLS_and_SRTP_to_an_extension", (*asterisk).encryptedCalled},
		}},
	} {
		t.Run(setup.sections[len(setup.sections)-1], func(t *testing.T) {
			a := startAsterisk(t, setup.sections, setup.replace...)
			for _, try := range setup.tries {
				t.Run(try.name, func(t *testing.T) {
					a.watch(t)
					try.run(a, newLab(t))
				})
			}
			a.stop()
		})
	}
}

// direct is the line of the page after which others are put.
const direct = "direct_media = no"

// asteriskYAML is Flowbridge's configuration of the page.
func asteriskYAML(s *stage) string {
	s.Helper()
	return readPage(s.T, "asterisk.md").yaml(s.T, "flowbridge.yaml")
}

// outbound: a phone registers, dials out, talks, and hangs up.
func (a *asterisk) outbound(s *stage) {
	s.simulate()
	b := s.bridge(asteriskYAML(s))
	phone := s.extension(labPhone1, "6001", 101)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(6 * time.Second)
	phone.hangUp()
	r := s.finishLab(b, hungUpByCaller)[0]
	if r.From != "6001" || r.To != "8200" {
		s.Errorf("the record says %+v", r)
	}
	s.understands("echo", phone, phone)
}

// cancelled: the caller gives up.
func (a *asterisk) cancelled(s *stage) {
	s.simulate("--ring", "10m")
	b := s.bridge(asteriskYAML(s))
	phone := s.extension(labPhone1, "6001", 102)
	phone.command("dial", dialled)
	phone.await("CALL_RINGING")
	phone.hangUp()
	s.finishLab(b, want{"cancelled", "caller_cancelled", "caller", 487, []try{{"caller_cancelled", 200, 0}}})
}

// busy: the phone is told.
func (a *asterisk) busy(s *stage) {
	s.simulate("--fault", "busy")
	b := s.bridge(asteriskYAML(s))
	phone := s.extension(labPhone1, "6001", 103)
	phone.command("dial", dialled)
	phone.await("CALL_CLOSED")
	phone.quit()
	if _, ok := phone.find("486"); !ok {
		s.Errorf("the phone has not heard of 486")
	}
	s.finishLab(b, want{"busy", "target_busy", "agent", 486, []try{{"target_busy", 200, 486}}})
}

// holdLocal: Asterisk plays music, and Flowbridge hears of no hold.
func (a *asterisk) holdLocal(s *stage) {
	s.simulate()
	b := s.bridge(asteriskYAML(s))
	phone := s.extension(labPhone1, "6001", 104)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(3 * time.Second)
	phone.command("hold", "")
	a.logged(s, "Started music on hold")
	phone.command("resume", "")
	a.logged(s, "Stopped music on hold")
	at := b.calls()[0].Media.A.Rx
	eventually(s.T, "the phone is heard again", func() bool { return b.calls()[0].Media.A.Rx > at+100 })
	if n := b.changes(); n != 0 {
		s.Errorf("the session was changed %d times", n)
	}
	phone.hangUp()
	s.finishLab(b, hungUpByCaller)
}

// logged waits for a line of Asterisk's log with these words that came since watch.
func (a *asterisk) logged(s *stage, words string) {
	s.Helper()
	eventually(s.T, "Asterisk logs "+words, func() bool { return strings.Contains(a.log()[a.since:], words) })
}

// blind: the phone hands the agent to another phone.
func (a *asterisk) blind(s *stage) {
	s.simulate()
	b := s.bridge(asteriskYAML(s))
	phone, other := s.extension(labPhone1, "6001", 105), s.extension(labPhone2, "6002", 106)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(2 * time.Second)
	phone.command("transfer", "sip:6002@192.168.10.2")
	other.await("CALL_ESTABLISHED")
	phone.await("CALL_CLOSED")
	phone.quit()
	other.hears(5 * time.Second)
	other.hangUp()
	s.finishLab(b, hungUpByCaller)
	s.understands("echo", other, other)
}

// attended: the phone asks another one first, by *2, and then leaves.
func (a *asterisk) attended(s *stage) {
	s.simulate()
	b := s.bridge(asteriskYAML(s))
	phone, other := s.extension(labPhone1, "6001", 107), s.extension(labPhone2, "6002", 108)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(2 * time.Second)
	phone.command("sndcode", "*2")
	a.logged(s, "pbx-transfer")
	phone.command("sndcode", "6002")
	other.await("CALL_ESTABLISHED")
	other.hears(time.Second)
	phone.hangUp()
	other.hears(5 * time.Second)
	other.hangUp()
	s.finishLab(b, hungUpByCaller)
	s.understands("echo", other, other)
}

// referred: the agent has the caller connected to another phone.
func (a *asterisk) referred(s *stage, mode string) {
	s.prepareCalls()
	two := s.newPhone(s.platform)
	leaves := fmt.Sprint(mode == "relay") // Asterisk does not hang up for it
	agent := s.transferrer(two.key(), "@TO@", "<tel:6002>", "@EXTRA@", "", "@STATUS@", "202", "@LEAVES@", leaves, "@HOLDS@", "false")
	b := s.bridge(asteriskYAML(s), "transfer: local", "transfer: "+mode)
	phone, other := s.extension(labPhone1, "6001", 109), s.extension(labPhone2, "6002", 110)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	agent.proceed(agent.confirmed(1)[0])
	other.await("CALL_ESTABLISHED")
	agent.finish() // with BYE
	phone.hears(3 * time.Second)
	other.hears(3 * time.Second)
	phone.hangUp()
	other.await("CALL_CLOSED")
	other.quit()
	expected := transferred(hungUpByCaller, try{"", 0, 200})
	if mode == "relay" {
		expected = hungUpByAgent
	}
	s.finishLab(b, expected)
	s.understands("the caller", phone, other)
	s.understands("the other phone", other, phone)
}

// called: the agent calls a phone, as for a warm transfer.
func (a *asterisk) called(s *stage) {
	s.prepareCalls()
	b := s.bridge(asteriskYAML(s), "    transfer: local\n", "    sources: [192.168.10.30]\n    transfer: local\n",
		"routes:\n", "routes:\n  - {target: agent, to: \"^60[0-9]{2}$\", trunks: [pbx]}\n")
	s.agentCalls(b)
}

// agentCalls has the agent call a phone, after calls with these records.
func (s *stage) agentCalls(b *server, before ...want) {
	s.Helper()
	other := s.extension(labPhone2, "6002", 111)
	call := labPlatform.command(labPlatform.dir(s.T), program, "call", "--to", "sip:6002@192.168.10.5", "--from", "agent", "--listen", "192.168.10.30:5080", "--seconds", "4")
	out, err := call.CombinedOutput()
	if err != nil {
		s.Errorf("flowbridge call: %v\n%s", err, out)
	}
	other.await("CALL_ESTABLISHED")
	other.await("CALL_CLOSED")
	other.quit()
	s.finishLab(b, append(before, want{"answered", "caller_hangup", "caller", 200, []try{{"", 0, 200}}})...)
}

// keys: both sides hear each other's keys.
func (a *asterisk) keys(s *stage) {
	s.prepareCalls()
	two := s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	b := s.bridge(asteriskYAML(s))
	phone := s.extension(labPhone1, "6001", 112)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	agent.confirmed(1)
	eventually(s.T, "the agent hears the caller", func() bool { return len(two.heard()) > 10 })
	phone.command("sndcode", "4711")
	eventually(s.T, "the agent gets all digits", func() bool { return two.digits() == "4711" })
	toB, err := agent.received("INVITE ", 1)[0].rtp()
	if err != nil {
		s.Fatal(err)
	}
	two.talk(keypress(9, 200, 20000, 0x77), toB)
	a.logged(s, "DTMF end '9' received on PJSIP/flowbridge-")
	phone.hangUp()
	agent.finish()
	s.finishLab(b, hungUpByCaller)
}

// options: Asterisk asks every second whether Flowbridge is there, and notices when
// it is not.
func (a *asterisk) options(s *stage) {
	s.prepareCalls()
	b := s.bridge(asteriskYAML(s))
	const answered = "bytes) from UDP:192.168.10.5:5060"
	a.logged(s, answered)
	a.watch(s.T)
	b.stop()
	a.logged(s, "Endpoint flowbridge is now Unreachable")
	a.watch(s.T)
	b = s.bridge(asteriskYAML(s))
	a.logged(s, "Endpoint flowbridge is now Reachable")
	lasts, err := time.ParseDuration(cmp.Or(os.Getenv("INTEROP_OPTIONS"), "10s"))
	if err != nil {
		s.Fatal(err)
	}
	a.watch(s.T)
	before := b.memory()
	time.Sleep(lasts)
	asked, got := strings.Count(a.log()[a.since:], "OPTIONS sip:192.168.10.5:5060"), strings.Count(a.log()[a.since:], answered)
	s.Logf("%d OPTIONS in %v, %d answers, memory %d KB, then %d KB", asked, lasts, got, before, b.memory())
	if got < asked-1 || asked < int(lasts.Seconds()/2) || strings.Contains(a.log()[a.since:], "flowbridge is now Unreachable") {
		s.Errorf("%d OPTIONS, %d answers", asked, got)
	}
	b.stop()
}

// direct: Asterisk has the phone and Flowbridge send RTP to each other. It asks for
// that by re-INVITE after the answer.
func (a *asterisk) direct(s *stage) {
	s.simulate()
	b := s.bridge(asteriskYAML(s))
	phone := s.extension(labPhone1, "6001", 120)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	eventually(s.T, "the session is changed", func() bool { return b.changes() > 0 })
	phone.hears(6 * time.Second)
	phone.hangUp()
	s.finishLab(b, hungUpByCaller)
	s.understands("echo", phone, phone)
	if _, ok := b.find("192.168.10.21"); !ok {
		s.Errorf("the server has not heard of the phone's address")
	}
}

// holdSignalled: Asterisk passes the phone's hold on, and Flowbridge the agent's.
func (a *asterisk) holdSignalled(s *stage) {
	s.prepareCalls()
	two := s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	b := s.bridge(asteriskYAML(s))
	phone := s.extension(labPhone1, "6001", 121)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	agent.confirmed(1)
	eventually(s.T, "the agent hears the caller", func() bool { return len(two.heard()) > 100 })
	phone.command("hold", "")
	eventually(s.T, "the hold is agreed on", func() bool { return b.changes() == 1 })
	phone.command("resume", "")
	eventually(s.T, "the resumption is agreed on", func() bool { return b.changes() == 2 })
	before := len(two.heard())
	eventually(s.T, "the agent hears the caller again", func() bool { return len(two.heard()) > before+100 })
	phone.hangUp()
	agent.finish()
	s.finishLab(b, hungUpByCaller)
}

// keysByINFO: the PBX has keys as INFO, the agent as telephone-events.
func (a *asterisk) keysByINFO(s *stage) {
	s.prepareCalls()
	two := s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	b := s.bridge(asteriskYAML(s), "    transfer: local\n", "    transfer: local\n    dtmf: rfc4733\n")
	phone := s.extension(labPhone1, "6001", 122)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	agent.confirmed(1)
	eventually(s.T, "the agent hears the caller", func() bool { return len(two.heard()) > 10 })
	phone.command("sndcode", "4711")
	eventually(s.T, "the agent gets all digits", func() bool { return two.digits() == "4711" })
	toB, err := agent.received("INVITE ", 1)[0].rtp()
	if err != nil {
		s.Fatal(err)
	}
	two.talk(keypress(9, 200, 20000, 0x77), toB)
	a.logged(s, "DTMF end '9' received on PJSIP/flowbridge-")
	phone.hangUp()
	agent.finish()
	s.finishLab(b, hungUpByCaller)
}

// timer: the session is refreshed while the call lasts.
func (a *asterisk) timer(s *stage) {
	s.simulate()
	b := s.bridge(asteriskYAML(s))
	phone := s.extension(labPhone1, "6001", 123)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(100 * time.Second)
	if n := strings.Count(a.log()[a.since:], "Session-Expires: 90"); n < 4 {
		s.Errorf("Session-Expires came %d times", n)
	}
	phone.hangUp()
	s.finishLab(b, hungUpByCaller)
	s.understands("echo", phone, phone)
}

// transcoded: one kind of G.711 on each side.
func (a *asterisk) transcoded(s *stage) {
	s.simulate()
	b := s.bridge(asteriskYAML(s), "    transfer: local\n", "    transfer: local\n    codecs: [PCMU]\n")
	phone := s.extensionWith(labPhone1, "6001", "PCMA/8000/1", 124)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(4 * time.Second)
	phone.hangUp()
	if r := s.finishLab(b, hungUpByCaller)[0]; r.Codec != "PCMA" {
		s.Errorf("the record says %+v", r)
	}
}

// password: Asterisk answers both challenges in each INVITE, of which only one is in
// order. That is no wrong password: a dozen calls are let in.
func (a *asterisk) password(s *stage) {
	s.simulate("--direct-dial", "on")
	b := s.bridge(readPage(s.T, "asterisk.md").yaml(s.T, "With a password"), "password_file: /run/secrets/pbx", "password_env: E2E_TOKEN")
	phone := s.extension(labPhone1, "6001", 125)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(5 * time.Second)
	phone.hangUp()
	answered := []want{{"answered", "caller_hangup", "caller", 200, []try{{"", 0, 200}}}}
	for range 11 {
		a.cli("channel originate PJSIP/8200@flowbridge application Wait 1")
		answered = append(answered, answered[0])
		eventually(s.T, "the next call has a record", func() bool { return len(b.cdrs()) == len(answered) })
	}
	s.finishLab(b, answered...)
	s.understands("echo", phone, phone)
}

// keyring gives Flowbridge a certificate of the PBX's authority. It gives the page's
// configuration for TLS, and what to replace in it.
func (a *asterisk) keyring(s *stage) (config string, replace []string) {
	s.Helper()
	file, dir := a.ca.sign("flowbridge", labFlowbridge.addr.String()), labFlowbridge.dir(s.T)
	labFlowbridge.take(s.T, map[string]string{
		filepath.Join(dir, "cert.pem"): file, filepath.Join(dir, "key.pem"): file + ".key", filepath.Join(dir, "ca.pem"): a.ca.file,
	})
	return readPage(s.T, "asterisk.md").yaml(s.T, "TLS and SRTP"), []string{"/etc/flowbridge", dir}
}

// encrypted: a call over TLS with SRTP.
func (a *asterisk) encrypted(s *stage) {
	s.simulate("--direct-dial", "on")
	config, replace := a.keyring(s)
	b := s.bridge(config, replace...)
	phone := s.extension(labPhone1, "6001", 126)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(5 * time.Second)
	phone.hangUp()
	s.finishLab(b, want{"answered", "caller_hangup", "caller", 200, []try{{"", 0, 200}}})
	s.understands("echo", phone, phone)
}

// encryptedCalled: the agent calls a phone over TLS with SRTP.
func (a *asterisk) encryptedCalled(s *stage) {
	s.prepareCalls()
	config, replace := a.keyring(s)
	b := s.bridge(config, append(replace, `uri: "sip:+15075785607@sip.agents.example"}`,
		`uri: "sip:+15075785607@sip.agents.example", sources: [192.168.10.30]}`,
		"routes:\n", "routes:\n  - {target: agent, to: \"^60[0-9]{2}$\", trunks: [pbx]}\n")...)
	s.agentCalls(b)
}
