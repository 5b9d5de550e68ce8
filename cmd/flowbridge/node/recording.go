package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/b2bua"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/recording"
)

// openArchive opens the directory of recordings. It gives nil if recording is not configured.
func openArchive(cfg config.Recording, log zerolog.Logger) (*recording.Archive, error) {
	if cfg.Path == "" {
		return nil, nil
	}
	a, err := recording.Open(recording.Config{
		Dir: cfg.Path, Formats: cfg.Formats, Keep: cfg.Keep, MaxSize: cfg.MaxSize, Log: log,
	})
	switch {
	case errors.Is(err, recording.ErrLocked):
		return nil, fmt.Errorf("recording.path: %w; stop that one, or give this one a directory of its own", err)
	case err != nil:
		return nil, fmt.Errorf("recording.path: %w; check the directory and its rights", err)
	}
	return a, nil
}

// settleRecordings completes the records of a killed process with the recordings that openArchive has finished.
func (n *Node) settleRecordings(ctx context.Context) {
	if n.archive == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if err := n.store.SettleRecordings(ctx, n.archive.Finished); err != nil {
		n.log.Warn().Err(err).Msg("records of a killed process do not say how their recordings ended")
	}
}

// control passes the admin API's orders to the server.
type control struct{ server *b2bua.Server }

func (c control) Order(ctx context.Context, id string, o admin.Order) (admin.Call, error) {
	what, ok := map[admin.Order]b2bua.Order{
		admin.OrderRecord: b2bua.OrderRecord, admin.OrderStop: b2bua.OrderStop, admin.OrderPause: b2bua.OrderPause,
		admin.OrderResume: b2bua.OrderResume, admin.OrderMask: b2bua.OrderMask, admin.OrderUnmask: b2bua.OrderUnmask,
	}[o]
	if !ok {
		return admin.Call{}, fmt.Errorf("unknown order %q", o)
	}
	return answered(c.server.Order(ctx, id, what))
}

func (c control) Play(ctx context.Context, id string, p admin.Sounding) (admin.Call, error) {
	side := media.SideA
	if p.Side == "b" {
		side = media.SideB
	}
	return answered(c.server.Play(ctx, id, b2bua.Sounding{Side: side, Sound: p.Sound, Loop: p.Loop}))
}

// answered is the admin API's form of an answer to an order.
func answered(live b2bua.LiveCall, err error) (admin.Call, error) {
	var refused *b2bua.OrderError
	switch {
	case errors.As(err, &refused):
		return admin.Call{}, &admin.RefusedError{Problem: refused.Problem, Remedy: refused.Remedy}
	case errors.Is(err, b2bua.ErrNoCall):
		return admin.Call{}, admin.ErrNoCall
	case err != nil:
		return admin.Call{}, err
	}
	return callOf(live), nil
}
