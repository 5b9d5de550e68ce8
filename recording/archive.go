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

	"github.com/rs/zerolog"
)

// Errors that a caller may want to tell apart.
var (
	// errClosed: the archive is closed.
	errClosed = errors.New("recordings closed")

	// ErrLocked: another process records into the directory.
	ErrLocked = errors.New("in use by another process")
)

// Config is what an archive is opened with.
type Config struct {
	Dir     string        // made where it is missing, for us alone
	Formats []string      // FormatWAV and FormatPcapng, each once at most
	Keep    time.Duration // how long a file stays after it was last written
	MaxSize int64         // of one file, in bytes
	Log     zerolog.Logger
}

// Archive is a directory with recordings. Its methods may be called from any
// goroutine.
type Archive struct {
	// Constant.
	cfg     Config
	dir     *directory
	writers []*writer
	create  func(name string) (medium, error) // of a file
	cancel  context.CancelFunc                // ends what purges
	running sync.WaitGroup
}

// How often it is looked for files that are too old.
const purgeEvery = time.Hour

// Open makes the directory where it is missing, finishes the files of a process
// that was killed, removes old ones, and starts the writers. The error is ErrLocked,
// or what the system said.
func Open(cfg Config) (*Archive, error) {
	a := &Archive{cfg: cfg, dir: &directory{name: cfg.Dir}}
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

// claim takes possession of the directory.
func (a *Archive) claim() error {
	if err := a.dir.open(); err != nil {
		return err
	}
	a.create = a.dir.create
	finished, err := a.finishLeftovers()
	if err != nil {
		return errors.Join(err, a.dir.close())
	}
	if finished > 0 {
		a.cfg.Log.Warn().Int("files", finished).Msg("recordings of a killed process finished")
	}
	return nil
}

// Record begins a recording in all formats of the archive. It does not touch the
// disk: what that has to say is in the recorder's Files later. The error is
// errClosed.
func (a *Archive) Record(c Call) (*Recorder, error) {
	r := &Recorder{
		call: c, began: time.Now(), ring: newRing(ringSize), done: make(chan struct{}),
		w: slices.MinFunc(a.writers, func(x, y *writer) int { return x.load() - y.load() }),
	}
	for side := range c.Payloads {
		r.payloads[side].Store(&c.Payloads[side])
	}
	for _, format := range a.cfg.Formats {
		f := File{Name: fileName(r.began, c.ID, c.Part, format), Format: format, StartedAt: r.began}
		for side := range c.Payloads {
			if p := &c.Payloads[side]; format == FormatWAV && !p.decodable() && f.Err == "" {
				f.Name, f.EndedAt, f.Err = "", r.began, errCodec(p.OtherName).Error()
				a.cfg.Log.Warn().Str("call", c.ID).Str("format", format).Str("reason", f.Err).Msg("recording not begun")
			}
		}
		r.files = append(r.files, f)
	}
	if !r.w.add(r) {
		return nil, errClosed
	}
	return r, nil
}

// OpenFile opens a finished recording by the name that File.Name has. The error is
// fs.ErrNotExist for every other name too.
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

// Finished gives the size in bytes of a finished recording, and when it was last
// written. The errors are those of OpenFile.
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

// Close stops all recordings and waits until they are written, at most until ctx
// ends: then it gives that one's error, and what is left is finished by the next
// process.
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

// purgeHourly removes old files at once and then every hour, until ctx ends.
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

// purge removes the recordings that were last written before a moment, and
// directories of days that are empty then. What is not ours stays.
func (a *Archive) purge(ctx context.Context, before time.Time) (removed int, err error) {
	var days []string
	err = fs.WalkDir(a.dir.files().FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // somebody was faster
			return nil
		case err != nil:
			return err
		case d.IsDir() && dayPattern.MatchString(name):
			days = append(days, name)
		case namePattern.MatchString(name):
			gone, err := a.removeOld(name, d, before)
			if gone {
				removed++
			}
			return err
		}
		return nil
	})
	today := time.Now().UTC()
	for _, day := range days {
		if at, bad := time.Parse("2006/01/02", day); bad == nil && today.Sub(at) > 48*time.Hour { // nobody begins a file there
			a.removeEmpty(day)
		}
	}
	return removed, err
}

// removeOld removes a file that was last written before a moment.
func (a *Archive) removeOld(name string, d fs.DirEntry, before time.Time) (gone bool, err error) {
	info, err := d.Info()
	if err == nil && !info.ModTime().Before(before) {
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

// removeEmpty removes the directory of a day, its month and its year, those that
// are empty.
func (a *Archive) removeEmpty(day string) {
	for name := day; name != ""; {
		if a.dir.files().Remove(name) != nil {
			return
		}
		i := strings.LastIndexByte(name, '/')
		name = name[:max(i, 0)]
	}
}
