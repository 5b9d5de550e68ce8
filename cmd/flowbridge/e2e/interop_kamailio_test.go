//go:build e2e && interop

package e2e

import (
	"os"
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
		tries   []labTry
	}{
		{"as on the page", nil, nil, []labTry{
			{"outbound_by_a_registered_phone", (*lab).outbound},
			{"cancelled_while_it_rings", (*lab).cancelled},
			{"busy_agent", (*lab).busy},
			{"hold_and_resume", (*lab).held},
			{"keys_by_RFC_4733", func(l *lab) { l.keys() }},
			{"agent_REFERs_to_a_phone_local", func(l *lab) { l.referred("local") }},
			{"agent_REFERs_to_a_phone_relay", func(l *lab) { l.referred("relay") }},
			{"agent_calls_a_phone", (*lab).called},
			{"SRTP_of_the_phone", (*lab).phoneEncrypts},
			{"first_Flowbridge_is_down", (*lab).firstDown},
			{"first_Flowbridge_answers_503", (*lab).firstFull},
			{"first_Flowbridge_drains", (*lab).firstDrains},
		}},
		{"over TCP", func(config string) string { return config }, []string{":5060 0 10", ":5060;transport=tcp 0 10"}, []labTry{
			{"outbound_over_TCP", (*lab).outboundByTCP},
		}},
		{"with passwords", passwords(t), nil, []labTry{
			{"password_of_Kamailio", (*lab).passwordOfProxy},
			{"password_of_Flowbridge", (*lab).passwordOfBridge},
		}},
	} {
		t.Run(setup.name, func(t *testing.T) {
			k := pageKamailio(t, setup.edit, setup.replace...)
			lab{page: readPage(t, "kamailio.md"), proxy: k}.inLabs(t, setup.tries)
			k.stop()
		})
	}
}

// pageKamailio runs Kamailio with the page's files. edit, if not nil, changes kamailio.cfg. list has the replacements
// for the page's list of Flowbridges.
func pageKamailio(t *testing.T, edit func(string) string, list ...string) *kamailio {
	t.Helper()
	newLabStage(t)
	files := readPage(t, "kamailio.md").files(t, "Kamailio")
	dir := labPBX.dir(t)
	config := strings.NewReplacer("/etc/kamailio", dir, `"ds_ping_interval", 10`, `"ds_ping_interval", 1`).Replace(files["kamailio.cfg"])
	if edit != nil {
		config = edit(config)
	}
	labPBX.own(t, filepath.Join(dir, "dispatcher.list"), strings.NewReplacer(list...).Replace(files["dispatcher.list"]))
	file := filepath.Join(dir, "kamailio.cfg")
	labPBX.own(t, file, config)
	cmd := exec.Command("/usr/sbin/kamailio", "-f", file, "-DD", "-E", "-m", "32", "-M", "4", "-Y", dir, "-w", dir)
	cmd.Dir = dir
	cmd.SysProcAttr = labPBX.attr()
	cmd.SysProcAttr.Chroot = os.Getenv("INTEROP_CHROOT")
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

// passwords inserts the blocks of that section where they say.
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

// phoneEncrypts places a call from a phone that offers only SRTP, with its keys in SDP.
func (l *lab) phoneEncrypts() {
	l.simulate()
	b := l.bridge("    media_sources:", "    media: {srtp: optional}\n    media_sources:")
	phone := l.extension(labPhone1, g711+";mediaenc=srtp-mand", "module srtp.so")
	phone.dial("CALL_ESTABLISHED")
	if r := l.echoes(b, phone, 5*time.Second, hungUpByCaller); r.Media.A.SRTP == "" {
		l.Errorf("no SRTP: %+v", r.Media)
	}
}

// second starts the other Flowbridge, with the page's file and its own address.
func (l *lab) second() *server {
	l.Helper()
	return l.bridgeOn(labFlowbridge2, strings.ReplaceAll(l.page.yaml(l.T, "flowbridge.yaml"), "192.168.10.5", "192.168.10.6"))
}

// knows waits until Kamailio reports this Flowbridge as up or down. After its start it reports all of them as up.
func (l *lab) knows(address, state string) {
	l.Helper()
	eventually(l.T, "Kamailio knows that "+address+" is "+state, func() bool {
		last := "up"
		for _, line := range l.proxy.output() {
			if _, found, ok := strings.Cut(line, address+":5060 is "); ok {
				last = found
			}
		}
		return last == state
	})
}

// lists waits until kamcmd shows an address with these flags.
func (l *lab) lists(address, flags string) {
	l.Helper()
	eventually(l.T, "kamcmd shows "+address+" as "+flags, func() bool {
		out, err := exec.Command("kamcmd", "-s", "unix:"+l.proxy.control, "dispatcher.list").CombinedOutput()
		if err != nil {
			l.Fatalf("kamcmd: %v\n%s", err, out)
		}
		_, rest, _ := strings.Cut(string(out), "URI: sip:"+address+":5060")
		_, rest, _ = strings.Cut(rest, "FLAGS: ")
		return strings.HasPrefix(rest, flags+"\n")
	})
}

// carries checks that a call can be placed through this Flowbridge.
func (l *lab) carries(b *server) {
	l.Helper()
	l.echoes(b, l.dials("CALL_ESTABLISHED"), 5*time.Second, hungUpByCaller)
}

// firstDown places a call while the first Flowbridge in the list is not running.
func (l *lab) firstDown() {
	l.simulate()
	b := l.second()
	l.knows("192.168.10.6", "up")
	l.lists("192.168.10.5", "IP")
	l.lists("192.168.10.6", "AP")
	l.carries(b)
}

// firstFull places a call while the first Flowbridge in the list has no agent, and so answers 503.
func (l *lab) firstFull() {
	l.simulate("--fault", "status:500")
	first := l.bridge()
	l.simulate()
	b := l.second()
	l.knows("192.168.10.5", "up")
	l.carries(b)
	l.finish(first, want{"failed", "target_error", "system", 503, []try{{"target_error", 200, 500}}})
}

// firstDrains places a call while the first Flowbridge in the list drains with a call up.
func (l *lab) firstDrains() {
	l.simulate()
	first := l.bridge()
	b := l.second()
	l.knows("192.168.10.5", "up")
	old := l.extension(labPhone2, g711)
	old.dial("CALL_ESTABLISHED")
	first.signal(syscall.SIGTERM)
	eventually(l.T, "it drains", func() bool { return first.status("/readyz") != 200 })
	l.knows("192.168.10.5", "down")
	l.carries(b)
	old.hears(time.Second)
	old.hangUp()
	first.stopped()
}

// outboundByTCP lets Kamailio use TCP toward Flowbridge.
func (l *lab) outboundByTCP() {
	l.simulate()
	l.carries(l.bridge(`listen: ["udp://192.168.10.5:5060"]`, `listen: ["udp://192.168.10.5:5060", "tcp://192.168.10.5:5060"]`))
}

// withPasswords starts Flowbridge with the configuration of that section.
func (l *lab) withPasswords() *server {
	l.Helper()
	return l.bridgeOf("With passwords", "password_file: /run/secrets/pbx}", "password_env: E2E_TOKEN}",
		"password_file: /run/secrets/pbx-dial}", "password_env: E2E_TOKEN}", "198.51.100.20", labPlatform.addr.String())
}

// passwordOfProxy checks that Kamailio answers Flowbridge's challenge.
func (l *lab) passwordOfProxy() {
	l.simulate("--direct-dial", "on")
	b := l.withPasswords()
	l.echoes(b, l.dials("CALL_ESTABLISHED"), 5*time.Second, directly)
}

// passwordOfBridge checks that Flowbridge answers Kamailio's challenge.
func (l *lab) passwordOfBridge() {
	l.prepareCalls()
	l.agentCalls(l.withPasswords())
}
