package flowbridge_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// command runs a program in a directory and returns its output. The test fails if the exit code is not code.
func command(t *testing.T, dir string, code int, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b.example", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b.example")
	out, _ := cmd.CombinedOutput() // the exit code is checked below
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("%s %s: exit code %d, want %d\n%s", name, strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

// said fails the test if the output of a command does not contain want.
func said(t *testing.T, out, want string) {
	t.Helper()
	if !strings.Contains(out, want) {
		t.Errorf("%q is missing in:\n%s", want, out)
	}
}

// The check of a release folder says whether it is complete, and whether a key that the reader knows has signed it.
func TestReleaseIsVerified(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := t.TempDir()
	for _, key := range []string{"ours", "other"} {
		command(t, keys, 0, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	}
	script, err := filepath.Abs("scripts/release")
	if err != nil {
		t.Fatal(err)
	}
	check := func(code int, want string, args ...string) {
		t.Helper()
		said(t, command(t, keys, code, script, append([]string{"--check", dir}, args...)...), want)
	}
	check(1, "has no SHA256SUMS")
	write("flowbridge_1.2.3_amd64.deb", "package")
	command(t, dir, 0, "sh", "-c", "sha256sum flowbridge_1.2.3_amd64.deb > SHA256SUMS")
	check(0, "not signed")
	check(1, "not signed", "--signer", "ours.pub")
	command(t, dir, 0, "ssh-keygen", "-Y", "sign", "-f", filepath.Join(keys, "ours"), "-n", "flowbridge-release", "SHA256SUMS")
	check(0, "signed by", "--signer", "ours.pub")
	check(0, "was not verified")
	check(1, "is not a signature by", "--signer", "other.pub")
	check(2, "there is no gone.pub", "--signer", "gone.pub")
	check(2, "is not a public key", "--signer", "ours")
	write("extra", "")
	check(1, "does not list: extra", "--signer", "ours.pub")
	if err := os.Remove(filepath.Join(dir, "extra")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "flowbridge_1.2.3_arm64.deb")); err != nil {
		t.Fatal(err)
	}
	check(1, "symbolic links", "--signer", "ours.pub")
	if err := os.Remove(filepath.Join(dir, "flowbridge_1.2.3_arm64.deb")); err != nil {
		t.Fatal(err)
	}
	write("flowbridge_1.2.3_amd64.deb", "another")
	check(1, "not those that SHA256SUMS lists", "--signer", "ours.pub")
}

// A version needs a heading with text in CHANGELOG.md, and "Unreleased" must be empty.
func TestReleaseHasItsHeading(t *testing.T) {
	dir := t.TempDir()
	command(t, ".", 0, "sh", "-c", `mkdir -p "$1/scripts" && cp -a scripts/release scripts/internal "$1/scripts"`, "sh", dir)
	commit := func(changelog string) {
		if err := os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte("# Changelog\n\n"+changelog), 0o600); err != nil {
			t.Fatal(err)
		}
		command(t, dir, 0, "git", "add", "-A")
		command(t, dir, 0, "git", "commit", "-qm", "change")
	}
	version := func() string {
		return strings.TrimSpace(command(t, dir, 0, "bash", "-c", "VERSION_ARG= program=test; . scripts/internal/build.sh; echo $version"))
	}
	command(t, dir, 0, "git", "init", "-q")
	commit("## Unreleased\n\n- First.\n")
	if v := version(); !strings.HasPrefix(v, "0.0~git") {
		t.Errorf("version %s before the first release", v)
	}
	said(t, command(t, dir, 2, "scripts/release", "1.2.3"), `no heading "## [1.2.3]"`)
	commit("## Unreleased\n\n- Second.\n\n## [1.2.3] - 2026-12-01\n\n- First.\n")
	if v := version(); v != "1.2.3" {
		t.Errorf("version %s", v)
	}
	said(t, command(t, dir, 2, "scripts/release"), `changes under "Unreleased"`)
	commit("## Unreleased\n\n## [1.2.3] - 2026-12-01\n\n- First, and second.\n")
	if v := version(); !strings.HasPrefix(v, "1.2.3+") {
		t.Errorf("version %s after the release", v)
	}
	said(t, command(t, dir, 2, "scripts/release"), "is not that of a release")
}
