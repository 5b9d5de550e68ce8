package receipt

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample returns a chain of two segments with five receipts.
func sample(t testing.TB) (text []byte, key ed25519.PublicKey, head string) {
	t.Helper()
	c := openTest(t, t.TempDir())
	for i := range 5 {
		c.now = func() time.Time { return at.AddDate(0, 0, i/3) }
		must(t, c.Write(fmt.Sprint("call-", i+1), at.AddDate(0, 0, i/3), told()))
	}
	head, _ = c.Head()
	return written(t, c.dir), c.Key(), head
}

// Each change of a byte is found, and each line that is missing, doubled or in another place.
func TestVerifyFindsEachChange(t *testing.T) {
	text, key, head := sample(t)
	fails := func(name string, changed []byte, head string, line int, says string) {
		t.Helper()
		_, err := Verify(bytes.NewReader(changed), key, head)
		broken, ok := errors.AsType[*BrokenError](err)
		if !ok || line > 0 && broken.Line != line || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v; want line %d: %s", name, err, line, says)
		}
	}
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		fails(fmt.Sprintf("byte %d", i), changed, head, 0, "")
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	lines[6] = append(lines[6], '\n')
	with := func(order ...int) (all []byte) {
		for _, i := range order {
			all = append(all, lines[i]...)
		}
		return all
	}
	if _, err := Verify(bytes.NewReader(with(0, 1, 2, 3, 4, 5, 6)), key, head); err != nil {
		t.Fatal(err)
	}
	fails("the first receipt", with(0, 2, 3, 4, 5, 6), "", 2, "receipt 1 is missing before it")
	fails("two receipts", with(0, 3, 4, 5, 6), "", 2, "receipts 1 to 2 are missing before it")
	fails("the last of a segment", with(0, 1, 2, 4, 5, 6), "", 4, "receipt 3 is missing before it")
	fails("first line", with(1, 2, 3, 4, 5, 6), "", 1, "no first line")
	fails("exchanged", with(0, 2, 1, 3, 4, 5, 6), "", 2, "receipt 1 is missing")
	fails("doubled", with(0, 1, 1, 2), "", 3, "receipt 2 should be here, and receipt 1 is")
	fails("the end", with(0, 1, 2, 3, 4, 5), head, 6, "receipts are missing after this line")
	fails("nothing", nil, "", 1, "first line")
	fails("long", slices.Concat(lines[0], bytes.Repeat([]byte("x"), 2*maxLine)), "", 2, "so it is no receipt")

	other, _, _ := sample(t)
	fails("another chain", other, "", 1, "another key")
	if _, err := Verify(bytes.NewReader(other), nil, ""); err != nil {
		t.Errorf("without a key: %v", err)
	}
	if _, err := Verify(bytes.NewReader(text), key, hashOf(bytes.TrimSpace(lines[2]))); err != nil {
		t.Errorf("with an older head: %v", err)
	}
	if s, err := Verify(bytes.NewReader(text[:len(text)-1]), key, ""); err != nil || s.Torn == 0 || s.Receipts != 4 {
		t.Errorf("torn: %+v, %v", s, err)
	}
}

// The owner of the key can replace a receipt. The receipt after it shows that.
func TestReplaced(t *testing.T) {
	c := openTest(t, t.TempDir())
	for range 3 {
		must(t, c.Write("call", at, told()))
	}
	lines := bytes.SplitAfter(written(t, c.dir), []byte("\n"))
	var r Receipt
	must(t, open(bytes.TrimSpace(lines[2]), c.Key(), &r))
	r.Told.Whole = !r.Told.Whole
	line, err := sign(&r, c.key)
	must(t, err)
	lines[2] = append(line, '\n')
	_, err = Verify(bytes.NewReader(bytes.Join(lines, nil)), c.Key(), "")
	if err == nil || err.Error() != "line 4: it follows another receipt than the one before it, which was replaced" {
		t.Errorf("got %v", err)
	}
}

// receipts returns a file without the first lines of segments.
func receipts(text []byte) (all []byte) {
	for line := range bytes.Lines(text) {
		if !isStart(line) {
			all = append(all, line...)
		}
	}
	return all
}

// Whatever a file has, what is verified is a part of the chain that the key has signed.
func FuzzVerify(f *testing.F) {
	text, key, head := sample(f)
	lines := bytes.SplitAfter(text, []byte("\n"))
	f.Add(text, head)
	f.Add(slices.Concat(lines[0], lines[1], lines[3]), "")
	f.Add(bytes.ReplaceAll(text, []byte("{"), []byte("{{")), "")
	f.Fuzz(func(t *testing.T, changed []byte, head string) {
		s, err := Verify(bytes.NewReader(changed), key, head)
		if err != nil {
			return
		}
		if !bytes.Contains(receipts(text), receipts(changed[:len(changed)-s.Torn])) {
			t.Errorf("%q is not a part of the chain", changed)
		}
	})
}
