package recording

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"flowbridge/media"
)

// encrypted makes an archive encrypt to a new key, which it returns.
func encrypted(tb testing.TB, c *Config) *age.X25519Identity {
	tb.Helper()
	key, err := age.GenerateX25519Identity()
	must(tb, err)
	c.Recipients = []age.Recipient{key.Recipient()}
	return key
}

// plainOf decrypts and completes a file.
func plainOf(tb testing.TB, file []byte, key age.Identity) (plain []byte, whole bool) {
	tb.Helper()
	f, err := os.Create(filepath.Join(tb.TempDir(), "plain"))
	must(tb, err)
	whole, err = Decrypt(f, bytes.NewReader(file), key)
	must(tb, err)
	usable, err := Complete(f)
	if err != nil || !usable {
		tb.Errorf("not usable: %v", err)
	}
	must(tb, f.Close())
	plain, err = os.ReadFile(f.Name())
	must(tb, err)
	return plain, whole
}

// TestEncrypted: encrypted files have what others have, once they are decrypted. Nobody else can read them.
func TestEncrypted(t *testing.T) {
	wav, capture := sample(t)
	synctest.Test(t, func(t *testing.T) {
		var key *age.X25519Identity
		a := opened(t, func(c *Config) { key = encrypted(t, c) })
		r := begun(t, a, 1)
		for n := range 100 {
			r.tap(media.SideA, media.RTP, speech(0, 1, n))
			time.Sleep(20 * time.Millisecond)
		}
		r.Stop()
		<-r.Done()
		files := r.Files()
		for i, want := range [][]byte{wav, capture} {
			f := files[i]
			if f.Err != "" || !strings.HasSuffix(f.Name, "."+f.Format+".age") {
				t.Errorf("%+v", f)
			}
			b := fileOf(t, a, f.Name)
			if size, _, err := a.Finished(f.Name); err != nil || size != f.Bytes || size != int64(len(b)) {
				t.Errorf("%s has %d bytes; the state says %d, %v", f.Name, size, f.Bytes, err)
			}
			got, whole := plainOf(t, b, key)
			if !whole || !bytes.Equal(got, want) {
				t.Errorf("%s is another file, %d bytes and not %d; whole: %v", f.Name, len(got), len(want), whole)
			}
			other, _ := age.GenerateX25519Identity()
			if _, err := Decrypt(io.Discard, bytes.NewReader(b), other); !errors.Is(err, ErrKey) {
				t.Errorf("with another key: %v", err)
			}
			if was, err := a.Remove(f.Name); !was || err != nil {
				t.Errorf("not removed: %v", err)
			}
		}
		a.shut(t)
	})
}

// TestEncryptedLeftovers: of a killed process's encrypted file at most 64 KB are lost. One that has nothing yet is
// removed.
func TestEncryptedLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var key *age.X25519Identity
		a := opened(t, func(c *Config) { key = encrypted(t, c); c.Formats = []string{FormatWAV} })
		r := begun(t, a, 1)
		const name = "2000/01/01/" + callID + "-2.wav.age"
		for second := range 20 {
			for n := range 50 {
				r.tap(media.SideA, media.RTP, speech(0, 1, 50*second+n))
				time.Sleep(20 * time.Millisecond)
			}
			synctest.Wait()
			part := fileOf(t, a, r.Files()[0].Name+partSuffix)
			dir := filepath.Join(t.TempDir(), "recordings") // of a process that finds it
			must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
			must(t, os.WriteFile(filepath.Join(dir, name+partSuffix), part, 0o600))
			next := opened(t, func(c *Config) { c.Dir = dir })
			f, err := next.OpenFile(name)
			if err != nil {
				if second > 3 {
					t.Errorf("after %d s: %v, %v", second+1, err, tree(t, next))
				}
			} else {
				must(t, f.Close())
				plain, whole := plainOf(t, part, key)
				if w := readWAV(t, plain); whole || len(w.left) < (second+1)*sampleRate-64<<10/frameSize-2*sampleRate {
					t.Errorf("after %d s there are %d frames; whole: %v", second+1, len(w.left), whole)
				}
			}
			next.shut(t)
		}
		a.shut(t)
	})
}

// TestEncryptedDiskFillsUp: what the disk took before it was full can be decrypted.
func TestEncryptedDiskFillsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var key *age.X25519Identity
		a := opened(t, func(c *Config) { key = encrypted(t, c) })
		create := a.create
		a.create = func(name string) (medium, error) {
			m, err := create(name)
			return &filling{m, 181_234}, err
		}
		r := begun(t, a, 1)
		for n := range 2000 {
			r.tap(media.SideA, media.RTP, speech(0, 1, n))
			time.Sleep(20 * time.Millisecond)
		}
		r.Stop()
		<-r.Done()
		files := r.Files()
		wav, whole := plainOf(t, fileOf(t, a, files[0].Name), key)
		if w := readWAV(t, wav); files[0].Err != "no space left" || whole || len(w.left) < 4*sampleRate {
			t.Errorf("%+v: %d frames, whole: %v", files[0], len(w.left), whole)
		}
		capture, whole := plainOf(t, fileOf(t, a, files[1].Name), key)
		if got := readPcapng(t, capture); files[1].Err != "no space left" || whole || len(got) < 300 {
			t.Errorf("%+v: %d packets, whole: %v", files[1], len(got), whole)
		}
		a.shut(t)
	})
}

// TestDamagedEncrypted: a file that was changed in the middle is not taken for one without an end.
func TestDamagedEncrypted(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	var file bytes.Buffer
	w, err := age.Encrypt(&file, key.Recipient())
	must(t, err)
	_, err = w.Write(make([]byte, 300_000))
	must(t, errors.Join(err, w.Close()))
	b := file.Bytes()
	for _, tt := range []struct {
		name    string
		change  func(b []byte) []byte
		whole   bool
		problem string
	}{
		{"as it was", func(b []byte) []byte { return b }, true, ""},
		{"cut", func(b []byte) []byte { return b[:200_000] }, false, ""},
		{"cut between chunks", func(b []byte) []byte { return b[:len(b)-(300_000%(64<<10)+16)] }, false, ""},
		{"cut in the header", func(b []byte) []byte { return b[:100] }, false, "its beginning is damaged"},
		{"plain", func([]byte) []byte { return wavHeader(2, 0) }, false, "it is not an encrypted recording"},
		{"changed", func(b []byte) []byte { b[100_000]++; return b }, false, "changed or damaged after 65536 bytes"},
		{
			"longer", func(b []byte) []byte { return append(b, make([]byte, 100_000)...) }, false,
			"changed or damaged after 262144 bytes",
		},
	} {
		whole, err := Decrypt(io.Discard, bytes.NewReader(tt.change(bytes.Clone(b))), key)
		if whole != tt.whole || (err == nil) != (tt.problem == "") ||
			err != nil && !strings.Contains(err.Error(), tt.problem) {
			t.Errorf("%s: %v, %v", tt.name, whole, err)
		}
	}
}
