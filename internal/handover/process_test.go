package handover

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// If a program is killed, the processes that it started end as well, for example a script's child.
func TestKillEndsAllThatWasStarted(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	must(t, unix.Mkfifo(fifo, 0o600))
	alive, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	defer func() { _ = alive.Close() }()
	script := `(echo; exec sleep 60) > "$0" & wait`
	p, err := Start(Program{Path: "/bin/sh", Args: []string{"sh", "-c", script, fifo}})
	must(t, err)
	must(t, alive.SetReadDeadline(time.Now().Add(30*time.Second)))
	for n := 0; n == 0; { // before it has the pipe, there is nothing to read
		n, err = alive.Read(make([]byte, 1))
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	p.Kill()
	if _, err := alive.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // as long as somebody has its other end
		t.Errorf("error %v; want %v", err, io.EOF)
	}
}
