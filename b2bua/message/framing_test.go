package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"flowbridge/sim/siptest"
)

func framed(body string, headers ...string) string {
	return "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n" + body
}

func withBody(body string) string { return framed(body, fmt.Sprintf("Content-Length: %d", len(body))) }

// pieces is a reader that returns a text in pieces of random size.
type pieces struct {
	rest string
	rng  *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.rest == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+p.rng.IntN(200))], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// all returns all messages of a stream, with "" for each keep-alive, and the error at the
// end.
func (f *Framer) all() (messages []string, err error) {
	for {
		m, err := f.Next()
		switch {
		case errors.Is(err, ErrKeepAlive):
			messages = append(messages, "")
		case err != nil:
			return messages, err
		default:
			messages = append(messages, string(m))
		}
	}
}

// TestFramingSplitAndJoined checks that a stream is cut into the same messages however
// the network splits and joins it.
func TestFramingSplitAndJoined(t *testing.T) {
	want := []string{withBody(""), withBody("v=0\r\n\r\n"), "", withBody(strings.Repeat("x", 5000)), withBody("\r\n\r\n\r\n"), withBody("a")}
	stream := "\r\n" + want[0] + want[1] + "\r\n" + "\r\n\r\n" + want[3] + want[4] + "\r\n" + want[5] + "\r\n"
	stream = strings.Replace(stream, "\r\n\r\n\r\n"+"OPTIONS", "\r\n\r\n"+"OPTIONS", 1)
	check := func(name string, src io.Reader) {
		t.Helper()
		got, err := (&Framer{Src: src, Limit: 16384}).all()
		if !errors.Is(err, io.EOF) {
			t.Fatalf("%s: %v", name, err)
		}
		kept := got[:0]
		for _, m := range got {
			if m != "" {
				kept = append(kept, m)
			}
		}
		if fmt.Sprintf("%q", kept) != fmt.Sprintf("%q", []string{want[0], want[1], want[3], want[4], want[5]}) {
			t.Fatalf("%s: %q", name, kept)
		}
	}
	check("joined", strings.NewReader(stream))
	check("single bytes", iotest.OneByteReader(strings.NewReader(stream)))
	for seed := range uint64(200) {
		check(fmt.Sprint("seed ", seed), &pieces{stream, rand.New(rand.NewPCG(seed, 1))})
	}
}

func TestFramingKeepAlive(t *testing.T) {
	stream := "\r\n\r\n" + withBody("a") + "\r\n\r\n\r\n\r\n" + "\r\n" + withBody("b")
	for _, src := range []io.Reader{strings.NewReader(stream), iotest.OneByteReader(strings.NewReader(stream))} {
		got, err := (&Framer{Src: src, Limit: 16384}).all()
		want := []string{"", withBody("a"), "", "", withBody("b")}
		if !errors.Is(err, io.EOF) || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
}

func TestFramingLost(t *testing.T) {
	for _, c := range []struct{ name, stream, status string }{
		{"missing", framed(""), "400 Content-Length Is Missing"},
		{"negative", framed("", "Content-Length: -1"), "400 Content-Length Is Malformed"},
		{"no number", framed("", "l: many"), "400 Content-Length Is Malformed"},
		{"empty", framed("", "Content-Length:"), "400 Content-Length Is Malformed"},
		{"two", framed("", "Content-Length: 1", "l: 2"), "400 Content-Length Comes Twice"},
		{"huge", framed("", "Content-Length: 99999999999999999999"), "513 Message Too Large"},
		{"large", framed("", "Content-Length: 4000000000"), "513 Message Too Large"},
		{"one over", framed("", fmt.Sprintf("Content-Length: %d", 4096-len(framed("", "Content-Length: 1234"))+1)), "513 Message Too Large"},
		{"no end", framed("", "X: "+strings.Repeat("y", 5000)), "513 Message Too Large"},
	} {
		_, err := (&Framer{Src: strings.NewReader(c.stream), Limit: 4096}).all()
		if lost, ok := errors.AsType[*FrameError](err); !ok || lost.Status != c.status {
			t.Errorf("%s: %v; want %s", c.name, err, c.status)
		}
	}
	same := framed("", "Content-Length: 0", "Content-Length: 0")
	fits := framed(strings.Repeat("x", 4096-len(framed("", "Content-Length: 1234"))), fmt.Sprintf("Content-Length: %d", 4096-len(framed("", "Content-Length: 1234"))))
	for _, m := range []string{same, fits} {
		if got, err := (&Framer{Src: strings.NewReader(m), Limit: 4096}).Next(); err != nil || string(got) != m {
			t.Errorf("%d bytes: got %d, %v", len(m), len(got), err)
		}
	}
}

// A response may be as long as ResponseLimit, if that is larger than Limit. A request may not.
func TestFramingLimitsResponses(t *testing.T) {
	const limit, larger = 4096, 8192
	sized := func(start string, size int) string {
		head := start + "\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nContent-Length: 1234\r\n\r\n"
		body := strings.Repeat("x", size-len(head))
		return strings.Replace(head, "1234", fmt.Sprint(len(body)), 1) + body
	}
	for _, tt := range []struct {
		start           string
		responses, size int
		cut             bool
	}{
		{"SIP/2.0 200 OK", larger, larger, true},
		{"SIP/2.0 200 OK", larger, larger + 1, false},
		{"SIP/2.0 200 OK", 0, limit, true},
		{"SIP/2.0 200 OK", 0, limit + 1, false},
		{"SIP/2.0 200 OK", limit - 1, limit, true},
		{"OPTIONS sip:a@b SIP/2.0", larger, limit, true},
		{"OPTIONS sip:a@b SIP/2.0", larger, limit + 1, false},
	} {
		text := sized(tt.start, tt.size)
		got, err := (&Framer{Src: strings.NewReader(text), Limit: limit, ResponseLimit: tt.responses}).Next()
		lost, ok := errors.AsType[*FrameError](err)
		if cut := string(got) == text; cut != tt.cut || !cut && (!ok || lost.Status != "513 Message Too Large") {
			t.Errorf("%s of %d bytes, limit %d: got %d, %v", tt.start, tt.size, tt.responses, len(got), err)
		}
	}
}

// FuzzFraming checks that the same messages come out however a stream is split, that none
// exceeds the limit, and that all bytes are either returned or kept.
func FuzzFraming(f *testing.F) {
	f.Add([]byte(withBody("v=0\r\n")+withBody("")), uint64(1))
	f.Add([]byte("\r\n\r\n\r\n"+withBody("x")+"garbage"), uint64(2))
	f.Add([]byte(framed("", "Content-Length: 99")), uint64(3))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		const limit = 1024
		whole, err1 := (&Framer{Src: bytes.NewReader(stream), Limit: limit}).all()
		split, err2 := (&Framer{Src: &pieces{string(stream), rand.New(rand.NewPCG(seed, 2))}, Limit: limit}).all()
		if fmt.Sprintf("%q", whole) != fmt.Sprintf("%q", split) || fmt.Sprint(err1) != fmt.Sprint(err2) {
			t.Fatalf("whole: %q %v; split: %q %v", whole, err1, split, err2)
		}
		for _, m := range whole {
			if len(m) > limit {
				t.Fatalf("a message of %d bytes", len(m))
			}
		}
	})
}

// FuzzFramedIsParsed checks that a message that was cut out of a stream and admitted is
// exactly one message for the SIP library as well.
func FuzzFramedIsParsed(f *testing.F) {
	f.Add([]byte(withBody("v=0\r\n") + withBody("")))
	f.Add([]byte(strings.ReplaceAll(siptest.OptionsOverTCP, "\n", "\r\n")))
	f.Add([]byte(strings.ReplaceAll(strings.Replace(siptest.OptionsOverTCP, "Content-Length: 0", "l:\n 007\nContent-Length: 7", 1), "\n", "\r\n") + "OPTIONS"))
	f.Add([]byte(strings.Replace(siptest.OptionsOverTCP, "Length: 0", "Length: 9\r\nX: y", 1) + "\r\n\r\nINVITE"))
	for _, raw := range siptest.RFC4475(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		all, _ := (&Framer{Src: bytes.NewReader(stream), Limit: 4096}).all()
		for _, m := range all {
			msg, ok := Scan([]byte(m))
			if !ok || msg.Wrong != "" || !IsSupportedVersion(string(msg.Version)) {
				continue
			}
			if _, err := Parse([]byte(m)); err != nil {
				t.Fatalf("%v: %q", err, m)
			}
		}
	})
}
