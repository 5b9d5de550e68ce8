package config

import (
	"encoding/binary"
	"fmt"
	"os"
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
		_, err := Parse("test.yaml", fmt.Appendf(nil, "sounds: {queue: %s}", path), testEnv)
		if err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

// What is wrong with a sound, and what to do about it.
func TestSoundThatCantBePlayed(t *testing.T) {
	header := func(size uint32) []byte {
		b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x07\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data")
		return binary.LittleEndian.AppendUint32(b, size)
	}
	const long = 601 * 8000
	for _, tt := range []struct {
		file []byte
		want string
	}{
		{append(header(long), make([]byte, long)...), "is not a sound that can be played: it is longer than 10 minutes; cut it: sox IN.wav OUT.wav trim 0 600"},
		{append(header(100), make([]byte, 10)...), "is not a WAV file that can be played: its data are cut short: 10 of 100 bytes are there; convert it"},
		{header(0), "is not a sound that can be played: it has no samples; convert it"},
	} {
		path := filepath.Join(t.TempDir(), "queue.wav")
		if err := os.WriteFile(path, tt.file, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Parse("test.yaml", fmt.Appendf(nil, "sounds: {queue: %s}", path), testEnv)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v; want %s", err, tt.want)
		}
	}
}
