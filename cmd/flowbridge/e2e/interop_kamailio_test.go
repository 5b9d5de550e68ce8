//go:build e2e && interop

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKamailio runs the sections of Kamailio's page.
func TestKamailio(t *testing.T) {
	for _, setup := range []struct {
		name    string
		edit    func(string) string
		replace []string
		tries   []labTry[*kamailio]
	}{
		{"as on the page", nil, nil, []labTry[*kamailio]{
			{"outbound_by_a_registered_phone", outboundByProxy},
			{"cancelled_while_it_rings", cancelledByProxy},
			{"busy_agent", busyByProxy},
			{"hold_and_resume", heldByProxy},
			{"keys_by_RFC_4733", keysByProxy},
			{"agent_REFERs_to_a_phone_local", func(_ *kamailio, s *stage) { referredByProxy(s, "local") }},
			{"agent_REFERs_to_a_phone_relay", func(_ *kamailio, s *stage) { referredByProxy(s, "relay") }},
			{"agent_calls_a_phone", calledByProxy},
			{"SRTP_of_the_phone", encryptedByProxy},
			{"first_Flowbridge_is_down", firstDown},
			{"first_Flowbridge_answers_503", firstFull},
			{"first_Flowbridge_drains", firstDrains},
		}},
		{"over TCP", func(config string) string { return config }, []string{":5060 0 10", ":5060;transport=tcp 0 10"}, []labTry[*kamailio]{
			{"outbound_over_TCP", outboundByTCP},
		}},
		{"with passwords", passwords(t), nil, []labTry[*kamailio]{
			{"password_of_Kamailio", passwordOfProxy},
			{"password_of_Flowbridge", passwordOfBridge},
		}},
	} {
		t.Run(setup.name, func(t *testing.T) {
			k := pageKamailio(t, setup.edit, setup.replace...)
			for _, try := range setup.tries {
				t.Run(try.name, func(t *testing.T) {
					try.run(k, newLab(t))
				})
			}
			k.stop()
		})
	}
}

// kamailioYAML is Flowbridge's configuration of the page.
func kamailioYAML(s *stage) string {
	s.Helper()
	return readPage(s.T, "kamailio.md").yaml(s.T, "flowbridge.yaml")
}

// pageKamailio runs Kamailio with the page's files, of which the main one may be
// edited, and this replaced in its list of Flowbridges.
func pageKamailio(t *testing.T, edit func(string) string, list ...string) *kamailio {
	t.Helper()
	newLab(t)
	files := readPage(t, "kamailio.md").files(t, "Kamailio")
	dir := labPBX.dir(t)
	config := strings.NewReplacer("/etc/kamailio", dir, `"ds_ping_interval", 10`, `"ds_ping_interval", 1`).Replace(files["kamailio.cfg"])
	if edit != nil {
		config = edit(config)
	}
	labPBX.own(t, filepath.Join(dir, "dispatcher.list"), strings.NewReplacer(list...).Replace(files["dispatcher.list"]))
	file := filepath.Join(dir, "kamailio.cfg")
	labPBX.own(t, file, config)
	cmd := exec.Command("kamailio", "-f", file, "-DD", "-E", "-m", "32", "-M", "4", "-Y", dir, "-w", dir)
	cmd.Dir = dir
	cmd.SysProcAttr = labPBX.attr()
	cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGTERM, true
	k := &kamailio{process: start(t, "kamailio", cmd), control: filepath.Join(dir, "kamailio_ctl")}
	t.Cleanup(func() {
		if !k.ended() {
			k.stop()
		}
	})
	eventually(t, "Kamailio listens", func() bool {
		if k.ended() {
			t.Fatalf("kamailio ended: %v", k.err)
		}
		return bound(t, "udp", labPBXSIP)
	})
	return k
}

// passwords puts the blocks of that section where they say.
func passwords(t *testing.T) func(string) string {
	t.Helper()
	blocks := map[string]string{}
	for _, b := range readPage(t, "kamailio.md") {
		if b.section == "With passwords" && b.kind == "text" {
			first, rest, _ := strings.Cut(b.text, "\n")
			blocks[first] = rest
		}
	}
	return func(config string) string {
		for first, at := range map[string]string{
			"# after the other modparam lines":                                                            "\nevent_route[htable",
			"# at the beginning of failure_route[NEXT]":                                                   "    if (t_is_canceled()) exit;\n",
			"# before lookup(\"location\") for an agent's call; $sht(phones=>flowbridge) is its password": "        if (!lookup(\"location\")) {\n            sl_send_reply(\"480\"",
		} {
			if blocks[first] == "" || strings.Count(config, at) != 1 {
				t.Fatalf("no block %q, or no place for it", first)
			}
			config = strings.Replace(config, at, "\n"+blocks[first]+at, 1)
		}
		return strings.NewReplacer("change-me", apiToken, "    $sht(phones=>6002)", "    $sht(phones=>flowbridge) = \""+apiToken+"\";\n    $sht(phones=>6002)").Replace(config)
	}
}

// outboundByProxy: a phone registers, dials out, talks, and hangs up.
func outboundByProxy(_ *kamailio, s *stage) {
	s.simulate()
	b := s.bridge(kamailioYAML(s))
	phone := s.extension(labPhone1, "6001", 201)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(6 * time.Second)
	phone.hangUp()
	s.finishLab(b, hungUpByCaller)
	s.understands("echo", phone, phone)
}

// cancelledByProxy: the caller gives up.
func cancelledByProxy(_ *kamailio, s *stage) {
	s.simulate("--ring", "10m")
	b := s.bridge(kamailioYAML(s))
	phone := s.extension(labPhone1, "6001", 202)
	phone.command("dial", dialled)
	phone.await("CALL_RINGING")
	phone.hangUp()
	s.finishLab(b, want{"cancelled", "caller_cancelled", "caller", 487, []try{{"caller_cancelled", 200, 0}}})
}

// busyByProxy: the phone is told, and no other Flowbridge is tried.
func busyByProxy(_ *kamailio, s *stage) {
	s.simulate("--fault", "busy")
	b := s.bridge(kamailioYAML(s))
	phone := s.extension(labPhone1, "6001", 203)
	phone.command("dial", dialled)
	phone.await("CALL_CLOSED")
	phone.quit()
	if _, ok := phone.find("486"); !ok {
		s.Errorf("the phone has not heard of 486")
	}
	s.finishLab(b, want{"busy", "target_busy", "agent", 486, []try{{"target_busy", 200, 486}}})
}

// heldByProxy: the phone's re-INVITEs come by Kamailio.
func heldByProxy(_ *kamailio, s *stage) {
	s.prepareCalls()
	two := s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	b := s.bridge(kamailioYAML(s))
	phone := s.extension(labPhone1, "6001", 204)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	agent.confirmed(1)
	for i, command := range []string{"hold", "resume"} {
		phone.command(command, "")
		eventually(s.T, command+" is agreed on", func() bool { return b.changes() == i+1 })
	}
	before := len(two.heard())
	eventually(s.T, "the agent hears the caller again", func() bool { return len(two.heard()) > before+100 })
	phone.hangUp()
	agent.finish()
	s.finishLab(b, hungUpByCaller)
}

// keysByProxy: the agent gets the phone's keys.
func keysByProxy(_ *kamailio, s *stage) {
	s.prepareCalls()
	two := s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	b := s.bridge(kamailioYAML(s))
	phone := s.extension(labPhone1, "6001", 205)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	agent.confirmed(1)
	eventually(s.T, "the agent hears the caller", func() bool { return len(two.heard()) > 10 })
	phone.command("sndcode", "4711")
	eventually(s.T, "the agent gets all digits", func() bool { return two.digits() == "4711" })
	phone.hangUp()
	agent.finish()
	s.finishLab(b, hungUpByCaller)
}

// referredByProxy: the agent has the caller connected to another phone.
func referredByProxy(s *stage, mode string) {
	s.prepareCalls()
	two := s.newPhone(s.platform)
	agent := s.transferrer(two.key(), "@TO@", "<tel:6002>", "@EXTRA@", "", "@STATUS@", "202", "@LEAVES@", fmt.Sprint(mode == "relay"), "@HOLDS@", "false")
	b := s.bridge(kamailioYAML(s), "transfer: local", "transfer: "+mode)
	phone, other := s.extension(labPhone1, "6001", 206), s.extension(labPhone2, "6002", 207)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	agent.proceed(agent.confirmed(1)[0])
	other.await("CALL_ESTABLISHED")
	agent.finish() // with BYE
	other.hears(3 * time.Second)
	phone.hears(3 * time.Second)
	if mode == "local" {
		phone.hangUp()
		other.await("CALL_CLOSED")
		other.quit()
		s.finishLab(b, transferred(hungUpByCaller, try{"", 0, 200}))
	} else {
		phone.quit()
		other.quit()
		s.finishLab(b, hungUpByAgent)
	}
	s.understands("the caller", phone, other)
	s.understands("the other phone", other, phone)
}

// calledByProxy: the agent calls a phone.
func calledByProxy(_ *kamailio, s *stage) {
	s.prepareCalls()
	b := s.bridge(kamailioYAML(s), "    transfer: local\n", "    sources: [192.168.10.30]\n    transfer: local\n",
		"routes:\n", "routes:\n  - {target: agent, to: \"^60[0-9]{2}$\", trunks: [pbx]}\n")
	s.agentCalls(b)
}

// encryptedByProxy: the phone offers SRTP alone, with its keys in SDP.
func encryptedByProxy(_ *kamailio, s *stage) {
	s.simulate()
	b := s.bridge(kamailioYAML(s), "    media_sources:", "    media: {srtp: optional}\n    media_sources:")
	phone := s.extensionWith(labPhone1, "6001", "PCMU/8000/1;mediaenc=srtp-mand", 208, "module srtp.so")
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(5 * time.Second)
	phone.hangUp()
	if r := s.finishLab(b, hungUpByCaller)[0]; r.Media.A.SRTP == "" {
		s.Errorf("no SRTP: %+v", r.Media)
	}
	s.understands("echo", phone, phone)
}

// second starts the other Flowbridge, with the page's file and its own address.
func (s *stage) second() *server {
	s.Helper()
	return s.bridgeOn(labFlowbridge2, labFlowbridge2.dir(s.T), strings.ReplaceAll(kamailioYAML(s), "192.168.10.5", "192.168.10.6"))
}

// knows waits until Kamailio says of a Flowbridge that it is up, or down. It takes
// one for up at first.
func (k *kamailio) knows(s *stage, address, state string) {
	s.Helper()
	eventually(s.T, "Kamailio knows that "+address+" is "+state, func() bool {
		last := "up"
		for _, line := range k.output() {
			if _, found, ok := strings.Cut(line, address+":5060 is "); ok {
				last = found
			}
		}
		return last == state
	})
}

// lists waits until kamcmd shows an address with these flags.
func (k *kamailio) lists(s *stage, address, flags string) {
	s.Helper()
	eventually(s.T, "kamcmd shows "+address+" as "+flags, func() bool {
		out, err := exec.Command("kamcmd", "-s", "unix:"+k.control, "dispatcher.list").CombinedOutput()
		if err != nil {
			s.Fatalf("kamcmd: %v\n%s", err, out)
		}
		_, rest, _ := strings.Cut(string(out), "URI: sip:"+address+":5060")
		_, rest, _ = strings.Cut(rest, "FLAGS: ")
		return strings.HasPrefix(rest, flags+"\n")
	})
}

// bySecond places a call that the second Flowbridge carries.
func (s *stage) bySecond(b *server, seed uint64) {
	s.Helper()
	phone := s.extension(labPhone1, "6001", seed)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(5 * time.Second)
	phone.hangUp()
	s.finishLab(b, hungUpByCaller)
	s.understands("echo", phone, phone)
}

// firstDown: the first one in the list is not there.
func firstDown(k *kamailio, s *stage) {
	s.simulate()
	b := s.second()
	k.knows(s, "192.168.10.6", "up")
	k.lists(s, "192.168.10.5", "IP")
	k.lists(s, "192.168.10.6", "AP")
	s.bySecond(b, 209)
}

// firstFull: the first one in the list has no agent, and answers 503.
func firstFull(k *kamailio, s *stage) {
	s.simulate("--fault", "status:500")
	first := s.bridge(kamailioYAML(s))
	s.simulate()
	b := s.second()
	k.knows(s, "192.168.10.5", "up")
	s.bySecond(b, 210)
	s.finishLab(first, want{"failed", "target_error", "system", 503, []try{{"target_error", 200, 500}}})
}

// firstDrains: the first one in the list was told to end while a call is up.
func firstDrains(k *kamailio, s *stage) {
	s.simulate()
	first := s.bridge(kamailioYAML(s))
	b := s.second()
	k.knows(s, "192.168.10.5", "up")
	old := s.extension(labPhone2, "6002", 211)
	old.command("dial", dialled)
	old.await("CALL_ESTABLISHED")
	first.signal(syscall.SIGTERM)
	eventually(s.T, "it drains", func() bool { return first.status("/readyz") != 200 })
	k.knows(s, "192.168.10.5", "down")
	s.bySecond(b, 212)
	old.hears(time.Second)
	old.hangUp()
	first.stopped()
}

// outboundByTCP: Kamailio speaks TCP to Flowbridge.
func outboundByTCP(_ *kamailio, s *stage) {
	s.simulate()
	b := s.bridge(kamailioYAML(s), `listen: ["udp://192.168.10.5:5060"]`, `listen: ["udp://192.168.10.5:5060", "tcp://192.168.10.5:5060"]`)
	phone := s.extension(labPhone1, "6001", 213)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(5 * time.Second)
	phone.hangUp()
	s.finishLab(b, hungUpByCaller)
	s.understands("echo", phone, phone)
}

// passwordYAML is the configuration of the section, and what to replace in it.
func passwordYAML(s *stage) (config string, replace []string) {
	s.Helper()
	return readPage(s.T, "kamailio.md").yaml(s.T, "With passwords"), []string{
		"password_file: /run/secrets/pbx}", "password_env: E2E_TOKEN}", "password_file: /run/secrets/pbx-dial}", "password_env: E2E_TOKEN}",
		"198.51.100.20", labPlatform.addr.String(),
	}
}

// passwordOfProxy: Kamailio answers Flowbridge's challenge.
func passwordOfProxy(_ *kamailio, s *stage) {
	s.simulate("--direct-dial", "on")
	config, replace := passwordYAML(s)
	b := s.bridge(config, replace...)
	phone := s.extension(labPhone1, "6001", 214)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(5 * time.Second)
	phone.hangUp()
	s.finishLab(b, want{"answered", "caller_hangup", "caller", 200, []try{{"", 0, 200}}})
	s.understands("echo", phone, phone)
}

// passwordOfBridge: Flowbridge answers Kamailio's challenge.
func passwordOfBridge(_ *kamailio, s *stage) {
	s.prepareCalls()
	config, replace := passwordYAML(s)
	s.agentCalls(s.bridge(config, replace...))
}
