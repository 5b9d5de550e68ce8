package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/store/record"
)

// diskOf mounts a disk that holds a database, left by a killed process, with its calls. remount can make the disk full
// or read-only.
func diskOf(t *testing.T) (path string, remount func(flags uintptr, options string)) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("flowbridge", dir, "tmpfs", 0, "size=128m"); err != nil {
		t.Skipf("needs root, for a disk of its own: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	path = filepath.Join(dir, "f.db")
	s := openTest(t, path)
	mustPut(t, s, sample("done"))
	s.Journal(sample("lives"), []byte("a state"))
	s.Journal(sample("interrupted"), nil)
	s.Owe("gone", []byte("owes"))
	kill(t, s)
	return path, func(flags uintptr, options string) {
		t.Helper()
		must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|flags, options))
	}
}

// A full or read-only disk does not prevent a start. The process has the key and the calls, accepts new calls, and
// writes them once it can. A kill before that loses nothing of what was on the disk.
func TestStartOnADiskThatTakesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		breaks, mends func(t *testing.T, path string, remount func(uintptr, string))
	}{
		"read-only": {
			func(_ *testing.T, _ string, remount func(uintptr, string)) { remount(unix.MS_RDONLY, "") },
			func(_ *testing.T, _ string, remount func(uintptr, string)) { remount(0, "") },
		},
		"read-only, and nobody has used it since": {
			func(t *testing.T, path string, remount func(uintptr, string)) {
				t.Helper()
				for _, more := range []string{".lock", "-wal", "-shm", ".key"} {
					_ = os.Remove(path + more)
				}
				remount(unix.MS_RDONLY, "")
			},
			func(_ *testing.T, _ string, remount func(uintptr, string)) { remount(0, "") },
		},
		"full": {
			func(t *testing.T, path string, _ func(uintptr, string)) {
				t.Helper()
				fillDisk(t, filepath.Dir(path))
			},
			func(t *testing.T, path string, _ func(uintptr, string)) {
				t.Helper()
				must(t, os.Remove(filepath.Join(filepath.Dir(path), "filler")))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, remount := diskOf(t)
			tt.breaks(t, path, remount)
			for range 2 {
				s, err := Open(t.Context(), path)
				must(t, err)
				if got := leftOf(s); !slices.Equal(got, []string{"gone owes owes", "lives a state"}) {
					t.Errorf("left are %q", got)
				}
				if s.Err() == nil && name != "full" { // the process itself may free space on a full disk
					t.Error("no error")
				}
				if other, err := Open(t.Context(), path); !errors.Is(err, errLocked) {
					t.Errorf("%v: a second process has it, too: %v", err, other)
				}
				must(t, s.Leave())
			}
			s, err := Open(t.Context(), path)
			must(t, err)
			key := s.Key()
			s.Journal(sample("new"), []byte("a new state"))
			written := make(chan error, 1)
			finished := sample("finished")
			s.Keep(t.Context(), &finished, nil, func(err error) { written <- err })
			tt.mends(t, path, remount)
			must(t, <-written)
			for !closedWithin(s) {
				t.Log("not yet")
			}
			for id, want := range map[string]string{"done": record.DispositionAnswered, "finished": record.DispositionAnswered, "interrupted": record.DispositionInterrupted} {
				if r, ok, err := s.Get(t.Context(), id); err != nil || !ok || r.Disposition != want {
					t.Errorf("%s: %v, %v, %q", id, err, ok, r.Disposition)
				}
			}
			must(t, s.Leave())
			again := openTest(t, path)
			if got := leftOf(again); !slices.Equal(got, []string{"gone owes owes", "lives a state", "new a new state"}) || again.Key() != key || len(again.Interrupted) != 0 {
				t.Errorf("left are %q, %d interrupted, another key: %v", got, len(again.Interrupted), again.Key() != key)
			}
		})
	}
}

// closedWithin reports whether everything that waited has been written.
func closedWithin(s *Store) bool {
	return s.Alive(context.Background(), time.Now()) == nil && s.Err() == nil
}

// With neither a database nor a copy of its key, a disk that refuses writes prevents the first start. The error says
// what to do.
func TestFirstStartOnADiskThatTakesNothing(t *testing.T) {
	path, remount := diskOf(t)
	for _, more := range []string{"", "-wal", "-shm", ".key"} {
		if err := os.Remove(path + more); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY, "")
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "make it writable, or name another file in store.path") {
		t.Errorf("opened: %v; want advice to make it writable, or to name another file", err)
	}
}

// If the disk accepts no writes, a registration is known at once, and nothing waits for it. If the file can't be read
// either, its registrations are known once it can be, and new registrations do not replace those that were not read.
func TestBindingsOnADiskThatTakesNothing(t *testing.T) {
	one, two := []record.Binding{{Contact: "sip:a@10.0.0.5"}}, []record.Binding{{Contact: "sip:b@10.0.0.6"}}
	for name, tt := range map[string]struct {
		log, index, full, later bool
	}{
		"read-only":                          {log: true, index: true},
		"read-only, closed":                  {},
		"read-only, without the log's index": {log: true, later: true},
		"full":                               {log: true, index: true, full: true},
		"full, closed":                       {full: true},
	} {
		t.Run(name, func(t *testing.T) {
			path, remount := diskOf(t)
			s := openTest(t, path)
			s.KeepBindings("trunk phone", one)
			must(t, s.Flush(t.Context()))
			files := map[string][]byte{}
			for _, more := range []string{"", "-wal", "-shm"} {
				files[more], _ = os.ReadFile(path + more)
			}
			kill(t, s)
			if !tt.index {
				delete(files, "-shm")
			}
			for more, text := range files {
				if tt.log {
					must(t, os.WriteFile(path+more, text, 0o600))
				}
			}
			if tt.full {
				fillDisk(t, filepath.Dir(path))
			} else {
				remount(unix.MS_RDONLY, "")
			}
			s, err := Open(t.Context(), path)
			must(t, err)
			got, err := s.Bindings(t.Context())
			if tt.later {
				if err == nil {
					t.Fatalf("read are %+v", got)
				}
				wait := s.LaterBindings()
				s.KeepBindings("trunk phone", two)
				remount(0, "")
				got, err = wait(t.Context())
			}
			if err != nil || len(got) != 1 || len(got["trunk phone"]) != 1 || got["trunk phone"][0].Contact != one[0].Contact {
				t.Errorf("%+v, %v", got, err)
			}
			if n := s.pool().Stats().OpenConnections; n > 0 { // the writer could not write while a read-only connection is open
				t.Errorf("%d connections are open", n)
			}
			if !tt.full {
				remount(0, "")
				mustPut(t, s, sample("late"))
			}
			must(t, s.Leave())
		})
	}
}

// An ended call is not reported as written while its record waits for the disk.
func TestRecoveredOnADiskThatTakesNothing(t *testing.T) {
	path, remount := diskOf(t)
	s := openTest(t, path)
	ended := sample("ended")
	s.note(callEnded, &ended, nil, start)
	kill(t, s)
	remount(unix.MS_RDONLY, "")
	s, err := Open(t.Context(), path)
	must(t, err)
	if n := s.Recovered; n != 0 {
		t.Errorf("%d calls are said to be written", n)
	}
	remount(0, "")
	mustPut(t, s, sample("new"))
	if _, ok, err := s.Get(t.Context(), "ended"); !ok || err != nil {
		t.Errorf("%v, %v: it is not written", ok, err)
	}
	must(t, s.Leave())
}
