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

// What a program that is killed has started ends with it: a script may stand before the program.
func TestKillEndsAllThatWasStarted(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	alive, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = alive.Close() }()
	script := `(echo; exec sleep 60) > "$0" & wait`
	p, err := Start(Program{Path: "/bin/sh", Args: []string{"sh", "-c", script, fifo}})
	if err != nil {
		t.Fatal(err)
	}
	if err := alive.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for n := 0; n == 0; { // before it has the pipe, there is nothing to read
		n, err = alive.Read(make([]byte, 1))
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	p.Kill()
	if _, err := alive.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // as long as somebody has its other end
		t.Errorf("%v", err)
	}
}
