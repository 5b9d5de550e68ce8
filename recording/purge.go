package recording

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"
)

// tend removes old files at once and then every hour, until ctx ends.
func (a *Archive) tend(ctx context.Context) {
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
