//go:build package

package e2e

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// debian is a separate Debian installation without systemd.
type debian struct {
	*testing.T
	root string
}

// installDebian copies the Debian that the first run installs into /var/tmp/flowbridge-debian (PACKAGE_CHROOT).
func installDebian(t *testing.T) debian {
	t.Helper()
	kept := os.Getenv("PACKAGE_CHROOT")
	if kept == "" {
		kept = "/var/tmp/flowbridge-debian"
	}
	if _, err := os.Stat(filepath.Join(kept, "usr/bin/dpkg")); err != nil {
		mirror := os.Getenv("DEBIAN_MIRROR")
		if mirror == "" {
			mirror = "http://deb.debian.org/debian"
		}
		tool(t, "", "debootstrap", "--variant=minbase", "bookworm", kept+".new", mirror)
		if err := os.Rename(kept+".new", kept); err != nil {
			t.Fatal(err)
		}
	}
	d := debian{t, filepath.Join(t.TempDir(), "root")}
	tool(t, "", "cp", "-a", "--reflink=auto", kept, d.root)
	return d
}

// tool runs a program, which must succeed, and returns its output.
func tool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// run runs a program in the Debian.
func (d debian) run(args ...string) string {
	d.Helper()
	return tool(d.T, "", "chroot", append([]string{d.root, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"}, args...)...)
}

// install installs or upgrades the package.
func (d debian) install(file string) string {
	d.Helper()
	tool(d.T, "", "cp", file, filepath.Join(d.root, "tmp"))
	return d.run("dpkg", "-i", "/tmp/"+filepath.Base(file))
}

func (d debian) has(path string) bool {
	_, err := os.Lstat(filepath.Join(d.root, path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Fatal(err)
	}
	return err == nil
}

func (d debian) write(path, text string, mode fs.FileMode) {
	d.Helper()
	path = filepath.Join(d.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		d.Fatal(err)
	}
}

// systemctl returns the requests to systemd since its last call. A program in place of systemctl records them.
func (d debian) systemctl() []string {
	d.Helper()
	log := filepath.Join(d.root, "tmp/systemctl")
	text, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Fatal(err)
	}
	_ = os.Remove(log)
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
}

// build builds the packages of a version and returns the one for this machine.
func build(t *testing.T, version string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "scripts/package", version)
	cmd.Dir, cmd.Env = "../../..", append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("scripts/package: %v\n%s", err, errs.Bytes())
	}
	arch := strings.TrimSpace(tool(t, "", "dpkg", "--print-architecture"))
	for file := range strings.FieldsSeq(out.String()) {
		path, err := filepath.Abs(filepath.Join("../../..", file))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(path) })
		if strings.HasSuffix(file, "_"+arch+".deb") {
			return path
		}
	}
	t.Fatalf("no package for %s:\n%s", arch, out.Bytes())
	return ""
}

// TestPackage builds the package, and installs, upgrades, removes and purges it in a separate Debian.
func TestPackage(t *testing.T) {
	first, second := build(t, "0.0.1"), build(t, "0.0.2", "ARCHES="+runtime.GOARCH)
	if out := tool(t, "", "lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", first); strings.Contains(out, ": flowbridge") {
		t.Errorf("lintian:\n%s", out)
	}
	d := installDebian(t)
	d.write("usr/bin/systemctl", "#!/bin/sh\necho \"$@\" >> /tmp/systemctl\n", 0o755)
	if err := os.MkdirAll(filepath.Join(d.root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	d.installedByReadme(first)
	if asked := d.systemctl(); !slices.Equal(asked, []string{"daemon-reload", "is-active --quiet flowbridge", "enable --now flowbridge"}) {
		t.Errorf("after the installation systemd was asked for %q; nothing starts by itself", asked)
	}
	d.installed()
	d.initialised()
	d.readme()
	d.guides()
	d.pages()
	d.completions()
	server := d.upgraded(second)
	d.removed()
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("the server did not live until here: %v", err)
	}
	_ = server.Wait()
	d.purged()
}

// installed checks the installed package.
func (d debian) installed() {
	d.Helper()
	if out := d.run("flowbridge", "version"); !strings.HasPrefix(out, "0.0.1") {
		d.Errorf("version: %s", out)
	}
	out := d.run("flowbridge", "check", "--config", "/etc/flowbridge/flowbridge.yaml")
	if !strings.Contains(out, "valid") {
		d.Errorf("check: %s", out)
	}
	if out := d.run("stat", "-c", "%U:%G %a", "/var/lib/flowbridge"); out != "flowbridge:flowbridge 750\n" {
		d.Errorf("the directory of the data: %s", out)
	}
	if out := d.run("getent", "passwd", "flowbridge"); !strings.Contains(out, ":/var/lib/flowbridge:/usr/sbin/nologin") {
		d.Errorf("user: %s", out)
	}
	unit, err := os.ReadFile(filepath.Join(d.root, "usr/lib/systemd/system/flowbridge.service"))
	if err != nil || !strings.Contains(string(unit), "\nExecStart=/usr/bin/flowbridge ") {
		d.Fatalf("the unit: %v\n%s", err, unit)
	}
	here := filepath.Join(d.TempDir(), "flowbridge.service") // systemd-analyze needs a program that exists
	if err := os.WriteFile(here, bytes.ReplaceAll(unit, []byte("=/usr/bin/flowbridge "), []byte("="+d.root+"/usr/bin/flowbridge ")), 0o600); err != nil {
		d.Fatal(err)
	}
	if verified := tool(d.T, "", "systemd-analyze", "verify", "--man=no", here); strings.Contains(verified, "flowbridge.service") {
		d.Errorf("systemd-analyze verify: %s", verified)
	}
	for _, file := range []string{"usr/lib/sysctl.d/60-flowbridge.conf", "usr/lib/sysusers.d/flowbridge.conf", "usr/share/doc/flowbridge/copyright", "usr/share/doc/flowbridge/docs/operations.md"} {
		if !d.has(file) {
			// A minimal Debian leaves the documents out.
			if excluded := d.has("etc/dpkg/dpkg.cfg.d/docker"); !excluded {
				d.Errorf("%s is missing", file)
			}
		}
	}
}

// initialised checks that the service's user, and no other one, can read what flowbridge init has written.
func (d debian) initialised() {
	d.Helper()
	if out := d.run("stat", "-c", "%U:%G %a", "/etc/flowbridge/flowbridge.yaml", "/etc/flowbridge/retell.secret"); out != "root:flowbridge 640\nroot:flowbridge 640\n" {
		d.Errorf("the files of init: %s", out)
	}
	for user, want := range map[string]string{"flowbridge": "valid", "nobody": "permission denied"} {
		check := exec.CommandContext(d.Context(), "chroot", "--userspec="+user, d.root, "/usr/bin/flowbridge", "check", "--config", "/etc/flowbridge/flowbridge.yaml")
		if out, err := check.CombinedOutput(); !bytes.Contains(out, []byte(want)) || (err == nil) != (want == "valid") {
			d.Errorf("check by %s: %v\n%s", user, err, out)
		}
	}
}

// pages counts the man pages; TestManPages reads them.
func (d debian) pages() {
	d.Helper()
	pages, err := filepath.Glob(filepath.Join(d.root, "usr/share/man/man[15]/flowbridge*.gz"))
	if err != nil || len(pages) < 40 {
		d.Errorf("%d pages, %v", len(pages), err)
	}
}

// completions makes each shell read its file, and asks the program in the way the shells do.
func (d debian) completions() {
	d.Helper()
	share := filepath.Join(d.root, "usr/share")
	if out := tool(d.T, "", "bash", "-c", `. "$1" && complete -p flowbridge`, "", share+"/bash-completion/completions/flowbridge"); !strings.Contains(out, "__start_flowbridge") {
		d.Errorf("bash: %s", out)
	}
	if out := tool(d.T, "", "zsh", "-n", share+"/zsh/vendor-completions/_flowbridge"); out != "" {
		d.Errorf("zsh: %s", out)
	}
	if out := tool(d.T, "", "fish", "--no-execute", share+"/fish/vendor_completions.d/flowbridge.fish"); out != "" {
		d.Errorf("fish: %s", out)
	}
	if out := d.run("flowbridge", "__complete", "calls", "ha"); !strings.HasPrefix(out, "hangup") {
		d.Errorf("completion: %s", out)
	}
}

const edited = `sip: {listen: ["udp://127.0.0.1:0"]}
media: {listen: ["127.0.0.1"], ports: 10000-10999}
store: {path: /var/lib/flowbridge/flowbridge.db}
admin: {listen: "unix:///var/lib/flowbridge/admin.sock"}
`

// upgraded upgrades the package under a running server. The server does not notice, and edited files stay.
func (d debian) upgraded(file string) *exec.Cmd {
	d.Helper()
	d.write("etc/flowbridge/flowbridge.yaml", edited, 0o644)
	d.write("etc/flowbridge/synthflow.token", "secret\n", 0o640)
	server := exec.Command("chroot", "--userspec=flowbridge:flowbridge", d.root, "/usr/bin/flowbridge", "serve", "--config", "/etc/flowbridge/flowbridge.yaml")
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		d.Fatal(err)
	}
	for begun := time.Now(); !d.has("var/lib/flowbridge/admin.sock"); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			d.Fatalf("the server does not start:\n%s", log.Bytes())
		}
	}
	if out := d.install(file); !strings.Contains(out, "0.0.1 still runs") || strings.Contains(out, "onfiguration file '/etc") {
		d.Errorf("upgrade: %s", out)
	}
	if asked := d.systemctl(); !slices.Equal(asked, []string{"daemon-reload", "is-active --quiet flowbridge"}) {
		d.Errorf("at the upgrade systemd was asked for %q", asked)
	}
	if out := d.run("flowbridge", "calls", "list", "--config", "/etc/flowbridge/flowbridge.yaml"); strings.Contains(out, "error") {
		d.Errorf("the server after the upgrade: %s", out)
	}
	if out := d.run("flowbridge", "version"); !strings.HasPrefix(out, "0.0.2") {
		d.Errorf("version: %s", out)
	}
	if out := d.run("cat", "/etc/flowbridge/flowbridge.yaml"); out != edited {
		d.Errorf("the configuration after the upgrade:\n%s", out)
	}
	return server
}

// removed removes the package. The program is removed, and the user's files stay.
func (d debian) removed() {
	d.Helper()
	d.run("dpkg", "-r", "flowbridge")
	if asked := d.systemctl(); !slices.Contains(asked, "disable --now flowbridge") {
		d.Errorf("at the removal systemd was asked for %q", asked)
	}
	for path, want := range map[string]bool{
		"usr/bin/flowbridge": false, "usr/lib/systemd/system/flowbridge.service": false,
		"etc/flowbridge/flowbridge.yaml": true, "etc/flowbridge/synthflow.token": true, "var/lib/flowbridge/flowbridge.db": true,
	} {
		if d.has(path) != want {
			d.Errorf("after the removal: %s is there: %v", path, !want)
		}
	}
}

// purged purges the package. Its data are removed, too. A secret that the user put beside the configuration does not
// belong to the package.
func (d debian) purged() {
	d.Helper()
	d.run("dpkg", "-P", "flowbridge")
	for path, want := range map[string]bool{
		"etc/flowbridge/flowbridge.yaml": false, "etc/flowbridge/synthflow.token": true, "var/lib/flowbridge": false,
	} {
		if d.has(path) != want {
			d.Errorf("after the purge: %s is there: %v", path, !want)
		}
	}
}
