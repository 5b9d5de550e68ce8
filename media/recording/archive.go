package recording

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/rs/zerolog"

	"flowbridge/internal/processors"
)

// Errors that a caller may want to tell apart.
var (
	errClosed = errors.New("recordings closed")

	// ErrLocked means that another process is recording into the directory.
	ErrLocked = errors.New("in use by another process")
)

// Config configures an archive.
type Config struct {
	Dir     string        // created with mode 0700 if it is missing
	Formats []string      // FormatWAV and FormatPcapng, each at most once
	Keep    time.Duration // how long a file is kept after its last write
	MaxSize int64         // of one file, in bytes, before encryption
	Log     zerolog.Logger

	// Recipients are the public keys that files are encrypted to. Without any, files are plain.
	Recipients []age.Recipient

	// Held returns the calls under a legal hold, whose files stay. It may be nil.
	Held func() ([]string, error)

	// Lock is the lock of the process that this one replaces, from that process's Archive.Lock. The old process finishes
	// its own files. If Lock is nil, Open locks the directory.
	Lock *os.File
}

// Archive is a directory with recordings. Its methods may be called from any goroutine.
type Archive struct {
	// Constant.
	cfg     Config
	dir     *directory
	writers []*writer
	create  func(name string) (medium, error) // creates a file
	cancel  context.CancelFunc                // stops the purging
	running sync.WaitGroup
}

const purgeEvery = time.Hour

// Open creates the directory if it is missing, finishes the files of a killed process, removes old files, and starts
// the writers. The error is ErrLocked or a system error.
func Open(cfg Config) (*Archive, error) {
	a := &Archive{cfg: cfg, dir: &directory{name: cfg.Dir, given: cfg.Lock}}
	if err := a.claim(); err != nil {
		return nil, fmt.Errorf("recordings in %s: %w", cfg.Dir, err)
	}
	for range writers {
		w := newWriter()
		a.writers = append(a.writers, w)
		a.running.Go(func() { w.run(a.serve) })
	}
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(context.Background())
	a.running.Go(func() { a.purgeHourly(ctx) })
	return a, nil
}

func (a *Archive) claim() error {
	if err := a.dir.open(); err != nil {
		return err
	}
	a.create = a.dir.create
	if a.cfg.Lock != nil { // the old process was not killed; scanning all files would hold up the calls for long
		return nil
	}
	finished, err := a.finishLeftovers()
	if err != nil {
		return errors.Join(err, a.dir.close())
	}
	if finished > 0 {
		a.cfg.Log.Warn().Int("files", finished).Msg("finished the recordings of a crashed process")
	}
	return nil
}

// Lock returns the lock of the directory, for the process that replaces this one. It returns nil if the directory is
// gone. The archive still owns the lock.
func (a *Archive) Lock() *os.File {
	a.dir.mu.Lock()
	defer a.dir.mu.Unlock()
	return a.dir.lock
}

// Record starts a recording in all formats of the archive. It does not touch the disk: disk errors appear later in
// Recorder.Files.
func (a *Archive) Record(c Call) (*Recorder, error) {
	r := &Recorder{
		intake: intake{began: time.Now(), ring: newRing(ringSize)}, call: c, done: make(chan struct{}),
		w: slices.MinFunc(a.writers, func(x, y *writer) int { return x.load() - y.load() }),
	}
	for side := range c.Payloads {
		r.payloads[side].Store(&c.Payloads[side])
	}
	for _, format := range a.cfg.Formats {
		ending := format
		if a.cfg.Recipients != nil {
			ending += sealedSuffix
		}
		f := File{Name: fileName(r.began, c.ID, c.Part, ending), Format: format, StartedAt: r.began}
		for side := range c.Payloads {
			if p := &c.Payloads[side]; format == FormatWAV && !p.decodable() && f.Err == "" {
				f.Name, f.EndedAt, f.Err = "", r.began, errCodec(p.OtherName).Error()
				a.cfg.Log.Warn().Str("call", c.ID).Str("format", format).Str("reason", f.Err).Msg("recording not started")
			}
		}
		r.files = append(r.files, f)
	}
	if !r.w.add(r) {
		return nil, errClosed
	}
	return r, nil
}

// OpenFile opens a finished recording by its File.Name. For any other name the error is fs.ErrNotExist.
func (a *Archive) OpenFile(name string) (*os.File, error) {
	if !namePattern.MatchString(name) {
		return nil, fs.ErrNotExist
	}
	f, err := a.dir.files().Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fs.ErrNotExist, f.Close())
	}
	return f, nil
}

// Remove removes a finished recording by its File.Name, and reports whether it was there.
func (a *Archive) Remove(name string) (was bool, err error) {
	if !namePattern.MatchString(name) {
		return false, nil
	}
	if err := a.dir.files().Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	return false, nil
}

// Finished returns the size in bytes of a finished recording, and the time when it was last written. Its errors are
// those of OpenFile.
func (a *Archive) Finished(name string) (bytes int64, written time.Time, err error) {
	f, err := a.OpenFile(name)
	if err != nil {
		return 0, time.Time{}, err
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, time.Time{}, err
	}
	return info.Size(), info.ModTime(), nil
}

// Close stops all recordings and waits until they are written. If ctx ends first, it returns ctx's error, and the next
// process finishes the remaining files.
func (a *Archive) Close(ctx context.Context) error {
	a.cancel()
	for _, w := range a.writers {
		w.close()
	}
	written := make(chan struct{})
	go func() {
		a.running.Wait()
		close(written)
	}()
	select {
	case <-written:
		return a.dir.close()
	case <-ctx.Done():
		return fmt.Errorf("recordings not written: %w", ctx.Err())
	}
}

// purgeHourly removes old files now and every hour, until ctx ends.
func (a *Archive) purgeHourly(ctx context.Context) {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		removed, err := a.purge(ctx, time.Now().Add(-a.cfg.Keep))
		if err != nil && ctx.Err() == nil {
			a.cfg.Log.Warn().Err(err).Msg("old recordings not removed")
		}
		if removed > 0 {
			a.cfg.Log.Info().Int("files", removed).Msg("old recordings removed")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// purge removes recordings that were last written before the given time, and then the directories of days that are
// empty. Other files stay.
func (a *Archive) purge(ctx context.Context, before time.Time) (removed int, err error) {
	defer processors.Lend()()
	var days, kept []string
	if a.cfg.Held != nil {
		if kept, err = a.cfg.Held(); err != nil {
			return 0, fmt.Errorf("legal holds: %w", err)
		}
	}
	err = fs.WalkDir(a.dir.files().FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // another process removed it
			return nil
		case err != nil:
			return err
		case d.IsDir() && dayPattern.MatchString(name):
			days = append(days, name)
		case namePattern.MatchString(name):
			gone, err := a.removeOld(name, d, before, kept)
			if gone {
				removed++
			}
			return err
		}
		return nil
	})
	today := time.Now().UTC()
	for _, day := range days {
		// No new files are created in a directory that old.
		if at, bad := time.Parse("2006/01/02", day); bad == nil && today.Sub(at) > 48*time.Hour {
			a.removeEmpty(day)
		}
	}
	return removed, err
}

func (a *Archive) removeOld(name string, d fs.DirEntry, before time.Time, kept []string) (gone bool, err error) {
	info, err := d.Info()
	isHeld := func() bool {
		return slices.ContainsFunc(kept, func(id string) bool { return strings.Contains(name, id) })
	}
	if err == nil && (!info.ModTime().Before(before) || isHeld()) {
		return false, nil
	}
	if err == nil {
		err = a.dir.files().Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// removeEmpty removes the directory of a day, its month and its year if they are empty.
func (a *Archive) removeEmpty(day string) {
	for name := day; name != ""; {
		if a.dir.files().Remove(name) != nil {
			return
		}
		i := strings.LastIndexByte(name, '/')
		name = name[:max(i, 0)]
	}
}
