package transport

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each message is counted once, by its first line. Junk is counted as well.
func TestMessages(t *testing.T) {
	var m Messages
	for _, text := range []string{"INVITE sip:a SIP/2.0\r\n", "INVITE sip:a SIP/2.0\r\n", "SUBSCRIBE sip:a SIP/2.0", "PUBLISH sip:a SIP/2.0", "", " ", "SIP/2.0", "SIP/2.0 2", "VERYLONGMETHOD sip:a"} {
		m.received.note([]byte(text))
	}
	for _, text := range []string{"SIP/2.0 200 OK\r\n", "SIP/2.0 699 x", "SIP/2.0 700 x", "SIP/2.0 099 x", "SIP/2.0 \xff\xff\xff x", "ACK x"} {
		m.sent.note([]byte(text))
	}
	got := map[string]uint64{}
	m.Each(func(received bool, method string, status int, n uint64) {
		got[fmt.Sprint(received, method, status)] = n
	})
	want := map[string]uint64{"trueINVITE0": 2, "trueSUBSCRIBE0": 1, "trueother0": 6, "false200": 1, "false699": 1, "falseACK0": 1}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for i, name := range methodNames() {
		if methodIndex([]byte(name)) != i {
			t.Errorf("%s is at %d", name, i)
		}
	}
}

// Counting a message must not allocate, because every message is counted.
func TestMessagesDoNotAllocate(t *testing.T) {
	var m Messages
	invite, ok := []byte("INVITE sip:+15075785607@192.0.2.1 SIP/2.0\r\n"), []byte("SIP/2.0 200 OK\r\n")
	if n := testing.AllocsPerRun(100, func() { m.received.note(invite); m.sent.note(ok) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("INVITE sip:a SIP/2.0\r\n"))
	f.Add([]byte("SIP/2.0 200 OK\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var m Messages
		m.received.note(text)
		sum := uint64(0)
		m.Each(func(_ bool, _ string, _ int, n uint64) { sum += n })
		if sum > 1 {
			t.Errorf("%q counts %d times", text, sum)
		}
	})
}

func BenchmarkMessages(b *testing.B) {
	var m Messages
	texts := [][]byte{[]byte("INVITE sip:+15075785607@192.0.2.1 SIP/2.0\r\n"), []byte("SIP/2.0 200 OK\r\n"), []byte("BYE sip:a SIP/2.0\r\n")}
	b.ReportAllocs()
	for i := range b.N {
		m.received.note(texts[i%3])
	}
}

// must fails the test at once if err is not nil.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
