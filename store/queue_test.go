package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/store/record"
)

// childEnv names a database. This test binary, started again as a child, writes to it until it is
// killed.
const childEnv = "FLOWBRIDGE_STORE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if limit := os.Getenv(limitEnv); limit != "" {
			openLimited(path, limit)
		} else {
			child(path)
		}
		return
	}
	m.Run()
}

// child journals calls and finishes some of them. It prints "J id" or "P id" for each one that was
// stored.
func child(path string) {
	s, err := Open(context.Background(), path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	for worker := range 4 {
		go func() {
			for i := 0; ; i++ {
				r := sample(fmt.Sprintf("w%d-%d", worker, i))
				r.EndedAt = record.Time{}
				s.Journal(r, nil)
				if i%3 == 0 { // while the writer may be writing other calls
					if s.Flush(context.Background()) == nil {
						_, _ = fmt.Fprintln(os.Stdout, "J", r.ID)
					}
				}
				if i%2 == 0 {
					r.EndedAt = record.TimeOf(start)
					if s.Put(context.Background(), r) == nil {
						_, _ = fmt.Fprintln(os.Stdout, "P", r.ID)
					}
				}
			}
		}()
	}
	select {}
}

// TestKilled kills a writing process at random moments. Everything that it saw committed must be there,
// each call once.
func TestKilled(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		path := filepath.Join(t.TempDir(), "f.db")
		put, journalled := runAndKill(t, path, 20+rand.IntN(400))
		s, err := Open(t.Context(), path)
		must(t, err)
		for id := range put {
			r, ok, err := s.Get(t.Context(), id)
			if err != nil || !ok || r.Disposition != record.DispositionAnswered {
				t.Errorf("finished call %s: got %q, %v, %v", id, r.Disposition, ok, err)
			}
		}
		interrupted := 0
		for id := range journalled {
			r, ok, err := s.Get(t.Context(), id)
			if err != nil || !ok {
				t.Errorf("journalled call %s: %v, %v", id, ok, err)
			}
			if r.Disposition == record.DispositionInterrupted {
				interrupted++
				if r.Cause != record.CauseProcessRestart || r.EndedBy != record.EndedBySystem || r.EndedAt.IsZero() {
					t.Errorf("journalled call %s: got %+v", id, r)
				}
			}
		}
		if len(s.Interrupted) < interrupted {
			t.Errorf("got %d interrupted; want at least %d", len(s.Interrupted), interrupted)
		}
		must(t, s.Close())
		if again := openTest(t, path); len(again.Interrupted) != 0 {
			t.Errorf("second start: got %d interrupted; want 0", len(again.Interrupted))
		}
	}
}

// runAndKill kills the child after some lines of its output, and reads the rest of the output.
func runAndKill(t *testing.T, path string, lines int) (put, journalled map[string]bool) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	put, journalled = map[string]bool{}, map[string]bool{}
	in := bufio.NewReader(out)
	for n := 0; ; n++ {
		if n == lines {
			must(t, cmd.Process.Kill())
		}
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // a line without an end was not printed completely
		}
		must(t, err)
		kind, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind == "P" {
			put[id] = true
		} else {
			journalled[id] = true
		}
	}
	_ = cmd.Wait() // the error only says that it was killed
	if len(put) == 0 {
		t.Fatal("the child finished no call")
	}
	return put, journalled
}

// breakDisk makes every write fail until mend is called.
func breakDisk(t *testing.T, path string) (mend func()) {
	t.Helper()
	db, err := openRaw(path)
	must(t, err)
	exec := func(stmt string) {
		if _, err := db.ExecContext(context.Background(), stmt); err != nil {
			t.Error(err)
		}
	}
	exec(`CREATE TRIGGER broken_calls BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'disk is full'); END`)
	return sync.OnceFunc(func() {
		exec(`DROP TRIGGER broken_calls`)
		must(t, db.Close())
	})
}

func TestDiskFull(t *testing.T) {
	path, s := openNew(t)
	mend := breakDisk(t, path)
	defer mend()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for s.Err() == nil {
			runtime.Gosched()
		}
		cancel()
	}()
	err := s.Put(ctx, sample("early"))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("got %v; want the end of the context and the reason", err)
	}
	if s.Err() == nil {
		t.Error("Err is nil while nothing can be written")
	}
	s.Journal(sample("early"), nil)
	s.Journal(sample("live"), nil)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := s.Put(t.Context(), sample(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	mend()
	wg.Wait()
	must(t, s.Flush(t.Context()))
	if err := s.Err(); err != nil {
		t.Errorf("after the disk works again: %v", err)
	}
	records, _, err := s.List(t.Context(), record.Filter{})
	if err != nil || len(records) != 21 {
		t.Errorf("got %d records, %v; want 21", len(records), err)
	}
	must(t, s.Close())
	if again := openTest(t, path); len(again.Interrupted) != 1 {
		t.Errorf("got %d interrupted; want 1", len(again.Interrupted))
	}
}

func TestCloseOnBrokenDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s, err := Open(t.Context(), path)
	must(t, err)
	defer breakDisk(t, path)()
	lost := make(chan error, 1)
	go func() { lost <- s.Put(context.Background(), sample("x")) }()
	for s.Err() == nil {
		if err := s.Flush(timeout(t, time.Millisecond)); err == nil {
			continue
		}
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "1 finished calls") {
		t.Errorf("got %v; want one lost call", err)
	}
	if err := <-lost; !errors.Is(err, errClosed) {
		t.Errorf("put: got %v; want %v", err, errClosed)
	}
}

func timeout(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestQueueBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s, err := open(t.Context(), path, 10, nil)
	must(t, err)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	mend := breakDisk(t, path)
	defer mend()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 10 {
		if err := s.Put(gone, sample(fmt.Sprintf("p%d", i))); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if err := s.Put(gone, sample("over")); !errors.Is(err, errFull) {
		t.Errorf("got %v; want %v", err, errFull)
	}
	kept := make(chan error, 1)
	if s.Keep(gone, new(sample("over")), nil, func(err error) { kept <- err }); !errors.Is(<-kept, errFull) {
		t.Errorf("keep did not tell %v", errFull)
	}
	waiting := make(chan error, 2)
	go func() { waiting <- s.Put(t.Context(), sample("waits")) }()
	s.Keep(t.Context(), new(sample("waits, too")), nil, func(err error) { waiting <- err })
	mend()
	for range 2 {
		if err := <-waiting; err != nil {
			t.Errorf("after room came: %v", err)
		}
	}
	must(t, s.Flush(t.Context()))
	records, _, err := s.List(t.Context(), record.Filter{})
	if err != nil || len(records) != 12 {
		t.Errorf("got %d records, %v; want 12", len(records), err)
	}
}

func TestManyWriters(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	var wg sync.WaitGroup
	for w := range 20 {
		wg.Go(func() {
			for i := range 10 {
				r := sample(fmt.Sprintf("%d-%d", w, i))
				s.Journal(r, nil)
				s.Journal(r, nil)
				if err := s.Put(t.Context(), r); err != nil {
					t.Error(err)
				}
				if _, _, err := s.List(t.Context(), record.Filter{Limit: 3}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	records, _, err := s.List(t.Context(), record.Filter{Limit: record.MaxLimit})
	if err != nil || len(records) != 200 {
		t.Errorf("got %d records, %v; want 200", len(records), err)
	}
}
