package b2bua

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/redirected"
	"flowbridge/b2bua/registrar"
	"flowbridge/b2bua/registration"
	"flowbridge/b2bua/stir"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/dtls"
	"flowbridge/media/recording"
	"flowbridge/store/record"
)

// Sink takes the records of calls; *store.Store is one.
type Sink interface {
	// Journal notes the record of a call that is not over, and what it needs to go on in another process; nil: it can't.
	// It does not block.
	Journal(r record.Record, state []byte)
	// Owe notes what a call that is over owes its peers; nil: nothing any more. It does not block. It keeps nothing of
	// the state, as Journal and Keep.
	Owe(id string, state []byte)
	// Put keeps the record of a finished call and returns when it is safe.
	Put(ctx context.Context, r record.Record) error
	// Keep is Put that does not block: what it returned is told to done, once at most. Nobody changes r any more.
	// owes is as for Owe.
	Keep(ctx context.Context, r *record.Record, owes []byte, done func(error))
}

// Options are the parts of a server. Every field is needed unless its comment says
// otherwise.
type Options struct {
	Config    *config.Config
	Relay     bridge.Relay
	Sink      Sink
	Preparers map[string]peers.Preparer // by name of the target; only for those that prepare
	Key       [32]byte                  // signalling key, kept with the store
	Node      string                    // name of this node in records; may be empty
	Log       zerolog.Logger

	// Ladders says what becomes of the messages of calls. Record and Source are the server's to set.
	Ladders ladder.Options

	// Admission is given the server's admission before the first call; nil: nobody is.
	Admission func(*peers.Admission)

	// Archive takes the recordings of calls; nil: none can be recorded.
	Archive *recording.Archive

	// Left are the calls of a killed process.
	Left []record.Left

	// Machine tells how long the machine runs, whatever its wall clock is set to; nil: calls that outlive a process trust the wall clock.
	Machine func() (uptime time.Duration, boot uint64)

	// Bindings are what had registered at the process before, by holder; KeepBindings is told when those of a holder change, and
	// does not block. Both may be nil.
	Bindings     map[string][]record.Binding
	KeepBindings func(holder string, all []record.Binding)

	Network transport.Network // where a field is nil: the kernel's

	// Certificates fetches those of callers who are verified; nil: HTTPS.
	Certificates http.RoundTripper

	// Before has what another process has handed over; nil: there is none. Then nothing is read, and no turn runs, before the
	// stack serves.
	Before Predecessor
}

// Server is the B2BUA: it listens, admits calls and runs them. Its methods
// may be called from any goroutine.
type Server struct {
	cfg         *config.Config
	bridges     bridge.Resources
	sink        Sink
	node        string
	log         zerolog.Logger
	mint        *message.Minter
	admission   *peers.Admission
	auth        *peers.Authenticator
	registry    *registry
	keepsNames  bool              // hooks ask for calls by foreign ids
	ladders     *ladder.Collector // nil: nobody wants the messages of calls
	stack       *transport.Stack
	strays      *rate.Limiter // answers to responses that no transaction waits for
	panics      atomic.Uint64
	clients     *registration.Clients // our registrations
	registrar   *registrar.Registrar  // those of others
	verifier    *stir.Verifier        // of callers
	interrupted []func()              // begin again what HandOver has ended; owned by who calls it
	successor   successor
	machine     func() (uptime time.Duration, boot uint64)
	unwritten   atomic.Int64 // records that the sink has not taken yet

	ctx    context.Context
	cancel context.CancelFunc
	calls  sync.WaitGroup // calls, legs of calls included, and goroutines for them
}

// successor takes up the calls of an earlier process. restore takes those of a process that was killed, replace those of a process
// that this one replaces. A call that was being set up there begins again with its INVITE (begins).
type successor struct {
	server *Server
	again  sync.Map // *begun, by the tag of the caller's leg
}

// strayRate is how many stray responses a second are answered. Normally there are
// few; a 200 is repeated at most ten times a call.
const strayRate = 100

// NewServer opens the sockets and begins to answer.
func NewServer(o Options) (*Server, error) {
	s, err := newServer(o, transport.Listen)
	if err != nil {
		return nil, err
	}
	if o.Before != nil {
		return s, s.successor.replace(o.Before)
	}
	s.successor.restore(o.Left)
	s.Serve()
	return s, nil
}

// Serve begins to answer, and to register.
func (s *Server) Serve() {
	s.stack.Serve()
	s.clients.Go()
}

// Stack is the server's transport.
func (s *Server) Stack() *transport.Stack { return s.stack }

// newServer makes a server on the sockets that listen opens.
func newServer(o Options, listen func(context.Context, transport.Options) (*transport.Stack, error)) (*Server, error) {
	s := &Server{
		cfg: o.Config, sink: o.Sink, node: o.Node, log: o.Log,
		mint:       message.NewMinter(o.Key),
		admission:  peers.NewAdmission(o.Config, o.Preparers),
		registry:   newRegistry(),
		registrar:  registrar.New(o.Bindings, o.KeepBindings),
		keepsNames: asksForCalls(&o.Config.Hooks),
		machine:    o.Machine,
		strays:     rate.NewLimiter(strayRate, strayRate),
	}
	s.successor.server = s
	if s.machine == nil {
		s.machine = func() (time.Duration, uint64) { return 0, 0 }
	}
	if o.Admission != nil {
		o.Admission(s.admission)
	}
	identity, err := dtls.NewIdentity(o.Key)
	if err != nil {
		return nil, err
	}
	s.auth = peers.NewAuthenticator(s.mint, message.AlgorithmsOf(s.cfg.SIP.AuthAlgorithms), time.Now())
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.verifier = stir.New(s.ctx, o.Certificates)
	t := transport.Options{
		Config: s.cfg.SIP, Minter: s.mint, Handler: front{s}, Agent: outbound.AgentName, Log: s.log, Tap: s.collect(o), Network: o.Network,
	}
	if o.Before != nil {
		t.Take = o.Before.Take
	}
	s.stack, err = listen(s.ctx, t)
	if err != nil {
		s.cancel()
		return nil, err
	}
	s.bridges = bridge.Resources{
		Context: s.ctx, Relay: o.Relay, Archive: o.Archive, Identity: identity, Names: s.stack, Config: &s.cfg.Media, Beep: s.cfg.Recording.Beep,
		Beside: func(what string, do func()) {
			s.beside(func() {
				defer s.recovered(what)
				do()
			})
		},
	}
	s.clients = registration.NewClients(registration.ClientsOptions{
		Stack: s.stack, Minter: s.mint, Agent: outbound.AgentName, Log: s.log, Reached: s.admission.Registered,
	})
	s.clients.Use(s.cfg.Trunks)
	return s, nil
}

// Registrations are those of the trunks at their registrars.
func (s *Server) Registrations() []registration.TrunkStatus { return s.clients.Statuses() }

// Verifier verifies who calls.
func (s *Server) Verifier() *stir.Verifier { return s.verifier }

// Registrar has what is registered here. Those that have ended, or that no trunk or target is for any more, are forgotten.
func (s *Server) Registrar() *registrar.Registrar {
	s.registrar.Tidy(time.Now(), s.admission.Peers.Load().IsHolder)
	return s.registrar
}

// collect makes the collector of messages, and gives it as a Tap; nil where nobody
// wants any.
func (s *Server) collect(o Options) transport.Tap {
	o.Ladders.Record = o.Archive != nil && slices.Contains(s.cfg.Recording.Formats, recording.FormatPcapng)
	o.Ladders.Source = func(remote netip.Addr) (netip.Addr, error) { return s.stack.SourceToward(remote) }
	if s.ladders = ladder.New(o.Ladders); s.ladders == nil {
		return nil
	}
	return s.ladders
}

// Ladder gives what has been said in a call that lives, or whose legs still do; nil: there is no such call.
func (s *Server) Ladder(id string) *ladder.Call { return s.ladders.Find(id) }

// Reload makes new calls use the trunks, targets and routes of cfg; preparers are as
// in Options. Live calls keep those that they began with, and count for the caps of
// trunks and targets of the same name. Reload ignores the other sections, which need
// a restart.
func (s *Server) Reload(cfg *config.Config, preparers map[string]peers.Preparer) {
	s.admission.Reload(cfg, preparers)
	s.clients.Use(cfg.Trunks)
}

// Rejected counts the messages that were refused early.
func (s *Server) Rejected() *transport.Rejections { return s.stack.Rejections() }

// Panics counts the panics that were recovered.
func (s *Server) Panics() uint64 { return s.panics.Load() }

// panicked counts and logs a panic that was recovered.
func (s *Server) panicked(line *zerolog.Event, where string, value any) {
	s.panics.Add(1)
	line.Str("where", where).Str("panic", fmt.Sprint(value)).Bytes("stack", debug.Stack()).Msg("panic recovered")
}

// recovered ends a goroutine that panicked without ending the process.
func (s *Server) recovered(where string) {
	if v := recover(); v != nil {
		s.panicked(s.log.Error(), where, v)
	}
}

// beside does what a call needs beside its turns, on a goroutine that is kept.
func (s *Server) beside(do func()) {
	s.calls.Add(1)
	s.stack.Turns().Go(func() {
		defer s.calls.Done()
		do()
	})
}

// Drain refuses new calls with 503 from now on, and removes the registrations.
func (s *Server) Drain() {
	s.admission.Drain()
	s.clients.Leave()
}

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
		c.mailbox.Post(item{event: killed{Cause: cause.Shutdown, By: record.EndedBySystem}})
	}
}

// WaitIdle returns when no call is live and every record is written, or with
// the context's error. Legs may still owe their peers something.
func (s *Server) WaitIdle(ctx context.Context) error {
	return wait(ctx, func() bool {
		calls, _ := s.registry.counts()
		return calls == 0
	})
}

// WaitLegs returns when no leg is left either: every BYE is answered, every
// cancelled INVITE over, and every registration removed. A dead peer delays that by 32 s.
func (s *Server) WaitLegs(ctx context.Context) error {
	return wait(ctx, func() bool { return s.Idle() && s.clients.Left() })
}

func wait(ctx context.Context, done func() bool) error {
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

// Close stops at once, and returns when no goroutine runs any more. Live calls get
// their record, but their legs are not hung up: HangupAll and WaitIdle do that.
func (s *Server) Close() error {
	s.admission.Drain()
	s.stopCalls()
	s.clients.Close()
	s.ladders.Shut()
	return s.stack.Close()
}

// stopCalls returns when every call is over. A call that does not rest yet finds the
// context's end before it does.
func (s *Server) stopCalls() {
	s.cancel()
	for _, c := range s.registry.open() {
		c.mailbox.Rouse()
	}
	s.calls.Wait()
}

func (s *Server) legOptions(side media.Side, local leg.Local, peer leg.PeerOptions) leg.Options {
	return leg.Options{Side: side, Minter: s.mint, Local: local, Agent: outbound.AgentName, Peer: peer}
}

// Redirected begins to redirect calls to the targets of the server.
func (s *Server) Redirected(o redirected.Options) *redirected.Calls {
	return redirected.New(redirected.Server{
		Peers:    s.admission.Peers.Load,
		Draining: s.Draining,
		Journal:  func(r record.Record) { s.sink.Journal(r, nil) }, Put: s.sink.Put,
		Node: s.node, OTLP: &s.cfg.Telemetry.OTLP, Log: s.log,
	}, o)
}

// NewID is a call's id: sortable by time, unique over nodes.
func NewID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}
