package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pipe would keep a check, and every reload, waiting for who writes to it.
func TestSoundIsARegularFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "queue.wav")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, dir, "/dev/zero"} {
		_, err := Parse("test.yaml", []byte(fmt.Sprintf("sounds: {queue: %s}", path)), testEnv)
		if err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("%s: got %v", path, err)
		}
	}
}
