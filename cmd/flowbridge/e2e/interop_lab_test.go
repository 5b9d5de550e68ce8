//go:build e2e && interop

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"flowbridge/media/audio"
	"flowbridge/store/record"
)

// machine is a simulated machine of the lab, with an address and a user. A socket of this user that is bound to no
// address sends from the machine's address, as scripts/interop sets up in the kernel.
type machine struct {
	name string
	uid  uint32
	addr netip.Addr
}

// The addresses of the pages in docs/interop.
var (
	labPBX         = machine{"pbx", 2002, netip.MustParseAddr("192.168.10.2")}
	labFlowbridge  = machine{"flowbridge", 2005, netip.MustParseAddr("192.168.10.5")}
	labFlowbridge2 = machine{"second flowbridge", 2006, netip.MustParseAddr("192.168.10.6")}
	labPhone1      = machine{"phone 6001", 2021, netip.MustParseAddr("192.168.10.21")}
	labPhone2      = machine{"phone 6002", 2022, netip.MustParseAddr("192.168.10.22")}
	labPlatform    = machine{"platform", 2030, netip.MustParseAddr("192.168.10.30")}
)

// labPBXSIP is the PBX's address for SIP.
var labPBXSIP = netip.AddrPortFrom(labPBX.addr, 5060)

// attr returns the attributes that make a program run on the machine.
func (m machine) attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: m.uid, Gid: m.uid, NoSetGroups: true}}
}

// command returns a program that runs on the machine, in a directory.
func (m machine) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.SysProcAttr = dir, m.attr()
	cmd.Env = append(os.Environ(), "E2E_TOKEN="+apiToken, "HOME="+dir, raceEnv)
	return cmd
}

// dir returns a new directory that belongs to the machine's user.
func (m machine) dir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "interop-") //nolint:usetesting // that one's parent is closed to other users
	if err == nil {
		err = os.Chown(dir, int(m.uid), int(m.uid))
	}
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// own writes a file that belongs to the machine's user.
func (m machine) own(t *testing.T, file, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(content), 0o600))
	must(t, os.Chown(file, int(m.uid), int(m.uid)))
}

// take copies files, which belong to the machine's user, by their new names.
func (m machine) take(t *testing.T, files map[string]string) {
	t.Helper()
	for to, from := range files {
		text, err := os.ReadFile(from)
		must(t, err)
		m.own(t, to, string(text))
	}
}

// lab is the stage of one test, with the addresses of the pages. Tests with a lab run one after the other.
type lab struct {
	*stage
	page  page
	pbx   *asterisk // either this or the proxy is set
	proxy *kamailio
}

// labTry is a test to run in a lab.
type labTry struct {
	name string
	run  func(*lab)
}

// inLabs runs tests, each in a new lab with this lab's peer.
func (l lab) inLabs(t *testing.T, tries []labTry) {
	for _, try := range tries {
		t.Run(try.name, func(t *testing.T) {
			if l.pbx != nil {
				l.pbx.watch(t)
			}
			l.stage = newLabStage(t)
			try.run(&l)
		})
	}
}

func newLabStage(t *testing.T) *stage {
	t.Helper()
	if os.Getenv("INTEROP_LAB") == "" {
		t.Fatal("these tests need the network of scripts/interop")
	}
	must(t, os.Chmod(filepath.Dir(program), 0o755))
	return &stage{T: t, b2bua: labFlowbridge.addr, carrier: labPBX.addr, platform: labPlatform.addr, stranger: netip.MustParseAddr("127.0.0.1")}
}

// page holds the blocks of a page of docs/interop by section, in order.
type page []block

type block struct{ section, kind, text string }

var pageParts = regexp.MustCompile("(?ms)^## ([^\n]+)$|^```([a-z]+)\n(.*?)^```$")

func readPage(t *testing.T, name string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../docs/interop", name))
	must(t, err)
	var p page
	section := ""
	for _, m := range pageParts.FindAllStringSubmatch(string(text), -1) {
		if m[1] != "" {
			section = m[1]
		} else {
			p = append(p, block{section, m[2], m[3]})
		}
	}
	return p
}

// files returns the blocks of sections whose first line names a file, joined by file. That line is a comment that
// begins with ; or #.
func (p page) files(t *testing.T, sections ...string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, section := range sections {
		found := false
		for _, b := range p {
			first, rest, _ := strings.Cut(b.text, "\n")
			file, ok := strings.CutPrefix(strings.TrimLeft(first, ";# "), "/etc/")
			if b.section == section && ok {
				files[filepath.Base(file)] += rest + "\n"
				found = true
			}
		}
		if !found {
			t.Fatalf("no files in section %q", section)
		}
	}
	return files
}

// yaml returns the configuration of a section.
func (p page) yaml(t *testing.T, section string) string {
	t.Helper()
	for _, b := range p {
		if b.section == section && b.kind == "yaml" {
			return b.text
		}
	}
	t.Fatalf("no configuration in section %q", section)
	return ""
}

// bridge starts Flowbridge with the page's configuration, in which the agent is this stage's, and with these
// replacements.
func (l *lab) bridge(replace ...string) *server {
	l.Helper()
	return l.bridgeOf("flowbridge.yaml", replace...)
}

// bridgeOf is like bridge, with the configuration of another section.
func (l *lab) bridgeOf(section string, replace ...string) *server {
	l.Helper()
	l.server = l.bridgeOn(labFlowbridge, l.page.yaml(l.T, section), replace...)
	return l.server
}

// bridgeOn runs Flowbridge on a machine.
func (l *lab) bridgeOn(m machine, config string, replace ...string) *server {
	l.Helper()
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(config, replace[i]) {
			l.Fatalf("the page's configuration does not have %q", replace[i])
		}
	}
	config = strings.NewReplacer(replace...).Replace(config)
	config = strings.NewReplacer(
		"sip.synthflow.ai:32681", l.agent.String(),
		"sip.agents.example", l.agent.String(),
		"token_file: /run/secrets/synthflow", fmt.Sprintf("token_env: E2E_TOKEN\n      api: %q", l.api),
	).Replace(config)
	config += "store: {path: calls.db}\nadmin: {listen: \"127.0.0.1:0\"}\nlog: {level: debug}\n"
	dir := m.dir(l.T)
	m.own(l.T, filepath.Join(dir, "flowbridge.yaml"), config)
	return serveCommand(l.T, dir, m.command(dir, program, "serve"))
}

// finish waits for the records, compares them, oldest first, and ends the server.
func (l *lab) finish(b *server, wanted ...want) []record.Record {
	l.Helper()
	var all []record.Record
	eventually(l.T, "the calls have records", func() bool { all = b.cdrs(); return len(all) >= len(wanted) })
	slices.Reverse(all)
	for i, r := range all {
		if i >= len(wanted) || !reflect.DeepEqual(wantOf(r), wanted[i]) {
			l.Errorf("record %d says %+v; want %+v", i, wantOf(r), wanted)
		}
	}
	eventually(l.T, "no call and no port of one is left", func() bool { return len(b.calls()) == 0 && b.portsInUse() == 0 })
	b.stop()
	return all
}

// extension starts a phone on its machine, which registers with the PBX. lines are added to its configuration.
func (l *lab) extension(m machine, codec string, lines ...string) *baresip {
	l.Helper()
	return l.extensionThat("auto", m, codec, lines...)
}

// extensionThat is like extension. With answers set to auto, the phone answers calls; with manual, it rings until it
// gets the command to answer.
func (l *lab) extensionThat(answers string, m machine, codec string, lines ...string) *baresip {
	l.Helper()
	number := strings.TrimPrefix(m.name, "phone ")
	account := fmt.Sprintf("\"Phone %[1]s\" <sip:%[1]s@%[2]s>;auth_user=%[1]s;auth_pass=secret-%[1]s;regint=60;answermode=%[4]s;audio_codecs=%[3]s\n",
		number, labPBX.addr, codec, answers)
	p := l.softphone(m.dir(l.T), m.attr(), account, netip.AddrPortFrom(m.addr, 5060), softWords(uint64(m.uid)), lines...)
	eventually(l.T, m.name+" is registered", func() bool { _, ok := p.find(" binding"); return ok })
	return p
}

// understands checks that a phone has at last heard another phone's words, or its own, for three seconds. A device
// between them may have its own clock, and skip or repeat a frame.
func (l *lab) understands(what string, phone, other *baresip) {
	l.Helper()
	const length = 3 * 8000
	heard := codes(audio.ULaw, phone.heard())
	p := compare(other.said(), heard[max(0, len(heard)-length):])
	if p.known < 100 || p.known < 9*p.unknown {
		l.Errorf("%s: %+v; want at least 100 packets, and hardly any that was not said", what, p)
	}
}
