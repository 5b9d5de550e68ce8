//go:build e2e && interop

package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// asterisk is a PBX in Debian's directory tree, with the files of a page.
type asterisk struct {
	*process
	root, dir string // dir is below root
	since     int    // offset in its log at which a test began
	ca        *authority
}

// asteriskOwn are files that are not on the page: the phones, and settings that keep unneeded parts
// of Asterisk from starting.
var asteriskOwn = map[string]string{
	"modules.conf": `[modules]
autoload = yes
noload = chan_sip.so
noload = chan_iax2.so
noload = chan_mgcp.so
noload = chan_skinny.so
noload = chan_unistim.so
noload = chan_alsa.so
noload = chan_console.so
noload = chan_oss.so
noload = chan_phone.so
noload = chan_dahdi.so
noload = pbx_dundi.so
noload = res_hep.so
`,
	"logger.conf": "[general]\n[logfiles]\nfull => notice,warning,error,verbose,dtmf\n",
	"rtp.conf":    "[general]\nrtpstart = 40000\nrtpend = 49999\n",
}

const asteriskPhone = `
[@N@]
type = endpoint
context = phones
disallow = all
allow = ulaw,alaw
auth = @N@
aors = @N@
direct_media = no
[@N@]
type = auth
auth_type = userpass
username = @N@
password = secret-@N@
[@N@]
type = aor
max_contacts = 1
remove_existing = yes
`

const asteriskPhones = `
[phones]
include => to-flowbridge
exten => _60XX,1,Dial(PJSIP/${EXTEN},30)
`

// startAsterisk runs an Asterisk with the files of these sections of its page, with words replaced.
func startAsterisk(t *testing.T, sections []string, replace ...string) *asterisk {
	t.Helper()
	a := &asterisk{root: os.Getenv("INTEROP_CHROOT")}
	dir, err := os.MkdirTemp(filepath.Join(a.root, "srv"), "asterisk-") //nolint:usetesting // within its tree
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	a.dir = strings.TrimPrefix(dir, a.root)
	files := readPage(t, "asterisk.md").files(t, sections...)
	for name, text := range files {
		files[name] = strings.NewReplacer(append(replace, "/etc/asterisk/keys", a.dir+"/keys")...).Replace(text)
	}
	for _, n := range []string{"6001", "6002"} {
		phone := strings.ReplaceAll(asteriskPhone, "@N@", n)
		files["pjsip.conf"] += strings.NewReplacer(replace...).Replace(phone)
	}
	files["extensions.conf"] += asteriskPhones
	maps.Copy(files, asteriskOwn)
	modules := "/usr/lib/asterisk/modules"
	if found, _ := filepath.Glob(filepath.Join(a.root, "usr/lib/*/asterisk/modules")); len(found) > 0 {
		modules = strings.TrimPrefix(found[0], a.root) // since Debian 13
	}
	files["asterisk.conf"] = strings.NewReplacer("@", a.dir, "MODULES", modules).Replace(`[directories]
astetcdir => @/etc
astmoddir => MODULES
astvarlibdir => /var/lib/asterisk
astdatadir => /usr/share/asterisk
astdbdir => @/db
astkeydir => @/keys
astagidir => /usr/share/asterisk/agi-bin
astspooldir => @/spool
astrundir => @/run
astlogdir => @/log
`)
	debian, err := filepath.Glob(filepath.Join(a.root, "etc/asterisk/*"))
	if err != nil || len(debian) == 0 {
		t.Fatalf("no configuration of Debian's in %s: %v", a.root, err)
	}
	for _, file := range debian {
		if _, ours := files[filepath.Base(file)]; !ours {
			if text, err := os.ReadFile(file); err == nil { // not a directory
				files[filepath.Base(file)] = string(text)
			}
		}
	}
	for name, text := range files {
		labPBX.own(t, filepath.Join(dir, "etc", name), text)
	}
	for _, sub := range []string{"", "etc", "db", "keys", "spool", "run", "log"} {
		must(t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
		must(t, os.Chown(filepath.Join(dir, sub), int(labPBX.uid), int(labPBX.uid)))
	}
	a.ca = newLabStage(t).authority("lab")
	pbx := a.ca.sign("pbx", labPBX.addr.String())
	labPBX.take(t, map[string]string{
		filepath.Join(dir, "keys/pbx.pem"): pbx, filepath.Join(dir, "keys/pbx.key"): pbx + ".key", filepath.Join(dir, "keys/ca.pem"): a.ca.file,
	})
	a.process = start(t, "asterisk", a.command("-f", "-vvv"))
	a.quiet = true // its log file says more
	eventually(t, "Asterisk has booted", func() bool {
		if a.ended() {
			t.Fatalf("asterisk ended: %v", a.err)
		}
		out, err := a.command("-rx", "core waitfullybooted").CombinedOutput()
		return err == nil && strings.Contains(string(out), "fully booted")
	})
	a.cli("pjsip set logger on")
	return a
}

// watch shows Asterisk's log from now on, with all SIP, if a test fails.
func (a *asterisk) watch(t *testing.T) {
	a.since = len(a.log())
	since := a.since
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Asterisk's log:\n%s", a.log()[since:])
		}
	})
}

func (a *asterisk) log() string {
	log, _ := os.ReadFile(filepath.Join(a.root, a.dir, "log/full")) // does not exist at first
	return string(log)
}

// command returns Asterisk's program with its configuration.
func (a *asterisk) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/sbin/asterisk", append([]string{"-C", a.dir + "/etc/asterisk.conf"}, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "TERM=dumb"}
	cmd.SysProcAttr = labPBX.attr()
	cmd.SysProcAttr.Chroot = a.root
	return cmd
}

// cli runs a command and returns its output.
func (a *asterisk) cli(command string) string {
	a.t.Helper()
	out, err := a.command("-rx", command).CombinedOutput()
	if err != nil {
		a.t.Fatalf("asterisk -rx %q: %v\n%s", command, err, out)
	}
	return string(out)
}

// stop ends Asterisk in the way that a service manager does.
func (a *asterisk) stop() {
	a.t.Helper()
	a.signal(syscall.SIGTERM)
	if code := a.exit(); code != 0 {
		a.t.Errorf("asterisk ended with exit code %d", code)
	}
}
