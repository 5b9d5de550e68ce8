package node

import (
	"context"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/b2bua/ladder"
	"flowbridge/config"
	"flowbridge/store"
)

// laddersSize is the size of their file at which the oldest ladders go.
const laddersSize = 2e9

// openLadders opens the file of the ladders, if they are kept. The node goes on without it.
func (n *Node) openLadders(ctx context.Context, cfg *config.Store) {
	if cfg.Ladders <= 0 {
		return
	}
	at := store.LaddersPath(cfg.Path)
	kept, setAside, err := store.OpenLadders(ctx, store.LadderOptions{Path: at, Keep: cfg.Ladders, MaxSize: laddersSize})
	if setAside != "" {
		n.log.Warn().Str("file", at).Str("set_aside", setAside).
			Msg("the file of the ladders was damaged: it is set aside, and a new one begun")
	}
	if err != nil {
		n.log.Warn().Err(err).Msg("calls go on without ladders")
	}
	n.ladders = kept
	n.add(part{close: kept.Close})
}

// collects says what becomes of what is said in calls.
func (n *Node) collects() ladder.Options {
	var o ladder.Options
	for _, p := range n.parts {
		if p.follower != nil {
			o.Followers = append(o.Followers, p.follower)
		}
	}
	if n.ladders != nil {
		o.Keep = func(c *ladder.Call) { n.ladders.Put(c) }
	}
	return o
}

// Ladder is what was said in a call, live or over. A NoLadderError says why there is none.
func (n *Node) Ladder(ctx context.Context, id string) (*ladder.Ladder, error) {
	if n.ladders == nil {
		return nil, &admin.NoLadderError{Reason: "no ladders are kept", Remedy: "write store: {ladders: 7d} and restart"}
	}
	if n.server != nil { // else it stands by
		if c := n.server.Ladder(id); c != nil {
			if l, err := c.Ladder(); l != nil || err != nil {
				return l, err
			}
		}
	}
	data, err := n.ladders.Get(ctx, id)
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

// apiLadders are the ladders for the admin API.
type apiLadders struct{ node *Node }

// Ladder gives a ladder for the API.
func (a apiLadders) Ladder(ctx context.Context, id string) (admin.Ladder, error) {
	l, err := a.node.Ladder(ctx, id)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// watchLadders logs when ladders can't be written, and when they can again.
type watchLadders struct {
	broken  error
	dropped int64
}

// look has a look at the file of the ladders; nil: there is none.
func (w *watchLadders) look(file *store.Ladders, log *zerolog.Logger) {
	if file == nil {
		return
	}
	err, dropped := file.Err(), file.Dropped()
	switch {
	case err != nil && (w.broken == nil || err.Error() != w.broken.Error()):
		log.Warn().Err(err).Msg("ladders can't be written: calls go on without")
	case err == nil && w.broken != nil:
		log.Info().Msg("ladders are written again")
	}
	if dropped > w.dropped {
		log.Warn().Int64("count", dropped-w.dropped).
			Msg("ladders dropped: the disk is too slow for them, or their file not usable")
	}
	w.broken, w.dropped = err, dropped
}
