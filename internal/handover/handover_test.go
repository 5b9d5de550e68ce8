package handover

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

type said struct {
	Words string `cbor:"1,keyasint,omitempty"`
	Bytes []byte `cbor:"2,keyasint,omitempty"`
}

// pair returns the two ends of a connected socket.
func pair(t *testing.T) (a, b *Conn) {
	t.Helper()
	a, file, err := Pair()
	must(t, err)
	b, err = connOf(file)
	must(t, err)
	t.Cleanup(func() {
		_ = a.Close()
		_ = b.Close()
	})
	return a, b
}

// Messages of any size arrive, and a file may come with them.
func TestFrames(t *testing.T) {
	a, b := pair(t)
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer func() { _ = socket.Close() }()
	raw, err := socket.SyscallConn()
	must(t, err)
	all := []said{{}, {Words: "one"}, {Bytes: bytes.Repeat([]byte{7}, messageSize-headSize)}, {Bytes: bytes.Repeat([]byte{8}, 5*messageSize)}}
	sent := make(chan error, 1)
	go func() {
		for _, v := range all {
			var err error
			if control := raw.Control(func(fd uintptr) { err = a.Send(Part, v, int(fd)) }); err != nil || control != nil {
				sent <- errors.Join(err, control)
				return
			}
		}
		sent <- a.Send(End, nil)
	}()
	for i, want := range all {
		f, err := b.Receive()
		must(t, err)
		var got said
		if err := f.Decode(&got); err != nil || got.Words != want.Words || !bytes.Equal(got.Bytes, want.Bytes) {
			t.Errorf("frame %d: %v, got %d bytes, %q", i, err, len(got.Bytes), got.Words)
		}
		if len(f.Files) != 1 {
			t.Fatalf("frame %d has %d files", i, len(f.Files))
		}
		at, err := unix.Getsockname(f.Files[0])
		if v4, ok := at.(*unix.SockaddrInet4); err != nil || !ok || v4.Port != socket.LocalAddr().(*net.UDPAddr).Port {
			t.Errorf("frame %d: another socket: %v, %v", i, at, err)
		}
		if flags, err := unix.FcntlInt(uintptr(f.Files[0]), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("frame %d: the file would be inherited: %v", i, err)
		}
		f.Close()
	}
	if f, err := b.Expect(End); err != nil || len(f.Data) != 0 {
		t.Errorf("end: %v, %v", f, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// Expect distinguishes the end of the other process from a message, and returns the reason of a refusal.
func TestExpect(t *testing.T) {
	a, b := pair(t)
	must(t, a.Send(Refused, Refusal{Why: "no room"}))
	var refused *RefusedError
	if _, err := b.Expect(Loaded); !errors.As(err, &refused) || refused.Why != "no room" {
		t.Errorf("refused: %v", err)
	}
	must(t, a.Send(Ready, nil))
	if _, err := b.Expect(Loaded); !errors.Is(err, errForm) {
		t.Errorf("another kind: %v", err)
	}
	_ = a.Close()
	if _, err := b.Expect(Loaded); !errors.Is(err, io.EOF) {
		t.Errorf("gone: %v", err)
	}
	if err := b.Send(Loaded, nil); err == nil {
		t.Error("what is said to nobody has arrived")
	}
}

// TestRefusedUnread: if a process refuses and ends without reading all messages, its reason still arrives, whether or
// not more messages are sent to it.
func TestRefusedUnread(t *testing.T) {
	for _, more := range []bool{false, true} {
		a, b := pair(t)
		must(t, errors.Join(a.Send(Begin, nil), b.Send(Refused, Refusal{Why: "no"}), b.Close()))
		if more && a.Send(End, nil) == nil {
			t.Error("what is said to nobody has arrived")
		}
		var refused *RefusedError
		if _, err := a.Expect(Loaded); !errors.As(err, &refused) || refused.Why != "no" {
			t.Errorf("told more %v: got %v", more, err)
		}
		if _, err := a.Receive(); !errors.Is(err, io.EOF) {
			t.Errorf("told more %v: then %v; want the end", more, err)
		}
	}
}

// Frames that no such process would send are refused, and files that came with them are closed.
func TestHostileFrames(t *testing.T) {
	head := func(change func([]byte)) []byte {
		all, _ := messages(Part, 0, []byte("abc"))
		b := slices.Clone(all[0])
		change(b)
		return b
	}
	for name, b := range map[string][]byte{
		"empty":       {},
		"short":       head(func([]byte) {})[:headSize-1],
		"magic":       head(func(b []byte) { b[0]++ }),
		"version":     head(func(b []byte) { b[3]++ }),
		"kind":        head(func(b []byte) { b[4] = 200 }),
		"kind 0":      head(func(b []byte) { b[4] = 0 }),
		"files":       head(func(b []byte) { b[7] = 2 }),
		"large":       head(func(b []byte) { b[8] = 0x7f }),
		"longer":      append(head(func([]byte) {}), 'd'),
		"no data due": head(func(b []byte) { b[11] = 0 }),
	} {
		var a assembler
		r, w, err := os.Pipe()
		must(t, err)
		fd, err := unix.Dup(int(w.Fd()))
		must(t, err)
		_ = w.Close()
		if len(b) > 7 && b[7] == 0 {
			b[7] = 1 // the file
		}
		if _, done, err := a.take(b, []int{fd}); done || err == nil {
			t.Errorf("%s: done %v, %v", name, done, err)
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the file is open: %v", name, err)
		}
		_ = r.Close()
	}
	if _, err := messages(Part, 0, make([]byte, maxFrame+1)); !errors.Is(err, errLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := messages(Part, maxFiles+1, nil); !errors.Is(err, errLarge) {
		t.Errorf("too many files: %v", err)
	}
}

// If the program's file was replaced, the new file is started. It does not inherit what only concerns the old process.
func TestProgram(t *testing.T) {
	p, err := ThisProgram()
	if err != nil || !strings.HasPrefix(p.Path, "/") || p.Args[0] != os.Args[0] {
		t.Errorf("got %v, %v", p, err)
	}
	t.Setenv("WATCHDOG_PID", "1")
	t.Setenv("WATCHDOG_USEC", "2")
	t.Setenv(inherited, "9")
	env := strings.Join(environment(), "\n")
	if strings.Contains(env, "WATCHDOG_PID") || strings.Contains(env, inherited) || !strings.Contains(env, "WATCHDOG_USEC=2") {
		t.Error(env)
	}
	if c, err := Inherited(); err == nil {
		t.Errorf("a file that is no socket: %v", c)
	}
	if c, err := Inherited(); c != nil || err != nil {
		t.Errorf("without a variable: %v, %v", c, err)
	}
}

// FuzzAssembler checks that the assembler never stores more than one frame, and that messages which were cut into
// frames are put together again.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte("x"), uint16(3))
	whole, _ := messages(Part, 0, []byte("data of a frame"))
	f.Add(whole[0], uint16(20))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		var a assembler
		for rest := b; len(rest) > 0; {
			n := min(int(cut)+1, len(rest))
			frame, done, err := a.take(rest[:n], nil)
			if len(a.frame.Data) > maxFrame || (done && (frame.Kind < Loaded || frame.Kind > Go)) {
				t.Fatalf("kept %d bytes, kind %d", len(a.frame.Data), frame.Kind)
			}
			if err != nil {
				break
			}
			if rest = rest[n:]; done {
				var v said
				_ = frame.Decode(&v)
			}
		}
		all, err := messages(Part, 0, b)
		must(t, err)
		var again assembler
		for i, m := range all {
			frame, done, err := again.take(m, nil)
			if err != nil || done != (i == len(all)-1) || (done && !bytes.Equal(frame.Data, b)) {
				t.Fatalf("message %d of %d: %v, %v", i, len(all), done, err)
			}
		}
	})
}

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
