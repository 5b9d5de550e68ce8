package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/b2bua"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/hooks"
	"flowbridge/media"
	"flowbridge/recording"
	"flowbridge/store"
)

// node is a running B2BUA with everything that belongs to it.
type node struct {
	cfg     *config.Config
	log     zerolog.Logger
	store   *store.Store
	engine  *media.Engine
	archive *recording.Archive // nil: nothing is recorded
	server  *b2bua.Server
	api     *http.Server
	apiAt   net.Addr

	preparers  map[string]peers.Preparer // by target
	inForce    atomic.Pointer[inForce]
	hookServer *hooks.Server // nil: no hook is on
	redirects  *redirects
	followed   *followed // nil: no end of a redirected call is told
	host       string    // in records of those

	tended chan struct{} // closed when nobody looks after the store any more
	stop   context.CancelFunc
}

// inForce is the configuration that new calls use.
type inForce struct {
	cfg       *config.Config
	preparers map[string]peers.Preparer // by target
}

// wiring is what the demo listens with, and what serve is operated by.
type wiring struct {
	tap       transport.Tap
	transport func(http.RoundTripper) http.RoundTripper // around the API client's
	operator  admin.Operator                            // nil: nobody
}

// startNode builds everything a configuration describes, in the order in
// which it depends on each other.
func startNode(ctx context.Context, cfg *config.Config, log zerolog.Logger, h wiring) (*node, error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	n := &node{cfg: cfg, log: log, stop: stop, redirects: newRedirects()}
	if err := n.start(ctx, h); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *node) start(ctx context.Context, h wiring) error {
	var err error
	if n.store, err = store.Open(ctx, n.cfg.Store.Path); err != nil {
		return err
	}
	if k := n.store.Interrupted(); k > 0 {
		n.log.Warn().Int("calls", k).Msg("calls of a killed process closed as interrupted")
	}
	n.engine, err = media.Open(mediaConfig(&n.cfg.Media))
	if err != nil {
		return fmt.Errorf("media.listen or media.ports: %w", err)
	}
	if n.archive, err = openArchive(n.cfg.Recording, n.log); err != nil {
		return err
	}
	n.settleRecordings(ctx)
	if n.preparers, err = preparers(n.cfg, h.transport); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	n.server, err = b2bua.NewServer(b2bua.Options{
		Config: n.cfg, Relay: b2bua.EngineRelay{Engine: n.engine}, Sink: n.store, Preparers: n.preparers,
		Key: n.store.Key(), Node: host, Log: n.log, Tap: h.tap,
		Archive: n.archive,
	})
	if err != nil {
		return err
	}
	n.inForce.Store(&inForce{n.cfg, n.preparers})
	n.host = host
	n.followRedirects()
	if n.hookServer, err = n.serveHooks(ctx); err != nil {
		return err
	}
	n.tended = make(chan struct{})
	go n.tend(ctx)
	return n.serveAPI(ctx, h.operator)
}

// mediaWorkers is how many threads relay on a machine with so many processors. One
// is full at some 1,500 calls; more than are needed cost wake-ups.
func mediaWorkers(processors int) int { return max(processors/4, 1) }

// mediaConfig is what a configuration makes the media engine of.
func mediaConfig(m *config.Media) media.Config {
	c := media.Config{Workers: mediaWorkers(runtime.NumCPU()), PortLow: m.PortLow, PortHigh: m.PortHigh, Timeout: m.Timeout, StartTimeout: m.StartTimeout, DSCP: m.DSCP}
	for _, l := range m.Listen {
		c.Listen = append(c.Listen, l.Addr)
		if l.Advertise.IsValid() {
			c.Advertised = append(c.Advertised, l.Advertise)
		}
	}
	if a, err := netip.ParseAddr(m.Advertise); err == nil { // else there is none
		c.Advertised = append(c.Advertised, a)
	}
	return c
}

func (n *node) serveAPI(ctx context.Context, op admin.Operator) error {
	addr := n.cfg.Admin.Listen.String()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("admin.listen: %w; another process may have the port, see ss -ltnp", err)
	}
	n.apiAt = listener.Addr()
	options := admin.Options{
		Calls: liveCalls{n.server}, Records: n.store, Token: n.cfg.Admin.Token.Reveal(), Log: n.log, Operator: op,
		Control: control{n.server},
		Ready: func() error {
			if n.server.Draining() {
				return errors.New("draining")
			}
			return n.store.Err()
		},
	}
	if n.archive != nil {
		options.Recordings = n.archive
	}
	n.api = admin.Server(addr, admin.New(options), n.log)
	go func() {
		if err := n.api.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error().Err(err).Msg("admin API ended")
		}
	}()
	return nil
}

// How often the store is told that the process lives, and how often records
// are looked through for old ones.
const (
	aliveEvery = 5 * time.Second
	purgeEvery = time.Hour
)

// tend looks after the store: it is told that the process lives, old records
// are removed, and a disk that does not take records is complained about.
func (n *node) tend(ctx context.Context) {
	defer close(n.tended)
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	var purged time.Time
	var broken error
	for {
		now := time.Now()
		if now.Sub(purged) >= purgeEvery {
			purged = now
			n.purge(ctx, now)
		}
		if n.followed != nil {
			n.followed.tend(now)
		}
		bounded, cancel := context.WithTimeout(ctx, aliveEvery)
		err := n.store.Alive(bounded, now)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.log.Error().Err(err).Int("calls", n.server.Unwritten()).Msg("records can't be written: they wait in memory")
		case broken != nil:
			n.log.Info().Msg("records are written again")
		}
		broken = err
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *node) purge(ctx context.Context, now time.Time) {
	gone, err := n.store.Purge(ctx, now.Add(-n.cfg.Store.Keep))
	switch {
	case ctx.Err() != nil:
	case err != nil:
		n.log.Warn().Err(err).Msg("old records not removed")
	case gone > 0:
		n.log.Info().Int64("records", gone).Msg("old records removed")
	}
}

// alive says whether the process does its work: the store answers, or is known
// to be broken, and calls are handled. A disk that is full is no reason to be
// killed: calls go on.
func (n *node) alive(ctx context.Context) error {
	if err := n.store.Alive(ctx, time.Now()); errors.Is(err, context.DeadlineExceeded) && n.store.Err() == nil {
		return fmt.Errorf("the store does not answer: %w", err)
	}
	return n.server.Responsive(ctx)
}

// How long close waits for records to be written, and then for peers to
// answer what they were sent: a BYE that is lost is sent again twice in that.
const (
	closeTimeout = 5 * time.Second
	legsTimeout  = 2 * time.Second
)

// close ends live calls with BYE, writes their records and stops everything.
func (n *node) close() error {
	n.stop()
	var errs []error
	if n.server != nil {
		n.server.Drain()
		n.server.HangupAll()
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		errs = append(errs, n.server.WaitIdle(ctx))
		cancel()
		ctx, cancel = context.WithTimeout(context.Background(), legsTimeout)
		if n.server.WaitLegs(ctx) != nil {
			n.log.Info().Msg("stopping although peers have not answered")
		}
		cancel()
	}
	if n.api != nil {
		errs = append(errs, n.api.Close())
	}
	if n.hookServer != nil {
		errs = append(errs, n.hookServer.Close())
	}
	if n.followed != nil {
		n.followed.close()
	}
	if n.server != nil {
		errs = append(errs, n.server.Close())
	}
	if n.engine != nil {
		errs = append(errs, n.engine.Close())
	}
	if n.archive != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		errs = append(errs, n.archive.Close(ctx))
		cancel()
	}
	if n.tended != nil {
		<-n.tended
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// liveCalls is the server as the admin API sees it.
type liveCalls struct{ server *b2bua.Server }

func (l liveCalls) Live(ctx context.Context) []admin.Call {
	live := l.server.Live(ctx)
	calls := make([]admin.Call, 0, len(live))
	for _, c := range live {
		calls = append(calls, callOf(c))
	}
	return calls
}

func (l liveCalls) Find(ctx context.Context, id string) (admin.Call, bool) {
	c, ok := l.server.Find(ctx, id)
	return callOf(c), ok
}

func callOf(c b2bua.LiveCall) admin.Call {
	call := admin.Call{Record: c.Record, Phase: c.Phase, Recording: c.Recording, Masked: c.Masked}
	for side, name := range []string{"a", "b"} {
		if c.Held[side] {
			call.Held = append(call.Held, name)
		}
		if c.Hears[side] != "" {
			if call.Hears == nil {
				call.Hears = map[string]string{}
			}
			call.Hears[name] = c.Hears[side]
		}
	}
	return call
}
