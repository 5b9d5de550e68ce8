package node

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"flowbridge/config"
	"flowbridge/media/recording"
)

// openArchive opens the directory of recordings, if recording is configured. After a kill it adds the recordings that
// are finished now to the calls' records.
func (n *Node) openArchive(ctx context.Context, cfg config.Recording) (err error) {
	if cfg.Path == "" {
		return nil
	}
	n.archive, err = recording.Open(recording.Config{
		Dir: cfg.Path, Formats: cfg.Formats, Keep: cfg.Keep, MaxSize: recordingSize, Log: n.log,
		Recipients: cfg.Recipients, Lock: n.before.file(partArchive), Held: n.eraser.held,
	})
	switch {
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.ENOSPC):
		n.log.Error().Err(err).Msg("can't write to recording.path: calls continue without recordings")
		return nil
	case errors.Is(err, recording.ErrLocked):
		return fmt.Errorf("recording.path: %w; stop that one, or give this one a directory of its own", err)
	case err != nil:
		return fmt.Errorf("recording.path: %w; check the directory and its rights", err)
	}
	n.add(part{close: func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return n.archive.Close(ctx)
	}})
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if err := n.store.SettleRecordings(ctx, n.archive.Finished); err != nil {
		n.log.Warn().Err(err).Msg("records of a crashed process lack the end of their recordings")
	}
	return nil
}
