package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/b2bua"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/reach"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/follow"
	"flowbridge/cmd/flowbridge/node/resources"
	"flowbridge/cmd/flowbridge/node/watchdog"
	"flowbridge/config"
	"flowbridge/internal/httpd"
	"flowbridge/internal/periodic"
	"flowbridge/media/kernel"
	"flowbridge/media/recording"
	"flowbridge/platform/hooks"
	"flowbridge/store"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
	"flowbridge/store/webhook"
	"flowbridge/telemetry"
	"flowbridge/telemetry/live"
)

// Node is a running B2BUA with all its parts.
type Node struct {
	Options

	log       zerolog.Logger
	name      string // in records and to the fleet
	store     *store.Store
	rtp       rtp
	archive   *recording.Archive // nil if recording is off
	server    *b2bua.Server
	admission *peers.Admission // the server's
	fleet     *fleet.Fleet     // nil if the node is in no fleet
	seat      *seat            // nil if the node has no seat

	api      api
	pause    httpd.Pause // of the admin API and hooks
	standing sync.Mutex  // held while the node stands still
	tending  sync.Mutex  // held during periodic tasks

	ladders    ladders
	bots       bots
	browsers   browsers
	key        [32]byte // the secret behind what peers get from us, once the store is open
	inForce    atomic.Pointer[inForce]
	hookServer *hooks.Server // nil if all hooks are off
	hooks      *callHooks
	webhooks   *webhook.Sender
	receipts   receipts
	live       *live.Watcher
	dayFails   atomic.Bool // the last day could not be written
	metrics    *telemetry.Metrics
	figures    figures
	events     *admin.Events
	watchdog   *watchdog.Watchdog
	cpu        *resources.CPU
	requests   admin.Requests
	eraser     eraser
	tests      testCaller
	splits     splits
	troubles   troubles

	stop  context.CancelFunc
	parts []part // in the order of their start; closed in reverse; constant once the node runs
}

// part is a part of a node with its life cycle. A node opens its parts one after the other, begins them in that order,
// and closes them in reverse order. Unused fields of a part are nil.
type part struct {
	begin    func() // starts the work, once no other process serves
	gauges   func(telemetry.Add)
	watcher  watcher         // is told about calls
	follower ladder.Follower // gets the SIP of calls
	close    func() error
}

func (n *Node) add(p part) { n.parts = append(n.parts, p) }

// Options are the options of a node. The zero value is valid.
type Options struct {
	operator admin.Operator    // may be nil
	out      *Log              // if nil, its level can't be changed
	memory   *resources.Memory // if nil, memory is not watched
	before   *Predecessor      // the process that the node replaces, or nil

	// For a node with a seat: signals end a standby, and the functions are told about a standby and restart the process.
	signals   <-chan os.Signal
	standsBy  func(seat string)
	beginAnew func()
}

// Start starts a node.
func Start(ctx context.Context, cfg *config.Config, log zerolog.Logger, o Options) (*Node, error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	n := &Node{Options: o, log: log, stop: stop, rtp: rtp{log: log}, ladders: ladders{log: log}}
	n.figures.node, n.tests.node, n.eraser.Node, n.splits.node, n.troubles.node, n.browsers.node = n, n, n, n, n, n
	n.receipts.node, n.browsers.proof = n, rand.Text()
	n.figures.started = time.Now()
	n.splits.tried, n.splits.last = map[string]time.Time{}, map[string]follow.Last{}
	n.add(part{watcher: &n.splits})
	n.figures.sampled.Store(&sampled{})
	n.api.log, n.api.pause = log, &n.pause
	if n.memory != nil {
		n.add(part{gauges: n.memory.Gauges})
	}
	if n.out != nil {
		n.add(part{gauges: n.out.gauges})
	}
	if n.before != nil {
		return n, n.replace(ctx, cfg)
	}
	if err := n.start(ctx, cfg); err != nil {
		if n.store != nil && len(n.store.Left) > 0 {
			return nil, errors.Join(err, n.abandon())
		}
		return nil, errors.Join(err, n.Close())
	}
	n.begin()
	return n, nil
}

// abandon leaves the calls of a killed process to the next process, after this node took them over but could not
// start. It tells the peers nothing. Everything else ends with the process, as in a kill.
func (n *Node) abandon() error {
	if n.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), legsTimeout)
		defer cancel()
		if err := n.server.Stack().Freeze(ctx, nil); err != nil {
			n.log.Debug().Err(err).Msg("the server is left as it is")
		}
	}
	return n.store.Leave()
}

// replace starts a node in place of the old one. After an error it closes nothing, because everything still belongs to
// the old process.
func (n *Node) replace(ctx context.Context, cfg *config.Config) error {
	_ = n.pause.Stop(ctx) // there are no requests to wait for yet
	err := n.before.receive()
	if err == nil {
		err = n.rtp.open(&cfg.Media, n.before) // takes longest
	}
	if err == nil {
		err = n.before.loaded()
	}
	if err == nil {
		err = n.start(ctx, cfg)
	}
	if err == nil {
		err = n.before.ready()
	}
	if err != nil {
		if n.rtp.kernel != nil {
			n.rtp.kernel.Abandon()
		}
		return err
	}
	n.store.Taken()
	n.rtp.engine.Thaw()
	n.server.Serve()
	n.server.Begun()
	n.pause.Go()
	n.begin() // this may take seconds
	return nil
}

// begin starts everything that must not run in two processes.
func (n *Node) begin() {
	n.rtp.engine.Restored()
	kernel.RemoveLeftovers(kernel.Dirs)
	for _, p := range n.parts {
		if p.begin != nil {
			p.begin()
		}
	}
}

// openStore opens the store, or takes it over from the old process.
func (n *Node) openStore(ctx context.Context, cfg *config.Config) (err error) {
	if fd, ok := n.before.Take(partLock); ok {
		n.store, err = store.OpenTaken(ctx, cfg.Store.Path, os.NewFile(uintptr(fd), cfg.Store.Path+".lock"),
			consumers(cfg)...)
		return err
	}
	n.store, err = store.Open(ctx, cfg.Store.Path, consumers(cfg)...)
	return err
}

func (n *Node) start(ctx context.Context, cfg *config.Config) error {
	n.bots.log = n.log
	current, err := newInForce(cfg, &inForce{bots: &n.bots})
	if err != nil {
		return err
	}
	n.inForce.Store(current)
	n.figures.reloads.note(nil)
	if err = n.openStore(ctx, cfg); err != nil {
		return err
	}
	n.add(part{close: n.store.Close})
	n.webhooks = webhook.New(webhook.Options{Outbox: n.store, UserAgent: cli.UserAgent(), Log: n.log})
	n.add(part{
		watcher: &webhook.Reporter{Sender: n.webhooks}, begin: func() { n.tellOthers(ctx, cfg) }, close: n.webhooks.Close,
	})
	n.logFound()
	n.ladders.open(ctx, &cfg.Store, n.eraser.held)
	if n.ladders.kept != nil {
		n.add(part{gauges: n.ladders.gauges, close: n.ladders.kept.Close})
	}
	if err = n.openArchive(ctx, cfg.Recording); err != nil {
		return err
	}
	if n.name, err = nodeName(&cfg.Fleet); err != nil {
		return err
	}
	if err := n.openFleet(ctx, &cfg.Fleet, n.name); err != nil {
		return err
	}
	n.observe()
	n.openEvents(n.name)
	if err = n.startTelemetry(&cfg.Telemetry, n.name); err != nil {
		return err
	}
	if err = n.openSeat(ctx); err != nil {
		return err
	}
	n.add(part{close: n.rtp.close})
	if n.before == nil {
		err = n.rtp.open(&cfg.Media, nil)
	} else if n.rtp.kernel != nil { // opened before the old process stopped, which has since put its last flow there
		err = n.rtp.kernel.Inherit()
	}
	if err != nil {
		return err
	}
	n.add(part{close: func() error { closeReplaced(n.inForce.Load().preparers, nil); return nil }})
	if err = n.openServer(ctx, cfg, n.name, current.preparers); err != nil {
		return err
	}
	o := hooks.Options{Pause: &n.pause, Listener: n.before.hookListener}
	if n.hookServer, err = n.hooks.serve(ctx, o); err != nil {
		return err
	}
	if n.hookServer != nil {
		n.add(part{close: n.hookServer.Close})
	}
	n.tendAll(ctx)
	if n.before == nil { // so that an idempotency key finds the record of a call that a kill ended
		_ = n.written(ctx)
	}
	return n.serveAPI(ctx)
}

// logFound logs what the store found of an earlier process.
func (n *Node) logFound() {
	if err := n.store.Err(); err != nil {
		n.log.Error().Err(err).
			Msg("the disk of store.path takes nothing: records, and the states of live calls, wait in memory")
	}
	if k := len(n.store.Interrupted); k > 0 {
		n.log.Warn().Int("calls", k).Msg("closed the calls of a crashed process as interrupted")
	}
	if k := n.store.Recovered; k > 0 {
		n.log.Warn().Int("calls", k).Msg("wrote calls that an earlier process could not write")
	}
}

// openServer opens the SIP server, which takes over the calls of an earlier process.
func (n *Node) openServer(ctx context.Context, cfg *config.Config, name string,
	preparers map[string]peers.Preparer,
) (err error) {
	if n.splits.all, err = n.splits.recall(ctx); err != nil { // update repeats it
		n.log.Info().Err(err).Msg("can't read split weights yet: using the file's")
	}
	o := b2bua.Options{
		KeepBindings: n.store.KeepBindings,
		Relay:        engineRelay{Engine: n.rtp.engine}, Sink: n.sink(), Preparers: preparers,
		Key: n.store.Key(), Machine: store.Uptime, Node: name, Log: n.log,
		Ladders: n.ladders.collects(n.parts), Archive: n.archive, Admission: n.admit(&cfg.Fleet),
		Transferred: n.webhooks.TellTransfer, Receipts: &n.receipts,
	}
	if n.fleet != nil {
		o.Others = n.fleet
	}
	if n.before == nil { // a killed process's calls are changed before the parts begin
		o.Left = n.store.Left
		n.webhooks.Set(hooksOf(cfg))
	} else {
		o.Before = n.before
	}
	if s := n.seat; s != nil {
		o.Key, o.Left, o.Bindings, o.Await = s.Key(), s.left, s.bound, s.Await
	}
	registered := bindings{log: n.log}
	if o.Bindings == nil {
		o.Bindings = registered.read(ctx, n.store)
	}
	n.add(part{begin: func() { // before the fleet's part, which the admission adds and which may wait for the database
		if n.fleet != nil { // the fleet may not know the registrations at this node
			n.server.Registrar().SaveAll()
			n.fleet.EraseWith(n.eraser.ofOthers) // not earlier: a call that a kill or a takeover left would be missed
		}
		n.eraser.begun.Store(true)
		if registered.later != nil {
			go registered.takeUp(ctx, n.server)
		}
	}})
	n.bots.use(o.Key)
	n.key = o.Key
	n.add(part{gauges: n.bots.gauges, close: n.bots.close})
	if err = n.browsers.open(ctx, cfg); err != nil {
		return err
	}
	n.add(part{close: n.browsers.close})
	n.receipts.start()
	o.Config = n.tests.with(cfg)
	if n.server, err = b2bua.NewServer(o); err != nil {
		return err
	}
	n.bots.calledBy(n.server)
	n.ladders.server = n.server
	if n.seat != nil {
		n.seat.server = n.server
	}
	n.add(part{close: n.server.Close})
	n.add(part{close: n.tests.close})
	n.hooks = newCallHooks(n)
	n.add(part{close: func() error { n.hooks.redirects.Close(); return nil }})
	return n.keepCertificate(ctx, &cfg.SIP.TLS)
}

// tendAll starts the background tasks of the node.
func (n *Node) tendAll(ctx context.Context) {
	n.cpu = resources.NewCPU(n.log, n.rtp.engine.NoCPU)
	n.watchdog = watchdog.New(n.log, n.watched()...)
	n.watchdog.StoodStill = n.troubles.stoodStill
	n.add(part{gauges: n.figures.registrationGauges})
	n.add(part{gauges: n.cpu.Gauges})
	var tended sync.WaitGroup
	n.add(part{gauges: n.watchdog.Gauges, begin: func() {
		tended.Go(func() { n.watchdog.Watch(ctx) })
		tended.Go(func() { n.cpu.Watch(ctx) })
		tended.Go(func() { n.tend(ctx) })
		tended.Go(func() { n.eraser.run(ctx) })
		tended.Go(func() { periodic.Run(ctx, followEvery, func() { n.splits.tick(ctx) }) })
		tended.Go(func() { reach.Ping(ctx, n.admission.Peers.Load, n.server.Stack()) })
		tended.Go(func() { purgeHourly(ctx, n.store, func() time.Duration { return n.config().Store.Keep }, &n.log) })
		tended.Go(func() { n.receipts.tend(ctx) })
	}, close: func() error { tended.Wait(); return nil }})
}

// recordingSize bounds one file of a recording, in bytes.
const recordingSize = 1e9

// aliveEvery is how often the store's sign of life is renewed. purgeEvery is how often old records are removed.
const (
	aliveEvery = 5 * time.Second
	purgeEvery = time.Hour
)

// tend renews the sign of life in the store, and logs when records can't be written.
func (n *Node) tend(ctx context.Context) {
	var broken error
	var aside string
	unreadable := 0
	look := func() {
		now := time.Now()
		n.tending.Lock()
		n.hooks.redirects.Expire(now)
		n.live.Tend()
		n.live.Stats()       // so that what is not well has its time, and a line in the log, although nobody looks
		n.server.Registrar() // removes expired registrations
		n.figures.sample(ctx, now)
		bounded, cancel := context.WithTimeout(ctx, aliveEvery)
		err := n.store.Alive(bounded, now)
		cancel()
		n.saveDay() // before the lock is free: an upgrade takes it, and then the other process writes the file
		n.tending.Unlock()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.log.Error().Err(err).Int("calls", n.server.Unwritten()).Msg("can't write records: keeping them in memory")
		case broken != nil:
			n.log.Info().Msg("writing records again")
		}
		broken = err
		if file := n.store.SetAside(); file != aside {
			aside = file
			n.log.Error().Str("set_aside", file).Msg("database was damaged: set it aside and started a new one")
			n.server.Registrar().SaveAll()
		}
		ids := n.store.Unreadable()
		if n.fleet != nil {
			ids = append(ids, n.fleet.Unreadable()...)
		}
		if len(ids) != unreadable {
			unreadable = len(ids)
			n.log.Warn().Strs("calls", ids[:min(len(ids), 20)]).Int("count", len(ids)).
				Msg("records can't be read: they are left out of lists")
		}
		n.ladders.look()
	}
	look()
	periodic.Run(ctx, aliveEvery, look)
}

// closeTimeout bounds how long Close waits for records to be written. legsTimeout bounds how long it waits for answers
// of peers; a lost BYE can be repeated twice in that time.
const (
	closeTimeout = 5 * time.Second
	legsTimeout  = 2 * time.Second
)

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
			n.log.Info().Msg("stopping before all peers have answered")
		}
		cancel()
	}
	for _, p := range slices.Backward(n.parts) {
		if p.close != nil {
			errs = append(errs, p.close())
		}
	}
	return errors.Join(errs...)
}

// config returns the configuration in force.
func (n *Node) config() *config.Config { return n.inForce.Load().cfg }

// APIAddr returns the address of the admin API.
func (n *Node) APIAddr() net.Addr { return n.api.listener.Addr() }

// SIPAddr returns the first address of SIP.
func (n *Node) SIPAddr() netip.AddrPort { return n.server.Stack().Listeners()[0].AddrPort }

// WaitIdle waits until no call is left.
func (n *Node) WaitIdle(ctx context.Context) error { return n.server.WaitIdle(ctx) }

// Ladder returns the ladder of a call, live or over. A NoLadderError says why there is none.
func (n *Node) Ladder(ctx context.Context, id string) (*ladder.Ladder, error) {
	return n.ladders.of(ctx, id)
}

// RecordOf returns the record of the call that came in with a Call-ID, once it is written.
func (n *Node) RecordOf(ctx context.Context, sipCallID string) (record.Record, error) {
	records, _, err := n.store.List(ctx, record.Filter{ID: sipCallID, Limit: 1})
	switch {
	case err != nil:
		return record.Record{}, err
	case len(records) == 0:
		return record.Record{}, fmt.Errorf("call %s has no record", sipCallID)
	}
	return records[0], nil
}
