package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"flowbridge/admin"
	"flowbridge/b2bua/peers"
	"flowbridge/cmd/flowbridge/node/resources"
	"flowbridge/config"
	"flowbridge/internal/handover"
)

// Serve runs a configuration until a signal or the admin API ends it, or until another process takes over. before is
// the process that this one replaces; it is nil if there is none.
func Serve(ctx context.Context, cfg *config.Config, file string, out *Log, before *Predecessor) error {
	defer out.lines.flush()
	log := out.Logger()
	program, err := handover.ThisProgram()
	if err != nil {
		log.Warn().Err(err).Msg("upgrades are not possible")
	}
	o := &operator{
		file: file, log: log, out: out, supervisor: newSupervisor(log), asked: make(chan struct{}), left: make(chan struct{}),
		program: program, parent: os.Getppid(), patience: upgradePatience,
	}
	governed := resources.Govern(ctx, log)
	defer governed.Close()
	signals, hangups, upgrades := make(chan os.Signal, 2), make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(hangups, syscall.SIGHUP)
	signal.Notify(upgrades, syscall.SIGUSR2)
	defer signal.Stop(signals)
	defer signal.Stop(hangups)
	defer signal.Stop(upgrades)

	watched, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	standing, served := context.WithCancel(watched)
	defer served()
	logWarnings(cfg, log)
	n, err := Start(ctx, cfg, log, Options{
		operator: o, out: out, memory: governed, before: before,
		signals: signals, beginAnew: o.beginAnew, standsBy: o.standsBy(standing, hangups, upgrades),
	})
	served()
	switch {
	case errors.Is(err, errStoodBy):
		log.Info().Msg("stopped")
		return nil
	case err != nil:
		return before.Refuse(err)
	}
	o.begin(n)
	for _, l := range n.server.Stack().Listeners() {
		log.Info().Str("listen", l.String()).Msg("sip listening")
	}
	log.Info().Stringer("listen", n.APIAddr()).Msg("admin API listening")
	o.supervisor.ready("Taking calls")

	go o.supervisor.watch(watched, n.alive)
	o.follow(watched, hangups, upgrades)
	more, replaced := o.untilTold(signals)
	if replaced {
		n.leave()
		return o.giveWay()
	}
	o.drain(ctx, signals, more)
	if err := n.Close(); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	log.Info().Msg("stopped")
	return nil
}

// standsBy returns a function that reports to the supervisor that the node is a standby. Until ctx ends, reloads and
// upgrades of the standby are refused.
func (o *operator) standsBy(ctx context.Context, hangups, upgrades <-chan os.Signal) func(seat string) {
	return func(seat string) {
		o.mu.Lock()
		o.idle = fmt.Errorf("%w for the seat %s: stop or restart it instead, it has no calls", errStanding, seat)
		o.mu.Unlock()
		o.follow(ctx, hangups, upgrades)
		o.supervisor.ready("Standing by for the seat " + seat)
		go o.supervisor.watch(ctx, func(context.Context) error { return nil })
	}
}

// reloader is a server that can use another configuration for new calls.
type reloader interface {
	Reload(cfg *config.Config, preparers map[string]peers.Preparer)
}

// operator handles the requests of signals and the admin API.
type operator struct {
	// constant
	file       string
	log        zerolog.Logger
	out        *Log
	supervisor *supervisor
	asked      chan struct{} // closed when the API has asked to drain
	left       chan struct{} // closed when another process has taken over
	program    handover.Program
	parent     int           // the process that started this one
	patience   time.Duration // how long an upgrade may take

	heir     *handover.Process // the process that has taken over the calls; set before left is closed
	passesOn bool              // a stop signal also goes to heir

	reloads  sync.Mutex // one reload at a time; held while the file is read and the store told; not needed by Drain
	checks   sync.Mutex // one check of the file at a time
	mu       sync.Mutex // guards the fields below
	node     *Node      // nil until it has started
	idle     error      // why the node has not started; nil while it is starting
	server   reloader
	draining bool
	replaced bool // another process has taken over, or is about to
}

// Reasons why a request can't be carried out.
var (
	errStarting = errors.New("still starting")
	errStanding = errors.New("this node stands by")
	errDraining = errors.New("draining")
	errReplaced = errors.New("another process goes on in a moment: ask that one")
)

// begin sets the node that the operator controls.
func (o *operator) begin(n *Node) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.node, o.server = n, n.server
}

// Drain refuses new calls from now on. Serve returns when it is done.
func (o *operator) Drain() (admin.Drained, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.node == nil:
		return admin.Drained{}, cmp.Or(o.idle, errStarting)
	case o.replaced:
		return admin.Drained{}, errReplaced
	}
	o.node.server.Drain()
	if !o.draining {
		o.node.live.Note("drain", "takes no new calls, and ends after the last one")
		o.draining = true
		close(o.asked)
	}
	return admin.Drained{Calls: o.node.server.Calls(), LimitMS: o.node.config().SIP.DrainTimeout.Milliseconds()}, nil
}

// Reload reads the file again and applies its trunks, targets, routes and log settings. If the file is invalid,
// nothing changes.
func (o *operator) Reload(context.Context) (admin.Reloaded, error) {
	o.reloads.Lock()
	defer o.reloads.Unlock()
	done, err := o.reload()
	var invalid *admin.InvalidError
	switch {
	case errors.As(err, &invalid):
		for _, p := range invalid.Problems {
			o.log.Error().Str("problem", p).Msg("configuration not valid: keeping the old one")
		}
	case err != nil:
		o.log.Warn().Err(err).Msg("configuration not reloaded")
	default:
		o.log.Info().Str("config", o.file).Int("trunks", done.Trunks).Int("targets", done.Targets).Int("routes", done.Routes).
			Int("numbers", done.Numbers).
			Msg("configuration reloaded")
		if len(done.NeedRestart) > 0 {
			o.log.Warn().Strs("sections", done.NeedRestart).Msg("changed sections take effect after a restart")
		}
	}
	return done, err
}

func (o *operator) reload() (done admin.Reloaded, err error) {
	current, err := o.beginReload()
	if err != nil {
		return done, err
	}
	defer func() {
		o.endReload(err)
		o.node.saveDay() // the reload may be why the process is killed a moment later
	}()
	read, err := config.Reload(o.file, current.cfg)
	if err != nil {
		return done, problemsOf(err)
	}
	if err := FindAddress(context.Background(), read, o.log); err != nil {
		o.log.Warn().Err(err).Msg("keeping the public address that was found at the start")
		read.SIP.Advertise, read.Media.Advertise = current.cfg.SIP.Advertise, current.cfg.Media.Advertise
	}
	cfg, needRestart := running(current.cfg, read)
	next, err := newInForce(cfg, current)
	if err != nil {
		return done, err
	}
	next.needRestart = needRestart
	endpoints, err := o.node.hooks.endpoints(cfg)
	if err != nil {
		return done, err
	}
	if err := o.putInForce(next); err != nil {
		return done, err
	}
	if s := o.node.hookServer; s != nil {
		s.Use(endpoints)
	}
	o.node.tellOthers(context.Background(), cfg)
	o.out.set(cfg.Log)
	logWarnings(cfg, o.log)
	closeReplaced(current.preparers, next.preparers)
	return admin.Reloaded{
		Trunks: len(cfg.Trunks), Targets: len(cfg.Targets), Routes: len(cfg.Routes), Numbers: cfg.Numbers.Size(),
		NeedRestart: needRestart,
	}, nil
}

// putInForce makes new calls use a configuration.
func (o *operator) putInForce(next *inForce) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.draining {
		return errDraining
	}
	o.node.tests.put(next, o.server)
	o.node.figures.expect()
	return nil
}

// beginReload tells the supervisor about a reload and returns the configuration in force.
func (o *operator) beginReload() (current *inForce, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.node == nil:
		return nil, cmp.Or(o.idle, errStarting)
	case o.draining:
		return nil, errDraining
	default:
		o.supervisor.reloading()
		return o.node.inForce.Load(), nil
	}
}

// endReload tells the supervisor the result of a reload. It does not if the process is draining, because it is no
// longer ready then.
func (o *operator) endReload(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.draining {
		o.node.figures.reloads.note(err)
		text := "the configuration was reloaded"
		if err != nil {
			text = "a reload was refused: " + err.Error()
		}
		o.node.live.Note("reload", text)
	}
	switch {
	case o.draining:
	case err != nil:
		o.supervisor.ready("Taking calls; the last reload was refused, see the log")
	default:
		o.supervisor.ready("Taking calls")
	}
}

// problemsOf returns one line for each problem of a file.
func problemsOf(err error) error {
	var all config.Errors
	if !errors.As(err, &all) {
		return err
	}
	bad := &admin.InvalidError{}
	for _, e := range all {
		bad.Problems = append(bad.Problems, e.Error())
	}
	return bad
}

// on calls do for each signal, until ctx ends.
func on(ctx context.Context, asked <-chan os.Signal, do func()) {
	for {
		select {
		case <-asked:
			do()
		case <-ctx.Done():
			return
		}
	}
}

// follow reloads and upgrades on signals until ctx ends. The results are logged.
func (o *operator) follow(ctx context.Context, hangups, upgrades <-chan os.Signal) {
	go on(ctx, hangups, func() { _, _ = o.Reload(ctx) })
	go on(ctx, upgrades, func() { _, _ = o.Upgrade(ctx) })
}

// untilTold waits until a signal or the admin API ends the process, and refuses new calls from then on. more is the
// number of further signals that end the calls at once. replaced reports that another process has taken over, so this
// one must do nothing more.
func (o *operator) untilTold(signals <-chan os.Signal) (more int, replaced bool) {
	by := "admin API"
	select {
	case got := <-signals:
		by, more = got.String(), 1
	case <-o.asked:
		more = 2 // the first may come from a supervisor that has also asked for the drain
	case <-o.left:
		return 0, true
	}
	d, err := o.Drain()
	for ; errors.Is(err, errReplaced); d, err = o.Drain() { // again if the last step of an upgrade fails
		select {
		case <-o.left:
			o.passesOn = true
			return 0, true
		case <-time.After(settleEvery):
		}
	}
	o.log.Info().Err(err).Str("signal", by).Int("calls", d.Calls).Int64("limit_ms", d.LimitMS).Msg("draining")
	return more, false
}

// drain lets calls continue until the limit is reached or count signals have arrived.
func (o *operator) drain(ctx context.Context, signals <-chan os.Signal, count int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		for range count {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
		}
	}()
	if o.leave(ctx) {
		o.log.Warn().Int("calls", o.node.server.Calls()).Msg("hanging up calls: the drain timeout is over, or a second signal came")
	}
}

// leave waits until all calls are over, the limit is reached or ctx ends, and tells the supervisor the number of
// calls. It reports whether calls are still up.
func (o *operator) leave(ctx context.Context) bool {
	n := o.node
	limit := n.config().SIP.DrainTimeout
	until := time.Now().Add(limit)
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		o.supervisor.stopping(n.server.Calls(), time.Until(until)+closeTimeout+legsTimeout+closeMargin)
		step, stop := context.WithTimeout(ctx, statusEvery)
		err := n.server.WaitIdle(step)
		stop()
		if err == nil || ctx.Err() != nil {
			return err != nil
		}
	}
}

// statusEvery is how often the supervisor is told the number of calls. closeMargin is added to the time that closing
// may take.
const (
	statusEvery = 5 * time.Second
	closeMargin = 10 * time.Second
)

// errHeirEnded means that both processes of an upgrade have ended.
var errHeirEnded = errors.New("the process that has replaced this one has ended: the next start goes on with the calls")

// giveWay ends this process's service. It tells the supervisor last: the supervisor does not see the end of a process
// that is another process's child, and would take it for the end of the service.
func (o *operator) giveWay() error {
	select {
	case was := <-o.heir.Ended:
		return fmt.Errorf("%w (%v)", errHeirEnded, was) //nolint:errorlint // its exit status is not a cause to unwrap
	default:
	}
	o.supervisor.replaced(o.heir.PID)
	if o.passesOn {
		_ = unix.Kill(o.heir.PID, unix.SIGTERM)
	}
	o.log.Info().Msg("replaced by the new process")
	return nil
}
