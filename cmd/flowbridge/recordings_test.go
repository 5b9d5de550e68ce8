package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"flowbridge/media/audio"
)

// sealedWAV writes a key, and a stereo recording of silence that is encrypted to it, without so many of its last bytes.
func sealedWAV(t *testing.T, dir, name string, missing int) (identity string) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	must(t, err)
	identity = filepath.Join(dir, "key.txt")
	must(t, os.WriteFile(identity, []byte("# created\n"+key.String()+"\n"), 0o600))
	wav := audio.WAV(make([]int16, 200_000))
	copy(wav[22:], []byte{2, 0})                   // channels
	copy(wav[40:], []byte{0xff, 0xff, 0xff, 0xff}) // length
	var file bytes.Buffer
	w, err := age.Encrypt(&file, key.Recipient())
	must(t, err)
	_, err = w.Write(wav)
	must(t, errors.Join(err, w.Close()))
	must(t, os.WriteFile(filepath.Join(dir, name), file.Bytes()[:file.Len()-missing], 0o600))
	return identity
}

func TestDecryptRecording(t *testing.T) {
	dir := t.TempDir()
	sealedWAV(t, dir, "other.wav.age", 0)
	must(t, os.Rename(filepath.Join(dir, "key.txt"), filepath.Join(dir, "other.txt")))
	key := sealedWAV(t, dir, "a.wav.age", 0)
	for _, tt := range []struct {
		line string
		code int
		says string
	}{
		{"DIR/a.wav.age --identity DIR/other.txt", 1, "none of the identities decrypts it"},
		{"DIR/a.wav.age --identity KEY", 0, "DIR/a.wav\n"},
		{"DIR/a.wav.age --identity KEY", 2, "DIR/a.wav exists: name another file with --output"},
		{"DIR/a.wav.age --identity KEY -o DIR/b.wav", 0, "DIR/b.wav\n"},
		{"DIR/a.wav --identity KEY", 2, "does not end in .age"},
		{"DIR/a.wav.age", 2, "--identity names the file"},
		{"DIR/a.wav.age --identity DIR/none", 2, "no such file"},
		{"DIR/a.wav.age --identity DIR/a.wav -o DIR/c.wav", 2, "it is no file of age-keygen"},
		{"KEY --identity KEY -o DIR/c.wav", 1, "it is not an encrypted recording"},
		{"DIR/none.age --identity KEY", 1, "no such file"},
	} {
		in := strings.NewReplacer("DIR", dir, "KEY", key)
		out, code := run(t, append([]string{"recordings", "decrypt"}, strings.Fields(in.Replace(tt.line))...)...)
		if code != tt.code || !strings.Contains(out, in.Replace(tt.says)) {
			t.Errorf("%s: exit code %d\n%s", tt.line, code, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "c.wav")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that could not be decrypted is left: %v", err)
	}
	key = sealedWAV(t, dir, "killed.wav.age", 30_000)
	out, code := run(t, "recordings", "decrypt", filepath.Join(dir, "killed.wav.age"), "--identity", key)
	f, err := os.Open(filepath.Join(dir, "killed.wav"))
	must(t, err)
	left, _, err := audio.ReadSides(f)
	must(t, errors.Join(err, f.Close()))
	if code != 0 || !strings.Contains(out, "its end is missing") || len(left) < 100_000-2*64<<10/4 {
		t.Errorf("exit code %d, %d samples\n%s", code, len(left), out)
	}
}

// TestEncryptedCaller: the caller of flowbridge test can be an encrypted recording.
func TestEncryptedCaller(t *testing.T) {
	dir := t.TempDir()
	key := sealedWAV(t, dir, "a.wav.age", 0)
	file, err := os.ReadFile(filepath.Join(dir, "a.wav.age"))
	must(t, err)
	o := &agentTest{}
	if _, err := o.decrypted("a.wav.age", file); err == nil || !strings.Contains(err.Error(), "--identity") {
		t.Errorf("without a key: %v", err)
	}
	o.identities, err = identitiesOf(key)
	must(t, err)
	plain, err := o.decrypted("a.wav.age", file)
	must(t, err)
	if left, right, err := audio.ReadSides(bytes.NewReader(plain)); err != nil || len(left) != 100_000 || len(right) != 100_000 {
		t.Errorf("%d and %d samples, %v", len(left), len(right), err)
	}
	if same, err := o.decrypted("a.wav", plain); err != nil || !bytes.Equal(same, plain) {
		t.Errorf("a plain file: %v", err)
	}
}
