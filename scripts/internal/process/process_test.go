package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/scripts/internal/namespace"
)

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("42 (a ) b) S 2 0 0 0 -1 69238880 0 0 0 0 150 250 0 0 20 0 1 0 26"))
	if err != nil || got.Parent != 2 || got.CPU != 4*time.Second {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "42 (x) S 1", "42 (x) S a 0 0 0 0 0 0 0 0 0 1 2"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestOwn(t *testing.T) {
	own := Group{os.Getpid()}
	rss, pss, err := own.Memory()
	if err != nil || rss < pss || pss <= 0 || own.Resident() <= 0 {
		t.Errorf("memory %d, %d, %v; resident %.1f MB", rss, pss, err, own.Resident())
	}
	if own.Descriptors() < 3 || own.Switches() < 1 {
		t.Errorf("%d descriptors, %d context switches", own.Descriptors(), own.Switches())
	}
	if all, err := Children(own[0]); err != nil || len(all) != 0 {
		t.Errorf("children %v, %v", all, err)
	}
	if s, err := StatOf(own[0]); err != nil || s.Parent != os.Getppid() {
		t.Errorf("stat %+v, %v", s, err)
	}
	var none Group
	rss, pss, err = none.Memory()
	if cpu, err2 := none.CPU(); rss != 0 || pss != 0 || cpu != 0 || err != nil || err2 != nil {
		t.Errorf("no processes have %d, %d, %v; %v, %v", rss, pss, cpu, err, err2)
	}
}

// A process that is stopped is gone, and so is one that has ended before.
func TestChild(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	c, err := Start(namespace.Here, log, exec.CommandContext(t.Context(), "sh", "-c", "echo ready; echo beside >&2; exec sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Until(time.Minute, func() error {
		if text := Tail(log); !strings.Contains(text, "ready\nbeside\n") {
			return errors.New(text)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	c.Stop()
	if _, err := StatOf(c.PID()); err == nil {
		t.Error("it still runs")
	}
	c.Kill()
	if _, err := Start(namespace.Here, log, exec.CommandContext(t.Context(), "/nothing")); err == nil {
		t.Error("what is not there has started")
	}
}
