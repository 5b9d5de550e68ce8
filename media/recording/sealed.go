package recording

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// sealedSuffix ends the name of an encrypted file.
const sealedSuffix = ".age"

// sealed is a file that is encrypted to recipients (age-encryption.org/v1). The file gets whole chunks of 64 KB; what
// does not fill one is in memory until more comes or the file is closed.
type sealed struct {
	io.Writer // encrypts

	end  func() error // writes the last chunk
	file *sink
}

// errSealed is the error of WriteAt.
var errSealed = errors.New("an encrypted file can only grow")

func seal(m medium, to []age.Recipient) (*sealed, error) {
	s := &sealed{file: &sink{medium: m, limit: maxFile}}
	w, err := age.Encrypt(s.file, to...)
	if err != nil {
		return nil, err
	}
	s.Writer, s.end = w, w.Close
	return s, nil
}

// WriteAt implements medium. Formats that are encrypted do not call it.
func (s *sealed) WriteAt([]byte, int64) (int, error) { return 0, errSealed }

// Truncate implements medium. A chunk that the disk did not take whole has been cut off already.
func (s *sealed) Truncate(int64) error { return nil }

// Close implements medium.
func (s *sealed) Close() error { return errors.Join(s.end(), s.file.Close()) }

// ErrKey means that none of the identities decrypts a file.
var ErrKey = errors.New("none of the identities decrypts it")

// Decrypt writes the contents of an encrypted recording. It reports false if the file's end is missing: its process was
// killed or its disk was full, and up to 64 KB are lost. The error is ErrKey, one that says how the file is damaged, or
// an error of to or from.
func Decrypt(to io.Writer, from io.Reader, identities ...age.Identity) (whole bool, err error) {
	r, err := age.Decrypt(from, identities...)
	if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
		return false, ErrKey
	}
	if err != nil {
		return false, fmt.Errorf("it is not an encrypted recording, or its beginning is damaged (%w)", err)
	}
	in := &reading{Reader: r}
	n, err := io.Copy(to, in)
	if in.err == nil {
		return err == nil, err
	}
	if rest, _ := io.Copy(io.Discard, from); rest > 0 {
		return false, fmt.Errorf("it was changed or damaged after %d bytes of its contents (%w)", n, in.err)
	}
	return false, nil
}

// reading remembers why reading ended.
type reading struct {
	io.Reader

	err error
}

// Read implements io.Reader.
func (r *reading) Read(b []byte) (n int, err error) {
	if n, err = r.Reader.Read(b); err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// hasChunk reports whether an encrypted file has more than its header, which ends in a line that begins with three
// dashes and a nonce of 16 bytes.
func hasChunk(f io.ReaderAt) (bool, error) {
	const nonce, headLimit = 16, 64 << 10
	head := make([]byte, headLimit)
	n, err := f.ReadAt(head, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	_, mac, _ := bytes.Cut(head[:n], []byte("\n--- "))
	_, rest, found := bytes.Cut(mac, []byte("\n"))
	return found && len(rest) > nonce, err
}
