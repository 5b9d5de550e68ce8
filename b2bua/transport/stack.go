package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transaction"
	"flowbridge/config"
)

// Stack handles SIP below dialogs: sockets and connections, parser and transactions. Its methods
// may be called from any goroutine.
type Stack struct {
	// constant
	mint      *message.Minter
	server    Handler
	log       zerolog.Logger
	ctx       context.Context
	stop      context.CancelFunc
	cfg       config.SIP
	network   Network
	sockets   []*udpEndpoint
	listeners []streamListener
	streams   *streams
	names     *locate.Resolver

	transactions *transaction.Table
	parked       atomic.Int32 // CANCELs that wait for their INVITE

	rejected       Rejections
	passed         Messages
	rejecting      rejectionLog    // log of messages that were rejected after parsing
	strangerLimits *strangerLimits // constant
	load           load
	reads          readFreeze
	group          sync.WaitGroup // the wires' goroutines, and others that end by themselves
	readers        sync.WaitGroup
	turns          Turns
	writing        atomic.Int32 // number of the wires' goroutines that perform effects
	held           held
	refusals       *refusals            // constant
	auth           *peers.Authenticator // constant

	mu     sync.Mutex                   // guards the fields below
	routes map[netip.Addr]cachedRoute   // our own address toward a peer, for wildcard sockets
	noTCP  map[netip.AddrPort]time.Time // when TCP to a target may be tried again
}

// streamListener accepts TCP or TLS connections.
type streamListener struct {
	net.Listener
	transport string
	local     netip.AddrPort
	name      string // name for a handover
	conns     *listenerConns
}

// newStack returns a stack without sockets. When ctx ends, work in progress is cancelled.
func newStack(ctx context.Context, o Options) *Stack {
	s := &Stack{
		mint: o.Minter, server: o.Handler, log: o.Log, cfg: o.Config, network: o.Network,
		rejecting: newRejectionLog(o.Log), strangerLimits: newStrangerLimits(), load: load{limit: o.Config.MaxDelay},
		routes: map[netip.Addr]cachedRoute{}, noTCP: map[netip.AddrPort]time.Time{},
	}
	s.ctx, s.stop = context.WithCancel(ctx)
	s.refusals = newRefusals()
	s.auth = peers.NewAuthenticator(s.mint, message.AlgorithmsOf(s.cfg.AuthAlgorithms), time.Now())
	s.names = locate.New(s.ctx, o.Network.Names)
	s.streams = newStreams(s, o)
	s.transactions = transaction.NewTable()
	return s
}

// Listeners returns the addresses that receive SIP: UDP first, otherwise in configuration
// order.
func (s *Stack) Listeners() []config.Listener {
	var all []config.Listener
	for _, g := range s.sockets {
		all = append(all, config.Listener{Transport: config.TransportUDP, AddrPort: g.local})
	}
	for _, l := range s.listeners {
		all = append(all, config.Listener{Transport: l.transport, AddrPort: l.local})
	}
	return all
}

// Minter returns the generator of this server's tags and branches.
func (s *Stack) Minter() *message.Minter { return s.mint }

// IsOverloaded reports whether messages wait so long that new calls should be refused.
func (s *Stack) IsOverloaded() bool { return s.load.overloaded(time.Now()) }

// recovered, when deferred, recovers from a panic and reports it, so that only the goroutine ends,
// and not the process.
func (s *Stack) recovered(where string) {
	if v := recover(); v != nil {
		s.server.Panicked(where, v)
	}
}

// Serve reads from all sockets, and accepts connections, until Close or Freeze.
func (s *Stack) Serve() {
	s.thaw()
	s.Release()                  // must come before any socket is read: a request within a dialog has to find its call
	if s.reads.freezing.Load() { // else readers run, and their connections have deadlines of their own
		s.setDeadlines(time.Time{})
		s.reads.thaw()
	}
}

// Turns returns the runner of the turns that messages start. It works until Close.
func (s *Stack) Turns() *Turns { return &s.turns }

// Transactions returns the number of live transactions: clients for our requests, and servers for
// peers' requests.
func (s *Stack) Transactions() (clients, servers int) { return s.transactions.Len() }

// Close ends transactions, sockets and goroutines, and waits for them.
func (s *Stack) Close() error {
	s.stop()
	s.thaw()
	s.transactions.Close()
	var errs []error
	for _, g := range s.sockets {
		errs = append(errs, g.Close())
	}
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	s.streams.close()
	s.readers.Wait()
	s.streams.group.Wait()
	s.group.Wait()
	s.names.Wait()
	s.turns.Close()
	return errors.Join(errs...)
}

// SetProcessDefaults sets the globals of the SIP library. Only the peers of calls in tests and
// demonstrations use the library's transactions. The library gets no limit on the size of UDP
// messages, no automatic 100, and a silent logger. Its Timers D, J, L and M, which keep a
// transaction in case a message is repeated, are short. SetProcessDefaults must be called before
// any server is created.
func SetProcessDefaults() {
	sip.UDPMTUSize = 65535
	sip.Timer_1xx = sip.Timer_B
	sip.Timer_D, sip.Timer_J, sip.Timer_L, sip.Timer_M = sip.T4, sip.T4, sip.T4, sip.T4
	sip.SetDefaultLogger(slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})))
}
