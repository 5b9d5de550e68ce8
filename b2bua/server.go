package b2bua

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/recording"
	"flowbridge/store"
)

// Sink takes the records of calls; *store.Store is one.
type Sink interface {
	// Journal notes the state of a call that is not over. It does not block.
	Journal(r store.Record)
	// Put keeps the record of a finished call and returns when it is safe.
	Put(ctx context.Context, r store.Record) error
}

// Options is what a server is made of. All fields are needed but where it
// says so.
type Options struct {
	Config    *config.Config
	Relay     Relay
	Sink      Sink
	Preparers map[string]peers.Preparer // by name of the target; only for those that prepare
	Key       [32]byte                  // signalling key, kept with the store
	Node      string                    // name of this node in records; may be empty
	Log       zerolog.Logger
	Tap       Tap // nil: nobody listens

	// Archive takes the recordings of calls; nil: none can be recorded.
	Archive *recording.Archive

	// Listen opens a socket; nil: the kernel's, with a receive buffer of 4 MB.
	Listen func(netip.AddrPort) (Socket, error)
	// ListenStream opens a TCP listener; nil: the kernel's.
	ListenStream func(netip.AddrPort) (net.Listener, error)
	// Dial opens a TCP connection from one of our addresses; nil: the kernel's.
	Dial func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
	// Lookup resolves host names; nil: the system's resolver.
	Lookup func(ctx context.Context, host string) (netip.Addr, error)
}

// Server is the B2BUA: it listens, admits calls and runs them. Its methods
// may be called from any goroutine.
type Server struct {
	cfg        *config.Config
	relay      Relay
	sink       Sink
	node       string
	log        zerolog.Logger
	mint       *message.Minter
	admission  *peers.Admission
	auth       *peers.Authenticator
	load       load
	registry   *registry
	keepsNames bool               // others ask for calls by ids that are not ours
	archive    *recording.Archive // nil: calls are not recorded
	tapes      *tapes             // nil: nobody wants their SIP
	stack      *stack
	rejected   Rejections
	mayLog     *rate.Limiter // lines of log that a peer can provoke
	// certNames gives the names in the client certificate, verified, of the
	// connection that a message came by.
	certNames func(transport string, source netip.AddrPort) []string
	strays    *rate.Limiter // answers to responses that no transaction waits for
	panics    atomic.Uint64
	unwritten atomic.Int64 // records that the sink has not taken yet

	ctx    context.Context
	cancel context.CancelFunc
	calls  sync.WaitGroup // goroutines of calls
}

// strayRate is how many stray responses a second are answered. 200s are
// repeated at most ten times a call; there are few in good times.
const strayRate = 100

// NewServer opens the sockets and begins to answer.
func NewServer(o Options) (*Server, error) {
	s := &Server{
		cfg: o.Config, relay: o.Relay, sink: o.Sink, node: o.Node, log: o.Log,
		mint:       message.NewMinter(o.Key),
		admission:  peers.NewAdmission(o.Config, o.Preparers),
		registry:   newRegistry(),
		keepsNames: asksForCalls(&o.Config.Hooks),
		archive:    o.Archive,
		strays:     rate.NewLimiter(strayRate, strayRate),
		mayLog:     newRejectionLog(),
		load:       load{limit: o.Config.SIP.MaxDelay},
	}
	s.auth = peers.NewAuthenticator(s.mint, message.Offered(s.cfg.SIP.AuthAlgorithms), time.Now())
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.listen(o); err != nil {
		s.cancel()
		return nil, err
	}
	s.stack.serve()
	return s, nil
}

func (s *Server) listen(o Options) error {
	if o.Listen == nil {
		o.Listen = func(addr netip.AddrPort) (Socket, error) { return listenUDP(addr, s.log) }
	}
	if o.ListenStream == nil {
		o.ListenStream = listenTCP
	}
	if o.Dial == nil {
		o.Dial = dialTCP
	}
	if o.Lookup == nil {
		o.Lookup = LookupHost
	}
	s.tapSIP(&o)
	ctx, stop := context.WithCancel(s.ctx)
	st := &stack{
		log: s.log, ctx: ctx, stop: stop, cfg: s.cfg.SIP, lookup: o.Lookup, panics: func(where string, value any) { s.panicked(&s.log, where, value) },
		hosts: map[string]cachedHost{}, routes: map[netip.Addr]cachedRoute{}, noTCP: map[netip.AddrPort]time.Time{}, maxSources: maxSources,
	}
	if err := s.openListeners(st, o); err != nil {
		for _, g := range st.sockets {
			g.Close()
		}
		for _, l := range st.listeners {
			l.Close()
		}
		stop()
		return err
	}
	st.streams = &streams{
		screens: map[string]*screen{
			config.TransportTCP: s.newScreen(config.TransportTCP, o.Tap), config.TransportTLS: s.newScreen(config.TransportTLS, o.Tap),
		},
		limits: s.cfg.SIP.Limits, certs: newCertificates(s.cfg.SIP.TLS, s.log),
		dial: o.Dial, local: st.localFor, ctx: ctx,
		feeds: map[string]*feed{config.TransportTCP: newFeed(), config.TransportTLS: newFeed()},
		waited: func(waited time.Duration, read time.Time) {
			s.load.probe(func(f func()) { go f() }, waited, read) // from readers that are the library's
		},
		live: map[streamKey]*stream{}, remotes: map[streamKey]*stream{}, every: map[*stream]struct{}{},
		perSource: map[netip.Addr]int{},
	}
	s.certNames = st.streams.certNames
	quiet := slog.New(slog.DiscardHandler)
	st.tp = newTransport(quiet)
	st.tp.OnMessage(s.stamp) // before the transactions see it
	st.tx = sip.NewTransactionLayer(st.tp, sip.WithTransactionLayerLogger(quiet),
		sip.WithTransactionLayerUnhandledResponseHandler(s.onStrayResponse))
	st.tx.OnRequest(s.onRequest)
	s.stack = st
	return nil
}

// tapSIP keeps the SIP of calls where recordings want it.
func (s *Server) tapSIP(o *Options) {
	if o.Archive == nil || !slices.Contains(s.cfg.Recording.Formats, recording.FormatPcapng) {
		return
	}
	s.tapes = newTapes(func(remote netip.Addr) (netip.Addr, error) { return s.stack.sourceToward(remote) })
	if o.Tap == nil {
		o.Tap = s.tapes
	} else {
		o.Tap = taps{o.Tap, s.tapes}
	}
}

// openListeners opens what sip.listen names.
func (s *Server) openListeners(st *stack, o Options) error {
	for _, l := range s.cfg.SIP.Listen {
		var err error
		if message.IsStream(l.Transport) {
			err = s.openStreams(st, l, o)
		} else {
			err = s.openSocket(st, l, o)
		}
		if err != nil {
			return fmt.Errorf("sip.listen %v: %w%s", l, err, remedyOf(err))
		}
	}
	return nil
}

func (s *Server) openSocket(st *stack, l config.Listener, o Options) error {
	socket, err := o.Listen(l.AddrPort)
	if err != nil {
		return err
	}
	st.sockets = append(st.sockets, &guard{
		Socket: socket, screen: s.newScreen(config.TransportUDP, o.Tap), local: message.ParseSource(socket.LocalAddr().String()),
		reading: make(chan struct{}),
		waited:  func(waited time.Duration, read time.Time) { s.load.probe(st.group.Go, waited, read) },
		renewal: renewal{swap: &st.swap, crowded: st.crowded},
	})
	return nil
}

func (s *Server) openStreams(st *stack, l config.Listener, o Options) error {
	listener, err := o.ListenStream(l.AddrPort)
	if err != nil {
		return err
	}
	st.listeners = append(st.listeners, streamListener{
		Listener: listener, transport: l.Transport, local: message.ParseSource(listener.Addr().String()),
	})
	return nil
}

func (s *Server) newScreen(transport string, tap Tap) *screen {
	return &screen{
		mint: s.mint, gate: s, transport: transport, tap: tap, count: &s.rejected,
		limits: newLimits(s.cfg.SIP.Limits), offer: message.Offered(s.cfg.SIP.AuthAlgorithms), log: s.log, logBudget: newRejectionLog(), strangers: newStrangers(),
	}
}

// Reload has new calls use the trunks, targets and routes of cfg; preparers as
// in Options. Calls that are live keep those that they began with, and count
// for the caps of the trunks and targets of the same name. The other sections
// are not looked at: they need a restart.
func (s *Server) Reload(cfg *config.Config, preparers map[string]peers.Preparer) {
	s.admission.Reload(cfg, preparers)
}

// Listeners are the addresses that SIP is received on: UDP first, otherwise in
// configuration order.
func (s *Server) Listeners() []config.Listener {
	var all []config.Listener
	for _, g := range s.stack.sockets {
		all = append(all, config.Listener{Transport: config.TransportUDP, AddrPort: g.local})
	}
	for _, l := range s.stack.listeners {
		all = append(all, config.Listener{Transport: l.transport, AddrPort: l.local})
	}
	return all
}

// Rejected counts what was kept from the SIP stack.
func (s *Server) Rejected() *Rejections { return &s.rejected }

// Panics counts the panics that were recovered.
func (s *Server) Panics() uint64 { return s.panics.Load() }

// panicked counts and logs a panic that was recovered.
func (s *Server) panicked(log *zerolog.Logger, where string, value any) {
	s.panics.Add(1)
	log.Error().Str("where", where).Str("panic", fmt.Sprint(value)).Bytes("stack", debug.Stack()).Msg("panic recovered")
}

// Drain refuses new calls with 503 from now on.
func (s *Server) Drain() { s.admission.Drain() }

// Calls counts the calls that are live or whose record is not written yet.
func (s *Server) Calls() int {
	calls, _ := s.registry.counts()
	return calls
}

// Unwritten counts the records of ended calls that the sink has not taken yet.
func (s *Server) Unwritten() int { return int(s.unwritten.Load()) }

// Draining says whether Drain was called.
func (s *Server) Draining() bool { return s.admission.IsDraining() }

// HangupAll ends every call that is live.
func (s *Server) HangupAll() {
	for _, c := range s.registry.all() {
		c.mailbox.post(item{event: Killed{Cause: cause.Shutdown, By: store.EndedBySystem}})
	}
}

// WaitIdle returns when no call is live and every record is written, or with
// the context's error. Legs may still owe their peers something.
func (s *Server) WaitIdle(ctx context.Context) error {
	return s.wait(ctx, func() bool {
		calls, _ := s.registry.counts()
		return calls == 0
	})
}

// WaitLegs returns when no leg is left either: every BYE answered, every
// cancelled INVITE over. A dead peer makes that 32 s.
func (s *Server) WaitLegs(ctx context.Context) error { return s.wait(ctx, s.Idle) }

func (s *Server) wait(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if done() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Idle says whether nothing is left of any call: no call, no leg.
func (s *Server) Idle() bool {
	calls, lines := s.registry.counts()
	return calls == 0 && lines == 0
}

// Close stops at once. Calls that are live get their record, but their legs
// are not hung up: HangupAll and WaitIdle do that. It returns when nothing
// runs any more.
func (s *Server) Close() error {
	s.admission.Drain()
	s.cancel()
	s.calls.Wait()
	return s.stack.close()
}

// LiveCall is the state of a call that is not over.
type LiveCall struct {
	Record store.Record
	Phase  string // preparing, dialing, bridged or ending

	Recording string // RecordingOff, …
	Masked    bool   // the caller's keys are

	Held  [2]bool   // by media.Side: it wants no media
	Hears [2]string // by media.Side: the tone or sound of ours that it hears

	Vars    config.Vars  // what templates see of it
	headers []sip.Header // of the carrier's INVITE
}

// Live gives the calls that are live, in no order.
func (s *Server) Live(ctx context.Context) []LiveCall {
	var all []LiveCall
	for _, c := range s.registry.all() {
		if l, ok := c.ask(ctx); ok {
			all = append(all, l)
		}
	}
	return all
}

// Find gives the live call with this id.
func (s *Server) Find(ctx context.Context, id string) (LiveCall, bool) {
	c := s.registry.call(id)
	if c == nil {
		return LiveCall{}, false
	}
	return c.ask(ctx)
}

func (s *Server) standing(transport string, source netip.AddrPort) peers.Standing {
	return s.admission.Peers.Load().Standing(s.sender(transport, source))
}

// maxUnwritten is how many records may wait for a disk that does not take
// them before new calls are refused.
const maxUnwritten = 10_000

func (s *Server) capacity(transport string, source netip.AddrPort) peers.Capacity {
	switch {
	case s.unwritten.Load() >= maxUnwritten:
		return peers.CapacityNone
	case s.load.overloaded(time.Now()):
		return peers.CapacityOverload
	default:
		return s.admission.Capacity(s.sender(transport, source))
	}
}

func (s *Server) inDialog(toTag []byte) bool { return s.registry.knowsTag(toTag) }

func (s *Server) inProgress(toTag message.Minted) bool { return s.registry.has(toTag) }

func (s *Server) legOptions(side media.Side, local leg.Local, peer leg.PeerOptions) leg.Options {
	return leg.Options{Side: side, Minter: s.mint, Local: local, Agent: outbound.AgentName, Peer: peer}
}

// NewID is a call's id: sortable by time, unique over nodes.
func NewID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}

// newCallID is a Call-ID that says nothing of us (RFC 3261 section 8.1.1.4).
func newCallID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }
