package process

import (
	"os"
	"testing"
	"time"
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
	pid := os.Getpid()
	rss, pss, err := Memory(pid)
	if err != nil || rss < pss || pss <= 0 || Resident(pid) <= 0 {
		t.Errorf("memory %d, %d, %v; resident %d", rss, pss, err, Resident(pid))
	}
	if Descriptors(pid) < 3 || Switches(pid) < 1 {
		t.Errorf("%d descriptors, %d context switches", Descriptors(pid), Switches(pid))
	}
	if all, err := Children(pid); err != nil || len(all) != 0 {
		t.Errorf("children %v, %v", all, err)
	}
	if s, err := StatOf(pid); err != nil || s.Parent != os.Getppid() {
		t.Errorf("stat %+v, %v", s, err)
	}
}
