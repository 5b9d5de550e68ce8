//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"flowbridge/store/record"
)

// operator runs a command in a server's directory, and returns its output.
func operator(t *testing.T, dir string, code int, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Errorf("flowbridge %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestErase erases a number while one of its calls is live, and another is under a legal hold. A backup made before is
// restored elsewhere, with all of it.
func TestErase(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(recordingSetup("record: always"))
	agent := s.sippAgent("caller_hangup", "-m", "3")
	var done []record.Record
	for range 2 {
		carrier := s.sippCarrier("caller_hangup")
		carrier.proceed(carrier.answered(1)...)
		carrier.finish()
	}
	eventually(t, "two records, and nothing of the calls in memory", func() bool {
		done = b.cdrList()
		return len(done) == 2 && len(b.calls()) == 0
	})
	digits := strings.TrimPrefix(caller, "+")
	pass := filepath.Join(t.TempDir(), "pass")
	must(t, os.WriteFile(pass, []byte("correct-horse-battery-staple\n"), 0o600))
	file := filepath.Join(t.TempDir(), "flowbridge.backup")
	if out := operator(t, b.dir, 0, "backup", "--recordings", "--passphrase-file", pass, file); !strings.Contains(out, "2 calls and 4 recordings") {
		t.Error(out)
	}
	if text, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(text, []byte("age-encryption.org/v1\n-> scrypt ")) {
		t.Errorf("%.60q, %v", text, err)
	}
	operator(t, b.dir, 1, "backup", file)
	if out := operator(t, b.dir, 1, "restore", "--passphrase-file", pass, file); !strings.Contains(out, "in use by another process") {
		t.Error(out)
	}

	live := s.sippCarrier("caller_hangup")
	up := live.answered(1)
	id := b.calls()[0].ID
	operator(t, b.dir, 0, "hold", "--url", b.admin, done[0].ID)
	eventually(t, "the first call's ladder is handed over", func() bool {
		_, atEnd, _ := strings.Cut(operator(t, b.dir, 0, "erase", "--url", b.admin, "--number", caller, "--dry-run"), "at their end:")
		return !strings.Contains(atEnd, done[1].ID)
	})
	out := operator(t, b.dir, 0, "erase", "--url", b.admin, "--number", "00"+digits)
	for _, says := range []string{"erased: 1 calls, 1 ladders, 2 recordings;", "legal hold, not erased:\n  " + done[0].ID, "at their end:\n  " + id, "log files"} {
		if !strings.Contains(out, says) {
			t.Errorf("no %q in %s", says, out)
		}
	}
	live.leaves(agent, up...)
	if out := operator(t, b.dir, 0, "hold", "--url", b.admin); !strings.Contains(out, "legal hold: 1\n"+done[0].ID) {
		t.Errorf("holds: %s", out)
	}
	operator(t, b.dir, 0, "hold", "--url", b.admin, done[0].ID, "--off")
	eventually(t, "the held call's ladder is handed over", func() bool {
		return !strings.Contains(operator(t, b.dir, 0, "erase", "--url", b.admin, "--call", done[0].ID, "--dry-run"), "at their end:")
	})
	operator(t, b.dir, 0, "erase", "--url", b.admin, "--call", done[0].ID)
	eventually(t, "the live call is erased, too", func() bool {
		text, _ := os.ReadFile(filepath.Join(b.dir, "calls.db.erasures.jsonl"))
		return len(b.cdrList()) == 0 && bytes.Contains(text, []byte(`"by":"end of the call","asked":["`+id+`"],"calls":1,"ladders":1,"recordings":2`))
	})
	must(t, filepath.WalkDir(b.dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, ".yaml") {
			return err
		}
		text, err := os.ReadFile(name)
		if bytes.Contains(text, []byte(digits)) || strings.HasSuffix(name, ".wav") || strings.HasSuffix(name, ".pcapng") {
			t.Errorf("the number is left in %s, or a recording of it", name)
		}
		return err
	}))
	b.nothingLeft()
	b.stop()

	other := t.TempDir()
	config, err := os.ReadFile(filepath.Join(b.dir, "flowbridge.yaml"))
	must(t, err)
	configure(t, other, string(config))
	must(t, os.WriteFile(pass+"2", []byte("wrong\n"), 0o600))
	if out := operator(t, other, 1, "restore", "--passphrase-file", pass+"2", file); !strings.Contains(out, "passphrase is wrong") {
		t.Error(out)
	}
	if out := operator(t, other, 0, "restore", "--passphrase-file", pass, file); !strings.Contains(out, "2 calls and 4 recordings") || !strings.Contains(out, "fleet.node") {
		t.Error(out)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, unix.Mkfifo(pipe, 0o600))
	operator(t, other, 1, "restore", pipe) // no writer: it does not wait
	operator(t, other, 2, "backup", "-")
	again := startServer(t, other, string(config))
	if got := again.cdrList(); len(got) != 2 || got[0].ID != done[0].ID {
		t.Errorf("restored %+v", got)
	}
	again.download(done[0].Recordings[0])
	again.stop()
}
