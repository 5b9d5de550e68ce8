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

// Stack is SIP below dialogs: sockets and connections, parser and transactions. Its
// methods may be called from any goroutine.
type Stack struct {
	// constant
	mint      *message.Minter
	server    Handler
	agent     string
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
	rejecting      rejectionLog    // log of rejected messages that were parsed
	strangerLimits *strangerLimits // constant
	load           load
	reads          readFreeze
	group          sync.WaitGroup // wires' goroutines, and others that end by themselves
	readers        sync.WaitGroup
	turns          Turns
	writing        atomic.Int32 // goroutines of wires that perform effects
	held           held
	refusals       *refusals            // constant
	auth           *peers.Authenticator // constant

	mu     sync.Mutex                   // guards the fields below
	routes map[netip.Addr]cachedRoute   // our own address on a wildcard socket, by peer
	noTCP  map[netip.AddrPort]time.Time // targets to which TCP is not tried before this time
}

// streamListener accepts TCP or TLS connections.
type streamListener struct {
	net.Listener
	transport string
	local     netip.AddrPort
	name      string // name in a hand-over
	conns     *listenerConns
}

// newStack returns a stack without sockets. When ctx ends, work in progress ends.
func newStack(ctx context.Context, o Options) *Stack {
	s := &Stack{
		mint: o.Minter, server: o.Handler, agent: o.Agent, log: o.Log, cfg: o.Config, network: o.Network,
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

// Minter returns the maker of this server's tags and branches.
func (s *Stack) Minter() *message.Minter { return s.mint }

// IsOverloaded reports whether messages wait so long that new calls should be refused.
func (s *Stack) IsOverloaded() bool { return s.load.overloaded(time.Now()) }

// recovered recovers from a panic, so that only the goroutine ends, and not the process.
func (s *Stack) recovered(where string) {
	if v := recover(); v != nil {
		s.server.Panicked(where, v)
	}
}

// Serve reads from all sockets, and accepts connections, until Close or Freeze.
func (s *Stack) Serve() {
	s.thaw()
	s.Release()                  // before any socket is read: a request within a dialog must find its call
	if s.reads.freezing.Load() { // connections that are being read have deadlines of their own
		s.setDeadlines(time.Time{})
		s.reads.thaw()
	}
}

// Turns returns the runner of the turns that messages begin. It works until Close.
func (s *Stack) Turns() *Turns { return &s.turns }

// Transactions returns the number of live transactions: of our own requests (clients),
// and of peers' requests (servers).
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

// SetProcessDefaults sets the globals of the SIP library. Only the other end of a call in
// tests and demonstrations uses the library's transactions. The library gets no limit on
// the size of UDP messages, no automatic 100, and a silent logger. Its Timers D, J, L and
// M, which keep a transaction in case a message is repeated, are short. Call it once,
// before any server is made.
func SetProcessDefaults() {
	sip.UDPMTUSize = 65535
	sip.Timer_1xx = sip.Timer_B
	sip.Timer_D, sip.Timer_J, sip.Timer_L, sip.Timer_M = sip.T4, sip.T4, sip.T4, sip.T4
	sip.SetDefaultLogger(slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})))
}
