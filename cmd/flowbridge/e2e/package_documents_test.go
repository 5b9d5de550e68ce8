//go:build package

package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"flowbridge/media/audio"
)

// document returns the text of a document, from the heading that begins with the words.
func (d debian) document(name, heading string) string {
	d.Helper()
	text, err := os.ReadFile(filepath.Join("../../..", name))
	if err != nil {
		d.Fatal(err)
	}
	_, after, found := strings.Cut("\n"+string(text), "\n"+heading)
	if !found {
		d.Fatalf("%s has no heading %q", name, heading)
	}
	return after
}

var (
	fenced   = regexp.MustCompile("(?ms)^```(?:sh|yaml)\n(.*?)^```$")
	indented = regexp.MustCompile(`(?m)(?:^    .*\n)+`)
)

// alone returns a command that runs a script in a directory of the Debian, with a network and processes of its own. What
// the script starts ends with it.
func (d debian) alone(dir, script string) *exec.Cmd {
	d.Helper()
	if err := os.MkdirAll(filepath.Join(d.root, dir), 0o755); err != nil {
		d.Fatal(err)
	}
	return exec.CommandContext(d.Context(), "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
		`ip link set lo up && mount -t proc proc "$1/proc" && exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root bash -ec "cd $2
$3"`, "sh", d.root, dir, script)
}

// ran runs a script in the Debian. It must succeed, and say what is wanted.
func (d debian) ran(document, dir, script string, want ...string) {
	d.Helper()
	out, err := d.alone(dir, script).CombinedOutput()
	for _, words := range want {
		if err == nil && !bytes.Contains(out, []byte(words)) {
			err = fmt.Errorf("%q is missing", words)
		}
	}
	if err != nil {
		d.Errorf("%s: %v\n%s\n%s", document, err, script, out)
	}
}

// installedByReadme installs the package by the README's words: the folder is verified, and the questions of flowbridge
// init, which the package names as the next step, are answered at a terminal.
func (d debian) installedByReadme(file string) {
	d.Helper()
	const clone = "/root/release"
	folder := filepath.Join(d.root, clone, "dist/0.0.1")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		d.Fatal(err)
	}
	tool(d.T, "../../..", "cp", "-a", "scripts", "CHANGELOG.md", filepath.Join(d.root, clone))
	tool(d.T, "", "cp", file, folder)
	tool(d.T, folder, "sh", "-c", "sha256sum * > SHA256SUMS")
	script := indented.FindString(d.document("README.md", "Verify the folder, and install it:\n"))
	cmd := d.alone(clone, script)
	at := exec.CommandContext(d.Context(), "script", "-qec", shellWords(cmd.Args), "/dev/null")
	at.Stdin = strings.NewReader("carrier\n203.0.113.0/24\nretell\n1\n5075785607\n198.51.100.7\nagent_1\nkey-1\n")
	out, err := at.CombinedOutput()
	said := strings.ReplaceAll(string(out), "\r\n", "\n")
	if err != nil {
		d.Fatalf("%v\n%s\n%s", err, script, said)
	}
	for _, want := range []string{
		"are as SHA256SUMS lists them", "write its configuration: flowbridge init", "\n    systemctl enable --now flowbridge\n",
		"1 trunk, 1 target, 1 route: valid",
	} {
		if !strings.Contains(said, want) {
			d.Errorf("%q is missing\n%s", want, said)
		}
	}
}

func shellWords(args []string) string {
	words := ""
	for _, arg := range args {
		words += " '" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return words
}

// readme runs the blocks of the README's first minutes with the installed program, in place of the one that a clone builds.
func (d debian) readme() {
	d.Helper()
	script := "trap 'kill $(jobs -p)' EXIT\n"
	for _, block := range fenced.FindAllStringSubmatch(d.document("README.md", "## The first minutes\n"), -1) {
		script += block[1]
	}
	build := regexp.MustCompile(`(?m)^CGO_ENABLED=0 go build .*\n`)
	if len(build.FindAllString(script, -1)) != 1 {
		d.Fatalf("the README builds the program in another way:\n%s", script)
	}
	script = strings.ReplaceAll(build.ReplaceAllString(script, ""), "./flowbridge ", "flowbridge ")
	d.ran("README.md", "/root/first", script, "all of it held", "1 trunk, 1 target, 1 route: valid", "answered     caller_hangup")
}

// guides runs the first block of each guide: flowbridge check accepts a configuration, also on another machine, and
// commands run. The agent of test.md is the stand-in that the guide names.
func (d debian) guides() {
	d.Helper()
	files, err := filepath.Glob("../../../docs/guides/*.md")
	if err != nil || len(files) < 20 {
		d.Fatalf("%d guides: %v", len(files), err)
	}
	platforms, err := filepath.Glob("../../../docs/platforms/*.md")
	if err != nil || len(platforms) < 4 {
		d.Fatalf("%d pages: %v", len(platforms), err)
	}
	for i, file := range append(files, platforms...) {
		name := strings.TrimPrefix(file, "../../../")
		text, dir := d.document(name, "# "), fmt.Sprintf("/root/guide-%d", i)
		switch filepath.Base(file) {
		case "test.md":
			d.ran(name, dir, "flowbridge simulate trunk --sip 127.0.0.1:5070 > simulate.log 2>&1 &\ntrap 'kill $!' EXIT\n"+
				strings.ReplaceAll(indented.FindString(text), " retell ", " sip:agent@127.0.0.1:5070 "), "conversation     1 of 1")
		case "profiles.md":
			lines := strings.SplitAfter(indented.FindString(text), "\n")
			d.ran(name, dir, strings.Join(lines[:3], ""), "elevenlabs", "kind: http")
		default:
			block := fenced.FindStringSubmatch(text)
			if block == nil { // it shows what a program of others is told
				continue
			}
			d.secrets(block[1], dir)
			d.ran(name, dir, "flowbridge check --elsewhere --config - <<'END'\n"+block[1]+"END\n", "valid")
		}
	}
}

// secrets makes the files that a configuration names.
func (d debian) secrets(configuration, dir string) {
	d.Helper()
	secret := base64.StdEncoding.EncodeToString([]byte("a secret with 32 characters and more"))
	for _, name := range regexp.MustCompile(`/run/secrets/[a-z-]+|\b[a-z]+\.token\b`).FindAllString(configuration, -1) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		d.write(name, secret+"\n", 0o600)
	}
	for _, name := range regexp.MustCompile(`/etc/flowbridge/[a-z-]+\.wav`).FindAllString(configuration, -1) {
		d.write(name, string(audio.WAV(make([]int16, 8000))), 0o644)
	}
	etc := filepath.Join(d.root, "etc/flowbridge")
	if !d.has("etc/flowbridge/key.pem") {
		tool(d.T, etc, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
			"-subj", "/CN=sip.example.com", "-addext", "subjectAltName=DNS:sip.example.com", "-keyout", "key.pem", "-out", "cert.pem")
		for _, other := range []string{"carriers.pem", "ca.pem", "sti-roots.pem"} {
			tool(d.T, etc, "cp", "cert.pem", other)
		}
		tool(d.T, "../../..", "cp", "docs/examples/numbers.csv", etc)
	}
}
