package dialog

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

func newSeals(tb testing.TB, purpose string, key byte) Seals {
	tb.Helper()
	s, err := NewSeals(purpose, [32]byte{key})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// note is a value to be sealed.
type note struct {
	Dialog

	URL string `json:"w"`
}

// TestSeals: a sealed text opens with its key, for its purpose, and whole.
func TestSeals(t *testing.T) {
	s := newSeals(t, "one", 1)
	in := note{Dialog{CallID: "a"}, "ws://x?a=1&b=2"}
	text, err := s.Seal(&in)
	if err != nil {
		t.Fatal(err)
	}
	var out note
	if err := s.Open(text, &out); err != nil || out != in {
		t.Errorf("got %+v, %v", out, err)
	}
	for _, bad := range []string{"", "x", text[1:], text[:len(text)-2], text + "AA"} {
		if err := s.Open(bad, &out); err == nil {
			t.Errorf("%q was opened", bad)
		}
	}
	for _, other := range []Seals{newSeals(t, "one", 2), newSeals(t, "two", 1)} {
		if err := other.Open(text, &out); err == nil {
			t.Error("another key or purpose opens it")
		}
	}
	if err := s.Open(text, new([]string)); err == nil {
		t.Error("it opens as something else")
	}
}

// FuzzSeals: what is sealed can be opened, and no other text can.
func FuzzSeals(f *testing.F) {
	f.Add("id", "wss://bot/?a=1&b=<>", "x")
	f.Fuzz(func(t *testing.T, id, url, text string) {
		s := newSeals(t, "one", 1)
		in := note{Dialog{CallID: strings.ToValidUTF8(id, "")}, strings.ToValidUTF8(url, "")}
		sealed, err := s.Seal(&in)
		if err != nil {
			t.Fatal(err)
		}
		var out note
		if err := s.Open(sealed, &out); err != nil || out != in {
			t.Fatalf("%+v became %+v, %v", in, out, err)
		}
		if s.Open(text, &out) == nil {
			t.Fatalf("%q was opened", text)
		}
	})
}

// TestRequest: a request has the dialog's addresses and tags, without an empty one, and numbers rise also from one
// process to the next.
func TestRequest(t *testing.T) {
	d := Dialog{"id", "ours", "", "sip:a@127.0.0.1", "sip:b@127.0.0.2", "sip:c@127.0.0.3:5098"}
	req := d.Request(sip.BYE, 7)
	if text := req.String(); !strings.HasPrefix(text, "BYE sip:c@127.0.0.3:5098 SIP/2.0\r\n") ||
		!strings.Contains(text, "From: <sip:a@127.0.0.1>;tag=ours\r\n") ||
		!strings.Contains(text, "To: <sip:b@127.0.0.2>\r\n") || !strings.Contains(text, "Call-ID: id\r\nCSeq: 7 BYE\r\n") {
		t.Errorf("got\n%s", text)
	}
	first := NextCSeq(1)
	if first < 2 || NextCSeq(first) <= first || NextCSeq(1<<31-2) != 1<<31-1 || SDPVersion() == 0 {
		t.Errorf("after 1 comes %d, and after that %d", first, NextCSeq(first))
	}
}
