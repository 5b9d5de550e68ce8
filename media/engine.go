package media

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/internal/local"
	"flowbridge/media/kernel"
)

// These are errors that a caller may want to distinguish.
var (
	// errNoPorts reports that every pair of ports is leased, or that other processes use the pairs that were tried.
	errNoPorts = errors.New("no free RTP ports")

	// errClosed reports that the engine or the session is closed.
	errClosed = errors.New("media closed")

	errAddress = errors.New("not an address that media listens on")
)

// bindAttempts limits how many pairs are tried for a side when other processes use ports of the range.
const bindAttempts = 32

const defaultTimeout = 30 * time.Second

// Config configures an engine.
type Config struct {
	// Listen lists the addresses that sessions may be bound to. There must be at least one; the first is the default.
	Listen []netip.Addr

	// Advertised lists further addresses that lead to the engine's ports through NAT.
	Advertised []netip.Addr

	// PortLow and PortHigh are the first and the last port. RTP uses the even ports, RTCP the odd port above. A session
	// uses two pairs.
	PortLow, PortHigh uint16

	// Workers is the number of threads that relay; 0 means 1. A second thread costs more than it gains until the first is
	// fully used.
	Workers int

	// DSCP marks sent packets (RFC 2474), 0 to 63; 0 leaves them unmarked.
	DSCP uint8

	// Timeout is how long a started session may get no accepted RTP from either side before EventSilent, after it has had
	// some; 0 means 30 s. It is checked every 250 ms.
	Timeout time.Duration

	// OnOutage is called when most sessions of a worker, at least five, have fallen silent within a second, and again when
	// the outage is over. EventSilent is delayed until most of these sessions have RTP again and for Timeout after that,
	// but for no more than five minutes. OnOutage must not block. It may be nil.
	OnOutage func(Outage)

	// StartTimeout replaces Timeout for a session that has had no RTP since Session.Start; 0 means 30 s.
	StartTimeout time.Duration

	// Kernel relays the flows whose packets the engine need not handle; if it is nil, sockets carry all flows. The caller
	// closes it after the engine. Several engines may share one.
	Kernel *kernel.Relay

	// path creates the path that carries a worker's sessions. If it is nil, the worker itself carries them.
	path func(*worker) flowPath
}

// Engine owns the ports and the workers. Its methods may be called from any
// goroutine.
type Engine struct {
	// Constant.
	config  Config
	epoch   time.Time     // start of all the engine's durations
	began   time.Duration // epoch by CLOCK_MONOTONIC
	ports   *ports
	workers []*worker

	opening sync.WaitGroup // NewSession calls in progress; added to under mu
	closed  chan struct{}  // closed once Close is done
	locals  []netip.Addr   // addresses that lead to our ports
	isOwn   func(netip.AddrPort) bool
	files   int            // descriptors that the process may open
	stop    chan struct{}  // closed to end tendSockets
	tending sync.WaitGroup // waits for tendSockets

	awake atomic.Int32 // sessions with sockets of their own

	frozen atomic.Bool // between Freeze and Thaw, during which Freeze holds tidy

	tidy    sync.Mutex    // guards trimmed: one tend at a time
	trimmed time.Duration // when the resting pairs were last looked at

	mu       sync.Mutex // guards the registry below
	sessions map[uint64]*Session
	ending   map[uint64]*Session // being closed
	ended    Totals              // totals of closed sessions
	silent   []silentRTCP
	lastID   uint64
	closing  bool
}

// Open checks the configuration, tries each address and starts the workers.
func Open(cfg Config) (*Engine, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	cfg.Listen = slices.Clone(cfg.Listen)
	cfg.Workers = max(cfg.Workers, 1)
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	cfg.StartTimeout = cmp.Or(cfg.StartTimeout, defaultTimeout)
	e := &Engine{
		config:   cfg,
		epoch:    time.Now(),
		ports:    newPorts(cfg.PortLow, cfg.PortHigh),
		closed:   make(chan struct{}),
		stop:     make(chan struct{}),
		sessions: make(map[uint64]*Session),
		ending:   make(map[uint64]*Session),
		locals:   localAddrs(cfg.Listen, cfg.Advertised),
	}
	e.began = kernel.Now() - e.now()
	e.isOwn = e.own
	e.files = maxFiles()
	e.ports.mayRest = e.files / restingShare / 2
	e.ports.taken = cfg.taken
	for range cfg.Workers {
		w, err := newWorker(e.epoch, silenceLimits{start: cfg.StartTimeout, mid: cfg.Timeout, onOutage: cfg.OnOutage})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("media: %w", err), e.Close())
		}
		if cfg.Kernel != nil {
			w.offloader = newOffloader(cfg.Kernel, e.began, e.now, cfg.DSCP)
			w.shareSockets(len(e.workers))
		}
		if cfg.path != nil {
			w.path = cfg.path(w) // the worker does not use path yet, because it has no session
		}
		e.workers = append(e.workers, w)
	}
	e.tending.Go(e.tendSockets)
	return e, nil
}

func (c Config) check() error {
	var errs []error
	if len(c.Listen) == 0 {
		errs = append(errs, errors.New("no address to listen on"))
	}
	for _, a := range c.Listen {
		if !a.IsValid() {
			errs = append(errs, errors.New("an address to listen on is empty"))
			continue
		}
		fd, err := openSocket(netip.AddrPortFrom(a, 0), 0)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		closeSocket(fd)
	}
	if _, pairs := orderedPorts(c.PortLow, c.PortHigh).usage(); c.PortLow == 0 || pairs < 2 {
		errs = append(errs, fmt.Errorf("ports %d-%d: a call needs two pairs of an even port and the odd one above",
			c.PortLow, c.PortHigh))
	}
	if c.DSCP > 63 {
		errs = append(errs, fmt.Errorf("DSCP %d is not in 0 to 63", c.DSCP))
	}
	if c.Timeout < 0 || c.StartTimeout < 0 {
		errs = append(errs, fmt.Errorf("timeouts %v and %v: neither may be negative", c.Timeout, c.StartTimeout))
	}
	return errors.Join(errs...)
}

// taken reports whether a flow of an earlier process uses the port.
func (c *Config) taken(port uint16) bool {
	return c.Kernel != nil && c.Kernel.Uses(port)
}

// Close closes every session and stops the workers. When it returns, all sockets and goroutines of the engine are gone.
// It always returns nil.
func (e *Engine) Close() error {
	e.Thaw()
	e.mu.Lock()
	again := e.closing
	e.closing = true
	e.mu.Unlock()
	if again {
		<-e.closed
		return nil
	}
	e.opening.Wait()
	for _, s := range e.all() {
		s.Close() // if another goroutine is closing it, this waits
	}
	e.end()
	return nil
}

// all returns the sessions that are not closed yet.
func (e *Engine) all() []*Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.AppendSeq(slices.Collect(maps.Values(e.sessions)), maps.Values(e.ending))
}

// end stops an engine without sessions.
func (e *Engine) end() {
	close(e.stop)
	e.tending.Wait()
	for _, w := range e.workers {
		w.stop()
		w.offloader.stop()
	}
	e.ports.mayRest = 0
	for at, pairs := range e.ports.surplus(e.now(), false) {
		e.discard(at, pairs)
	}
	close(e.closed)
}

// now returns the time since the engine was opened.
func (e *Engine) now() time.Duration { return time.Since(e.epoch) }

// Ports returns how many pairs of an RTP and an RTCP port are leased, and how many there are. A session uses two.
func (e *Engine) Ports() (used, total int) { return e.ports.usage() }

// forbids reports whether a must not be used for a peer's media. A leased port is always forbidden. An address of this
// machine is forbidden unless the peer itself is there, because other services that listen here are not for peers. An
// advertised address is allowed, because it may belong to a NAT that peers are behind.
func (e *Engine) forbids(p Peer, a netip.AddrPort) bool {
	addr := a.Addr().Unmap()
	ours := slices.Contains(e.locals, addr) && !addr.IsLoopback() &&
		!slices.ContainsFunc(e.config.Advertised, func(b netip.Addr) bool { return b.Unmap() == addr })
	return e.own(a) || (ours && !p.trusts(addr))
}

// permitted returns a normalised description without the addresses that must not be used.
func (e *Engine) permitted(p Peer, local netip.Addr) Peer {
	if e.forbids(p, p.RTP) {
		p.RTP, p.RTCP = netip.AddrPort{}, netip.AddrPort{}
	}
	if e.forbids(p, p.RTCP) {
		p.RTCP = netip.AddrPort{}
	}
	if p.ICE != nil {
		p.ICE = e.checkable(&p, local)
	}
	return p.normal()
}

// own reports whether a is a leased port of this engine. Media to or from such a port would loop for ever.
func (e *Engine) own(a netip.AddrPort) bool {
	addr := a.Addr().Unmap()
	wildcard := slices.ContainsFunc(e.config.Listen, netip.Addr.IsUnspecified)
	local := slices.Contains(e.locals, addr) || (wildcard && addr.IsLoopback())
	return local && e.ports.isLeased(a.Port())
}

// localAddrs returns the addresses that lead to the engine's sockets.
func localAddrs(listen, advertised []netip.Addr) []netip.Addr {
	all := slices.Clone(listen)
	for _, a := range advertised {
		all = append(all, a.Unmap())
	}
	if !slices.ContainsFunc(listen, netip.Addr.IsUnspecified) {
		return all
	}
	interfaces, _ := local.Addresses() // after an error, a media loop may go undetected, at worst
	return append(all, interfaces...)
}

// NewSession leases two pairs of ports with their sockets. Packets that arrived there earlier are not relayed.
func (e *Engine) NewSession(sc SessionConfig) (*Session, error) {
	for side, a := range sc.Addr {
		if !a.IsValid() {
			sc.Addr[side] = e.config.Listen[0]
		} else if !slices.Contains(e.config.Listen, a) {
			return nil, fmt.Errorf("media: %v: %w", a, errAddress)
		}
	}
	id, s, err := e.begin()
	if err != nil {
		return nil, err
	}
	defer e.opening.Done()

	var local [2]netip.AddrPort
	var fds [2]sockets
	for side, a := range sc.Addr {
		s.pair[side], err = e.bindPair(place{a, s.worker})
		if err != nil {
			s.rest(sc.Addr, s.pair[:side])
			return nil, fmt.Errorf("media: %w", err)
		}
		local[side], fds[side] = netip.AddrPortFrom(a, s.pair[side].port), s.pair[side].fd
	}
	drain(fds)
	e.awake.Add(1)
	s.relay.own = e.isOwn
	s.relay.init(id, local, fds, sc.OnEvent)
	_ = s.worker.post(command{op: opOpen, relay: &s.relay}, false) // workers run as long as a session is being opened
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions[id] = s
	return s, nil
}

// begin creates a session and adds to e.opening, which Close waits for.
func (e *Engine) begin() (id uint64, s *Session, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return 0, nil, fmt.Errorf("media: %w", errClosed)
	}
	e.opening.Add(1)
	e.lastID++
	return e.lastID, &Session{engine: e, worker: e.workers[e.lastID%uint64(len(e.workers))]}, nil
}

// order sends op to every worker, and returns when each of them has carried it out, with all commands before it. A
// stopped worker is skipped.
func (e *Engine) order(op op) {
	for _, w := range e.workers {
		_ = w.do(command{op: op})
	}
}

// Underway yields each worker that has sessions, with a number that changes several times a second as long as the
// worker makes progress.
func (e *Engine) Underway(yield func(worker string, step uint64)) {
	for i, w := range e.workers {
		if !w.rests.Load() {
			yield("worker "+strconv.Itoa(i), w.ticks.Load())
		}
	}
}
