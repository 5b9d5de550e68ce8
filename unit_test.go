package flowbridge_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnit checks that the systemd unit uses only settings known to Debian 12's systemd (252), and has a reload and no
// core dumps. One drop-in is for newer versions, and one is for RTP in the kernel. systemd's own check runs where it is
// installed.
func TestUnit(t *testing.T) {
	const unit, dropIns = "contrib/systemd/flowbridge.service", "contrib/systemd/flowbridge.service.d/"
	const reload, kernel = "notify-reload.conf", "kernel-media.conf"
	text := read(t, unit)
	for _, line := range []string{"Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "Restart=on-failure", "RestartSec=100ms", "LimitCORE=0", "RuntimeDirectory=flowbridge", "RuntimeDirectoryPreserve=yes"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%s has no line %s", unit, line)
		}
	}
	for name, lines := range map[string]string{
		reload: "\nType=notify-reload\nExecReload=\n",
		kernel: "\nCapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN CAP_PERFMON\nAmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON\nSystemCallFilter=bpf\n",
	} {
		if got := read(t, dropIns+name); !strings.Contains(got, lines) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze, of the package systemd")
	}
	dir := t.TempDir()
	installed := strings.Replace(text, "/usr/local/bin/flowbridge", "/bin/true", 1) // the check needs an existing program
	if err := os.WriteFile(filepath.Join(dir, "flowbridge.service"), []byte(installed), 0o600); err != nil {
		t.Fatal(err)
	}
	installs := []string{kernel}
	if systemdVersion(t, analyze) >= 253 {
		installs = append(installs, reload)
	}
	if err := os.Mkdir(filepath.Join(dir, "flowbridge.service.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range installs {
		if err := os.WriteFile(filepath.Join(dir, "flowbridge.service.d", name), []byte(read(t, dropIns+name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", filepath.Join(dir, "flowbridge.service")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "flowbridge.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// systemdVersion returns the number in the first line of the output of --version.
func systemdVersion(t *testing.T, analyze string) (n int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), analyze, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(out), "systemd %d", &n); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return n
}
