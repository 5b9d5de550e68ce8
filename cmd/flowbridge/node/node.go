package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/b2bua"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/hooks"
	"flowbridge/media"
	"flowbridge/recording"
	"flowbridge/store"
)

// Node is a running B2BUA with all its parts.
type Node struct {
	log     zerolog.Logger
	store   *store.Store
	engine  *media.Engine
	archive *recording.Archive // nil: nothing is recorded
	server  *b2bua.Server
	apiAt   net.Addr

	transport  http.RoundTripper // of the preparers; nil: their own
	inForce    atomic.Pointer[inForce]
	hookServer *hooks.Server // nil: no hook is on
	redirects  *b2bua.Redirects

	stop    context.CancelFunc
	closers []func() error // of the parts, in the order of their start
}

// Options are what only some nodes have.
type Options struct {
	Trace    *transport.Trace // notes SIP and the requests to platforms' APIs; nil: nothing is noted
	operator admin.Operator   // nil: nobody
}

// Start starts a node.
func Start(ctx context.Context, cfg *config.Config, log zerolog.Logger, o Options) (*Node, error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	n := &Node{log: log, stop: stop}
	if err := n.start(ctx, cfg, o); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, cfg *config.Config, o Options) error {
	var tap transport.Tap // nil without a trace, which a nil *Trace would not be
	if o.Trace != nil {
		tap, n.transport = o.Trace, tracedAPI{http.DefaultTransport, o.Trace}
	}
	current, err := newInForce(cfg, &inForce{}, n.transport)
	if err != nil {
		return err
	}
	n.inForce.Store(current)
	if n.store, err = store.Open(ctx, cfg.Store.Path); err != nil {
		return err
	}
	n.onClose(n.store.Close)
	if k := n.store.Interrupted(); k > 0 {
		n.log.Warn().Int("calls", k).Msg("calls of a killed process closed as interrupted")
	}
	n.engine, err = media.Open(mediaConfig(&cfg.Media))
	if err != nil {
		return fmt.Errorf("media.listen or media.ports: %w", err)
	}
	n.onClose(n.engine.Close)
	if err = n.openArchive(ctx, cfg.Recording); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	n.server, err = b2bua.NewServer(b2bua.Options{
		Config: cfg, Relay: b2bua.EngineRelay{Engine: n.engine}, Sink: n.store, Preparers: current.preparers,
		Key: n.store.Key(), Node: host, Log: n.log, Tap: tap,
		Archive: n.archive,
	})
	if err != nil {
		return err
	}
	n.onClose(n.server.Close)
	n.redirects = n.server.NewRedirects(n.redirectOptions())
	n.onClose(func() error { n.redirects.Close(); return nil })
	if n.hookServer, err = n.serveHooks(ctx); err != nil {
		return err
	}
	if n.hookServer != nil {
		n.onClose(n.hookServer.Close)
	}
	tended := make(chan struct{})
	go func() { defer close(tended); n.tend(ctx) }()
	n.onClose(func() error { <-tended; return nil })
	return n.serveAPI(ctx, o.operator)
}

// openArchive opens the directory of recordings, if recording is configured, and completes the records of a killed process
// with the recordings that are finished now.
func (n *Node) openArchive(ctx context.Context, cfg config.Recording) (err error) {
	if cfg.Path == "" {
		return nil
	}
	n.archive, err = recording.Open(recording.Config{
		Dir: cfg.Path, Formats: cfg.Formats, Keep: cfg.Keep, MaxSize: cfg.MaxSize, Log: n.log,
	})
	switch {
	case errors.Is(err, recording.ErrLocked):
		return fmt.Errorf("recording.path: %w; stop that one, or give this one a directory of its own", err)
	case err != nil:
		return fmt.Errorf("recording.path: %w; check the directory and its rights", err)
	}
	n.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return n.archive.Close(ctx)
	})
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if err := n.store.SettleRecordings(ctx, n.archive.Finished); err != nil {
		n.log.Warn().Err(err).Msg("records of a killed process do not say how their recordings ended")
	}
	return nil
}

// mediaWorkers is the number of relay threads for a number of processors. A thread can carry some 1,500 calls; idle
// ones cost wake-ups.
func mediaWorkers(processors int) int { return max(processors/4, 1) }

// mediaConfig is the configuration of the media engine.
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

// aliveEvery is how often the store's sign of life is renewed, purgeEvery how often old records are removed.
const (
	aliveEvery = 5 * time.Second
	purgeEvery = time.Hour
)

// tend renews the sign of life in the store, removes old records, and logs when records can't be written.
func (n *Node) tend(ctx context.Context) {
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
		n.redirects.Tend(now)
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

func (n *Node) purge(ctx context.Context, now time.Time) {
	gone, err := n.store.Purge(ctx, now.Add(-n.config().Store.Keep))
	switch {
	case ctx.Err() != nil:
	case err != nil:
		n.log.Warn().Err(err).Msg("old records not removed")
	case gone > 0:
		n.log.Info().Int64("records", gone).Msg("old records removed")
	}
}

// alive is an error when the store or the calls hang. A store that is known to be broken, for example by a full disk,
// is none: calls go on.
func (n *Node) alive(ctx context.Context) error {
	if err := n.store.Alive(ctx, time.Now()); errors.Is(err, context.DeadlineExceeded) && n.store.Err() == nil {
		return fmt.Errorf("the store does not answer: %w", err)
	}
	return n.server.Responsive(ctx)
}

// closeTimeout is how long Close waits for records to be written, legsTimeout how long for answers of peers: enough
// for a lost BYE to be repeated twice.
const (
	closeTimeout = 5 * time.Second
	legsTimeout  = 2 * time.Second
)

// onClose has Close call f.
func (n *Node) onClose(f func() error) { n.closers = append(n.closers, f) }

// Close ends live calls with BYE, writes their records and stops all parts.
func (n *Node) Close() error {
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
	for _, f := range slices.Backward(n.closers) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// config is the configuration in force.
func (n *Node) config() *config.Config { return n.inForce.Load().cfg }

// APIAddr is where the admin API listens.
func (n *Node) APIAddr() net.Addr { return n.apiAt }

// SIPAddr is the first address that SIP listens on.
func (n *Node) SIPAddr() netip.AddrPort { return n.server.Listeners()[0].AddrPort }

// WaitIdle waits until no call is left.
func (n *Node) WaitIdle(ctx context.Context) error { return n.server.WaitIdle(ctx) }

// RecordOf is the record of the call that came in with a Call-ID, once it is written.
func (n *Node) RecordOf(ctx context.Context, sipCallID string) (store.Record, error) {
	for cursor := ""; ; {
		records, next, err := n.store.List(ctx, store.Filter{Limit: store.MaxLimit, Cursor: cursor})
		if err != nil {
			return store.Record{}, err
		}
		for _, r := range records {
			if r.SIPCallID == sipCallID {
				return r, nil
			}
		}
		if cursor = next; next == "" {
			return store.Record{}, fmt.Errorf("call %s has no record", sipCallID)
		}
	}
}
