package node

import (
	"context"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/b2bua"
	"flowbridge/b2bua/ladder"
	"flowbridge/config"
	"flowbridge/store"
	"flowbridge/telemetry"
)

// laddersSize is the size of the file at which the oldest ladders are removed.
const laddersSize = 2e9

// ladders provides the ladders of calls, live or over.
type ladders struct {
	log    zerolog.Logger
	kept   *store.Ladders // nil if ladders are not kept
	server *b2bua.Server  // nil while the node stands by

	// The last logged state of the file.
	broken  error
	dropped int64
}

// open opens the file of the ladders, if they are kept. After an error the node continues without
// ladders.
func (l *ladders) open(ctx context.Context, cfg *config.Store, held func() ([]string, error)) {
	if cfg.Ladders <= 0 {
		return
	}
	at := store.LaddersPath(cfg.Path)
	kept, setAside, err := store.OpenLadders(ctx, store.LadderOptions{
		Path: at, Keep: cfg.Ladders, MaxSize: laddersSize, Held: held,
	})
	if setAside != "" {
		l.log.Warn().Str("file", at).Str("set_aside", setAside).
			Msg("the file of the ladders was damaged: it is set aside, and a new one begun")
	}
	if err != nil {
		l.log.Warn().Err(err).Msg("calls continue without ladders")
	}
	l.kept = kept
}

// collects returns the options for collecting ladders.
func (l *ladders) collects(parts []part) (o ladder.Options) {
	for _, p := range parts {
		if p.follower != nil {
			o.Followers = append(o.Followers, p.follower)
		}
	}
	if l.kept != nil {
		o.Keep = func(c *ladder.Call) { l.kept.Put(c) }
	}
	return o
}

// of returns the ladder of a call. A NoLadderError says why there is none.
func (l *ladders) of(ctx context.Context, id string) (*ladder.Ladder, error) {
	if l.kept == nil {
		return nil, &admin.NoLadderError{Reason: "no ladders are kept", Remedy: "write store: {ladders: 7d} and restart"}
	}
	if l.server != nil {
		if c := l.server.Ladder(id); c != nil {
			if said, err := c.Ladder(); said != nil || err != nil {
				return said, err
			}
		}
	}
	data, err := l.kept.Get(ctx, id)
	switch {
	case err != nil && ctx.Err() == nil:
		return nil, &admin.NoLadderError{Reason: "the file of the ladders can't be read", Remedy: "see the log"}
	case err != nil:
		return nil, err
	case data == nil:
		return nil, &admin.NoLadderError{Reason: "this call has no ladder: it is too old, ended in a kill of the process, or was redirected", Remedy: "look at its record: /api/calls/" + id}
	}
	return ladder.Decode(data)
}

// Ladder returns a ladder for the admin API.
func (l *ladders) Ladder(ctx context.Context, id string) (admin.Ladder, error) {
	said, err := l.of(ctx, id)
	if err != nil {
		return nil, err
	}
	return said, nil
}

// look logs when ladders can no longer be written, and when they can be written again. Only one
// goroutine calls it.
func (l *ladders) look() {
	if l.kept == nil {
		return
	}
	err, dropped := l.kept.Err(), l.kept.Dropped()
	switch {
	case err != nil && (l.broken == nil || err.Error() != l.broken.Error()):
		l.log.Warn().Err(err).Msg("can't write ladders: calls continue without them")
	case err == nil && l.broken != nil:
		l.log.Info().Msg("writing ladders again")
	}
	if dropped > l.dropped {
		l.log.Warn().Int64("count", dropped-l.dropped).
			Msg("ladders dropped: the disk is too slow for them, or their file not usable")
	}
	l.broken, l.dropped = err, dropped
}

func (l *ladders) gauges(add telemetry.Add) {
	add("ladders_dropped_total", "Ladders that were left out because the disk was too slow or broken.",
		float64(l.kept.Dropped()))
	add("ladders_broken", "Whether the last write of ladders failed.", telemetry.OneIf(l.kept.Err() != nil))
}
