package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

// If the log's reader stops reading, no one who logs waits for it, and all lines come in their order when it is read again.
func TestLogPipeFull(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	l := linesTo(w)
	if _, err := l.try([]byte("0\n")); errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		t.Skip("needs a kernel whose pipes can be tried")
	}
	var want strings.Builder
	want.WriteString("0\n")
	for i := 1; want.Len() < 3<<16; i++ { // a pipe has room for 64 KB
		line := fmt.Sprintln(i)
		want.WriteString(line)
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	got := make([]byte, want.Len())
	for n := 0; n < len(got); {
		more, err := r.Read(got[n:])
		must(t, err)
		n += more
	}
	if string(got) != want.String() {
		t.Error("other lines than were logged")
	}
	l.flush()
	if _, err := l.Write([]byte("last\n")); err != nil {
		t.Error(err)
	}
	w.Close()
	if dropped, _ := l.state(); dropped != 0 {
		t.Errorf("%d lines dropped", dropped)
	}
}

// A file on a disk that hangs keeps one who logs. What others log waits, up to a bound.
func TestLogFileHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		hangs := make(chan struct{})
		l := &lines{
			try: func([]byte) (int, error) { return -1, unix.EOPNOTSUPP },
			write: func(p []byte) (int, error) {
				<-hangs
				return out.Write(p)
			},
		}
		var first sync.WaitGroup
		first.Go(func() { _, _ = l.Write([]byte("first\n")) })
		synctest.Wait()
		for range 3 {
			_, _ = l.Write([]byte("next\n"))
		}
		if _, err := l.Write(make([]byte, maxWaitingLog)); err != nil {
			t.Error(err)
		}
		if dropped, writing := l.state(); dropped != 1 || !writing {
			t.Errorf("%d dropped, writing %v", dropped, writing)
		}
		l.flush() // gives up
		close(hangs)
		first.Wait()
		if _, err := l.Write([]byte("last\n")); err != nil {
			t.Error(err)
		}
		if got, want := out.String(), "first\nnext\nnext\nnext\nlast\n"; got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	})
}

// A line that was taken in part is completed before others.
func TestLogPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		full := true
		l := &lines{write: out.Write}
		l.try = func(p []byte) (int, error) {
			if full {
				full = false
				_, _ = l.Write([]byte("second\n"))
				return out.Write(p[:2])
			}
			return out.Write(p)
		}
		_, _ = l.Write([]byte("first\n"))
		synctest.Wait()
		_, _ = l.Write([]byte("third\n"))
		if got, want := out.String(), "first\nsecond\nthird\n"; got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	})
}

// A line costs no allocation.
func TestLogAllocates(t *testing.T) {
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	must(t, err)
	defer file.Close()
	l, line := linesTo(file), []byte("a line\n")
	if n := testing.AllocsPerRun(100, func() { _, _ = l.Write(line) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLog(b *testing.B) {
	r, w, err := os.Pipe()
	must(b, err)
	go func() {
		for buf := make([]byte, 1<<16); ; {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	}()
	defer w.Close()
	line := []byte(strings.Repeat("x", 400) + "\n")
	l := linesTo(w)
	for _, how := range []struct {
		name  string
		write func([]byte) (int, error)
	}{{"file", w.Write}, {"lines", l.Write}} {
		b.Run(how.name, func(b *testing.B) {
			for b.Loop() {
				_, _ = how.write(line)
			}
		})
	}
}
