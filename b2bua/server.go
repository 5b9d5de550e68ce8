package b2bua

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"flowbridge/b2bua/call"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registrar"
	"flowbridge/b2bua/registration"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/stir"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/internal/coroutine"
	"flowbridge/internal/parallel"
	"flowbridge/store/record"
)

// Server is the B2BUA: it listens, admits calls and runs them. Its methods
// may be called from any goroutine.
type Server struct {
	cfg       *config.Config
	host      call.Host // what calls know of the server
	log       zerolog.Logger
	mint      *message.Minter
	admission *peers.Admission
	registry  *registry.Registry[*call.Call, *call.LegOnWire]
	stack     *transport.Stack
	strays    *rate.Limiter // limits our answers to responses that no transaction waits for
	panics    atomic.Uint64
	clients   *registration.Clients // our registrations at registrars
	registrar *registrar.Registrar  // registrations of others with us
	// undoHandOver restarts the recordings that HandOver stopped. Only the goroutine that called HandOver uses it.
	undoHandOver []func()
	successor    successor
	leaves       atomic.Pointer[func() bool] // the function passed to Leave, or nil
	unwritten    atomic.Int64                // number of records that the sink has not stored yet

	ctx    context.Context
	cancel context.CancelFunc
	// calls counts calls until their last leg ends, and goroutines and coroutines that work for calls.
	calls      sync.WaitGroup
	coroutines coroutine.Pool // runs the preparation of attempts, before their INVITE
}

// successor continues the calls of an earlier process.
type successor struct {
	server   *Server
	restarts sync.Map // *call.Left by the tag of the caller's leg
}

// Stack returns the server's transport.
func (s *Server) Stack() *transport.Stack { return s.stack }

// Registrations returns the state of our registrations, for each trunk.
func (s *Server) Registrations() []registration.TrunkStatus { return s.clients.Statuses() }

// Registrar returns the registrar that holds the registrations of others with us. It first removes registrations that
// have expired, or whose trunk or target no longer exists.
func (s *Server) Registrar() *registrar.Registrar {
	s.registrar.Tidy(time.Now(), s.admission.Peers.Load().IsHolder)
	return s.registrar
}

// Ladder returns the ladder of a call that is live or still has live legs, or nil.
func (s *Server) Ladder(id string) *ladder.Call { return s.host.Ladders.Find(id) }

// Verifier returns the verifier of callers' identities (STIR).
func (s *Server) Verifier() *stir.Verifier { return s.host.Verifier }

// Reload makes new calls use the trunks, targets and routes of cfg; preparers are as in Options. Live calls keep the
// trunks and targets that they started with, and count against the limits of trunks and targets with the same name.
// Reload ignores the other sections, which need a restart.
func (s *Server) Reload(cfg *config.Config, preparers map[string]peers.Preparer) {
	s.admission.Reload(cfg, preparers)
	s.clients.Use(cfg.Trunks)
}

// Rejected returns the counts of messages that were refused early.
func (s *Server) Rejected() *transport.Rejections { return s.stack.Rejections() }

// Panics returns how many panics were recovered.
func (s *Server) Panics() uint64 { return s.panics.Load() }

// panicked counts and logs a panic that was recovered.
func (s *Server) panicked(line *zerolog.Event, where string, value any) {
	s.panics.Add(1)
	line.Str("where", where).Str("panic", fmt.Sprint(value)).Bytes("stack", debug.Stack()).Msg("panic recovered")
}

// beside runs do on a pooled goroutine, concurrently with the calls' turns. Close waits for it.
func (s *Server) beside(do func()) {
	s.calls.Add(1)
	s.stack.Turns().Go(func() {
		defer s.calls.Done()
		do()
	})
}

// Drain refuses new calls with 503 from now on, and removes our registrations.
func (s *Server) Drain() {
	s.admission.Drain()
	s.clients.Leave()
}

// Calls returns how many calls are live or have a record that is not stored yet.
func (s *Server) Calls() int {
	calls, _ := s.registry.Counts()
	return calls
}

// Unwritten returns how many records of ended calls the sink has not stored yet.
func (s *Server) Unwritten() int { return int(s.unwritten.Load()) }

// Draining reports whether Drain was called.
func (s *Server) Draining() bool { return s.admission.IsDraining() }

// HangupAll ends every call that is live.
func (s *Server) HangupAll() {
	for _, c := range s.registry.All() {
		c.Kill(cause.Shutdown, record.EndedBySystem)
	}
}

// WaitIdle returns nil when no call is live and every record is stored, or the context's error. Legs may still have
// messages to send.
func (s *Server) WaitIdle(ctx context.Context) error {
	return parallel.Until(ctx, func() bool {
		calls, _ := s.registry.Counts()
		return calls == 0
	})
}

// WaitLegs returns nil when every BYE is answered, every cancelled INVITE has its final response, and every
// registration is removed, or the context's error. A peer that does not answer delays that by up to 32 s.
func (s *Server) WaitLegs(ctx context.Context) error {
	return parallel.Until(ctx, func() bool { return s.Idle() && s.clients.Left() })
}

// Idle reports whether no call and no leg is left.
func (s *Server) Idle() bool {
	calls, lines := s.registry.Counts()
	return calls == 0 && lines == 0
}

// Close stops the server at once, and returns when all its goroutines have ended. Live calls get their record, but no
// BYE is sent: use HangupAll and WaitIdle for that.
func (s *Server) Close() error {
	s.admission.Drain()
	s.stopCalls()
	s.clients.Close()
	s.host.Ladders.Shut()
	s.coroutines.Close()
	return s.stack.Close()
}

// stopCalls cancels the server's context, wakes waiting calls and returns when all calls are over. A call that has a
// turn notices the cancellation before it next waits.
func (s *Server) stopCalls() {
	s.cancel()
	for _, c := range s.registry.Open() {
		c.Rouse()
	}
	s.calls.Wait()
}
