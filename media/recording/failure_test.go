package recording

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/media"
)

// TestFullDisk: on a disk that is full a recording is not begun. Its files have the
// reason and no name, the log says so once for each, and nothing else changes.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a := opened(t, func(c *Config) { c.Log = zerolog.New(&log) })
		create := a.create
		a.create = func(name string) (medium, error) {
			if m, err := create(name); err != nil || m.Close() != nil {
				t.Error(err)
			}
			return os.OpenFile("/dev/full", os.O_WRONLY, 0)
		}
		r := begun(t, a, 1)
		for n := range 500 {
			r.tap(media.SideA, media.RTP, speech(0, 1, n))
			time.Sleep(20 * time.Millisecond)
		}
		if !r.Failed() {
			t.Error("the recording does not count as failed")
		}
		r.Stop()
		<-r.Done()
		for _, f := range r.Files() {
			if !strings.Contains(f.Err, "no space left on device") || f.EndedAt.IsZero() || f.Bytes != 0 || f.Name != "" {
				t.Errorf("file %+v; want no name, no bytes, an end, and that no space is left", f)
			}
		}
		if names := tree(t, a); len(names) != 0 {
			t.Errorf("there are %v; want nothing, as nothing could be written", names)
		}
		a.shut(t)
		if n := strings.Count(log.String(), "recording not started"); n != 2 || strings.Count(log.String(), `"remedy":"make room`) != 2 {
			t.Errorf("it was said %d times; want twice:\n%s", n, log.String())
		}
	})
}

// filling is a medium that is full after so many bytes.
type filling struct {
	medium
	room int
}

func (f *filling) Write(b []byte) (int, error) {
	if len(b) <= f.room {
		f.room -= len(b)
		return f.medium.Write(b)
	}
	n, _ := f.medium.Write(b[:f.room])
	f.room = 0
	return n, errors.New("no space left")
}

// TestDiskFillsUp: what was written before is readable.
func TestDiskFillsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		create := a.create
		a.create = func(name string) (medium, error) {
			m, err := create(name)
			return &filling{m, 81_234}, err
		}
		r := begun(t, a, 1)
		for n := range 500 {
			r.tap(media.SideA, media.RTP, speech(0, 1, n))
			time.Sleep(20 * time.Millisecond)
		}
		r.Stop()
		<-r.Done()
		files := r.Files()
		if files[0].Err != "no space left" || files[1].Err != "no space left" {
			t.Errorf("files %+v; want that no space is left for both", files)
		}
		if w := readWAV(t, fileOf(t, a, files[0].Name)); len(w.left) < 2*sampleRate {
			t.Errorf("the WAV has %d frames", len(w.left))
		}
		if got := readPcapng(t, fileOf(t, a, files[1].Name)); len(got) < 300 {
			t.Errorf("%d packets were captured", len(got))
		}
		a.shut(t)
	})
}

// blocked is a medium that hangs from some write on, until it is released.
type blocked struct {
	medium
	after   int
	release chan struct{}
}

func (b *blocked) Write(p []byte) (int, error) {
	if b.after--; b.after < 0 {
		<-b.release
	}
	return b.medium.Write(p)
}

// TestBlockedDisk: a disk that hangs costs packets, which are counted, and holds
// up neither who records nor the recordings of other writers. When it goes on, so
// does the recording.
func TestBlockedDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, func(c *Config) { c.Formats = []string{FormatWAV} })
		release := make(chan struct{})
		create := a.create
		a.create = func(name string) (medium, error) {
			m, err := create(name)
			if !strings.Contains(name, "-2.") {
				m = &blocked{m, 2, release}
			}
			return m, err
		}
		slow, other := begun(t, a, 1), begun(t, a, 2)
		if slow.w == other.w {
			t.Fatal("both have the same writer")
		}
		const packets = 1500 // 30 s
		for n := range packets {
			slow.tap(media.SideA, media.RTP, speech(0, 1, n))
			other.tap(media.SideA, media.RTP, speech(0, 1, n))
			time.Sleep(20 * time.Millisecond)
		}
		other.Stop()
		<-other.Done()
		slow.Stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("closing beside a disk that hangs: %v", err)
		}
		close(release)
		<-slow.Done()
		f := slow.Files()[0]
		if f.Dropped < packets/2 || f.Dropped > packets-200 || f.Err != "" {
			t.Errorf("%+v; want what the ring could not hold to be counted", f)
		}
		if w := readWAV(t, fileOf(t, a, f.Name)); len(w.left) != packets*160 {
			t.Errorf("the WAV has %d frames; want %d", len(w.left), packets*160)
		}
		if f := other.Files()[0]; f.Dropped != 0 || f.Err != "" {
			t.Errorf("the other recording: %+v", f)
		}
		a.running.Wait()
		if _, err := a.Record(Call{ID: callID, Part: 3}); !errors.Is(err, errClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// TestMessagesAreBounded: SIP messages that are not written are counted.
func TestMessagesAreBounded(t *testing.T) {
	r := &Recorder{intake: intake{ring: newRing(64), began: time.Now()}}
	for range 20 {
		r.Message(time.Now(), addrA, localA, make([]byte, queueLimit/10))
	}
	if len(r.queue) != 10 || r.dropped.Load() != 10 {
		t.Errorf("%d wait, %d were dropped; want 10 and 10", len(r.queue), r.dropped.Load())
	}
}
