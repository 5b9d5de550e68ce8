package check

import (
	"context"
	"errors"
	"fmt"

	"flowbridge/config"
	"flowbridge/internal/acme"
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

// authority asks the CA of sip.tls.acme for its directory, which each order begins with. It orders nothing.
func (p prober) authority(ctx context.Context, cfg *config.ACME) finding {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	f := finding{Target: "sip.tls.acme", Step: "directory", OK: true, Detail: cfg.Directory + " answers"}
	if err := acme.Ask(ctx, acme.Config{Directory: cfg.Directory, CA: cfg.CA}); err != nil {
		f.OK, f.Detail = false, fmt.Sprintf("%s: %v", cfg.Directory, err)
		f.Remedy = "without it there is no new certificate: check the URL, acme.ca, and the way from here"
	}
	return f
}
