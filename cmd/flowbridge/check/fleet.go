package check

import (
	"context"
	"errors"

	"flowbridge/config"
	"flowbridge/store/fleet"
)

// fleet tries the database that nodes share. It does not change the database.
func (p prober) fleet(ctx context.Context, cfg *config.Fleet) finding {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	f := finding{Target: "fleet", Step: "database"}
	detail, err := fleet.Check(ctx, cfg.DSN.Reveal())
	if away, ok := errors.AsType[*fleet.AwayError](err); ok {
		f.Detail, f.Remedy = away.Problem, away.Remedy
		return f
	} else if err != nil {
		f.Detail = err.Error()
		return f
	}
	f.OK, f.Detail = true, detail
	return f
}
