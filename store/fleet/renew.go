package fleet

import (
	"context"
	"errors"
	"time"
)

// runRenew renews the leases until ctx ends.
func (f *Fleet) runRenew(ctx context.Context) {
	var short <-chan struct{}
	if f.admission != nil {
		short = f.admission.Short()
	}
	for wait := time.Duration(0); ; {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-short:
			timer.Stop()
			sleep(ctx, shortEvery)
		case <-ctx.Done():
			timer.Stop()
			return
		}
		again, err := f.renewOnce(ctx)
		switch wait = renewEvery; {
		case ctx.Err() != nil:
			return
		case err == nil && again:
			wait = shortEvery
		}
	}
}

// renewOnce renews all leases. again asks for another one soon.
func (f *Fleet) renewOnce(ctx context.Context) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	fail := func(err error) (bool, error) {
		if err = explain(err); !errors.Is(ctx.Err(), context.Canceled) { // else the node stops
			f.renewOutage.begin(err)
		}
		return false, err
	}
	if err := f.ready(ctx); err != nil {
		return fail(err)
	}
	var demands []Demand
	if f.admission != nil {
		demands = f.admission.Demands()
	}
	x := f.permits.begin(demands, time.Now())
	seen, err := f.member.renew(ctx, f.pool,
		func(seen found) []order { return x.decide(f.member.id, seen.leases, seen.nodes, seen.known) })
	if err != nil {
		f.unready()
		return fail(err)
	}
	f.renewOutage.end()
	if seen.stolen {
		f.log.Warn().Str("node", f.member.name).Msg("another process has a copy of this node's database: each needs its own")
		return true, nil
	}
	f.noticeTwin(seen.twin)
	quotas, again := x.finish(time.Now())
	if f.admission != nil {
		f.admission.Allot(quotas)
	}
	f.renewed.Store(new(time.Now()))
	if int(f.nodes.Swap(int64(quotas.Nodes))) != quotas.Nodes {
		f.remember(ctx, quotas.Nodes)
	}
	return again, nil
}

// noticeTwin warns of another node of this name, once each time that it appears.
func (f *Fleet) noticeTwin(id string) {
	if id != "" && f.twin == "" {
		f.log.Warn().Str("node", f.member.name).Str("other", id).Msg("another node has this node's name: set fleet.node")
	}
	f.twin = id
}
