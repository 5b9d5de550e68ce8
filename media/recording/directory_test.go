package recording

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/media"
)

// TestRemovedDirectory: a directory that is removed while calls are recorded costs
// these recordings, which say so, and is made again for the next one.
func TestRemovedDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		lost := begun(t, a, 1)
		time.Sleep(5 * time.Second)
		must(t, os.RemoveAll(a.cfg.Dir))
		second, third := begun(t, a, 2), begun(t, a, 3) // by two writers
		for n := range 100 {
			second.tap(media.SideA, media.RTP, speech(0, 1, n))
			third.tap(media.SideA, media.RTP, speech(0, 1, n))
			time.Sleep(20 * time.Millisecond)
		}
		for _, r := range []*Recorder{lost, second, third} {
			r.Stop()
			<-r.Done()
		}
		for _, f := range lost.Files() {
			if f.Name != "" || f.Bytes != 0 || f.Err == "" || f.EndedAt.IsZero() {
				t.Errorf("removed: %+v", f)
			}
		}
		for _, f := range append(second.Files(), third.Files()...) {
			if f.Err != "" || f.Bytes != int64(len(fileOf(t, a, f.Name))) || f.Bytes < 16000 {
				t.Errorf("afterwards: %+v", f)
			}
		}
		if _, err := Open(a.cfg); !errors.Is(err, ErrLocked) {
			t.Errorf("opened twice: %v", err)
		}
		a.shut(t)
	})
}

// TestDirectoryThatCannotBeAgain: where the directory can't be made again, nothing is
// recorded, until it can.
func TestDirectoryThatCannotBeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		must(t, os.Remove(filepath.Join(a.cfg.Dir, ".lock")))
		must(t, os.Remove(a.cfg.Dir))
		must(t, os.WriteFile(a.cfg.Dir, nil, 0o600))
		for part := 1; part <= 2; part++ {
			r := begun(t, a, part)
			time.Sleep(time.Second)
			if !r.Failed() {
				t.Error("the recording does not count as failed")
			}
			r.Stop()
			<-r.Done()
			for _, f := range r.Files() {
				if f.Name != "" || f.Bytes != 0 || f.Err == "" {
					t.Errorf("file %+v; want no name, no bytes, and an error", f)
				}
			}
		}
		must(t, os.Remove(a.cfg.Dir))
		r := begun(t, a, 3)
		time.Sleep(time.Second)
		r.Stop()
		<-r.Done()
		for _, f := range r.Files() {
			if f.Err != "" || f.Bytes != int64(len(fileOf(t, a, f.Name))) {
				t.Errorf("possible again: %+v", f)
			}
		}
		a.shut(t)
	})
}
