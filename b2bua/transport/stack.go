package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// Stack is the SIP library as we use it: parser, transports and transactions, without
// dialogs, on our own sockets and connections. Its methods may be called from any
// goroutine.
type Stack struct {
	// constant
	tp        *sip.TransportLayer
	tx        *sip.TransactionLayer
	mint      *message.Minter
	server    Handler
	agent     string
	log       zerolog.Logger
	ctx       context.Context
	stop      context.CancelFunc
	cfg       config.SIP
	network   Network
	sockets   []*guard
	listeners []streamListener
	streams   *streams

	rejected  Rejections
	passed    Messages
	rejecting rejectionLog  // of messages that were parsed
	strangers *rate.Limiter // answers to unknown senders over UDP

	strangersConnected *rate.Limiter // and over connections, which a flood of UDP must not starve
	load               load
	group              sync.WaitGroup // goroutines of wires
	readers            sync.WaitGroup

	swap       sync.RWMutex // see renewal
	maxSources int          // addresses that the library may keep

	mu     sync.Mutex                   // guards what follows
	hosts  map[string]cachedHost        // host to address
	routes map[netip.Addr]cachedRoute   // peer to our own address on a wildcard socket
	noTCP  map[netip.AddrPort]time.Time // until when TCP is not tried
}

// streamListener is where TCP or TLS connections are accepted.
type streamListener struct {
	net.Listener
	transport string
	local     netip.AddrPort
}

// maxSources is how many addresses the library may keep before a listener is renewed.
const maxSources = 10_000

// newStack makes a stack without sockets. ctx ends what is under way.
func newStack(ctx context.Context, o Options) *Stack {
	s := &Stack{
		mint: o.Minter, server: o.Handler, agent: o.Agent, log: o.Log, cfg: o.Config, network: o.Network,
		rejecting: newRejectionLog(o.Log), strangers: rate.NewLimiter(strangerRate, strangerRate), strangersConnected: rate.NewLimiter(strangerRate, strangerRate), load: load{limit: o.Config.MaxDelay}, maxSources: maxSources,
		hosts: map[string]cachedHost{}, routes: map[netip.Addr]cachedRoute{}, noTCP: map[netip.AddrPort]time.Time{},
	}
	s.ctx, s.stop = context.WithCancel(ctx)
	s.streams = newStreams(s, o)
	quiet := slog.New(slog.DiscardHandler)
	s.tp = newTransport(quiet)
	s.tp.OnMessage(s.stamp) // before the transactions see it
	s.tx = sip.NewTransactionLayer(s.tp, sip.WithTransactionLayerLogger(quiet),
		sip.WithTransactionLayerUnhandledResponseHandler(s.onStrayResponse))
	s.tx.OnRequest(s.onRequest)
	return s
}

// Listeners are the addresses that SIP is received on: UDP first, otherwise in
// configuration order.
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

// IsOverloaded says whether messages wait so long that new calls should be refused.
func (s *Stack) IsOverloaded() bool { return s.load.overloaded(time.Now()) }

// recovered ends a goroutine that panicked without ending the process.
func (s *Stack) recovered(where string) {
	if v := recover(); v != nil {
		s.server.Panicked(where, v)
	}
}

// Serve reads from all sockets until Close. Connections are accepted only when UDP is
// being read, because a call that comes by a connection may go out by UDP.
func (s *Stack) Serve() {
	defer s.serveStreams()
	for _, g := range s.sockets {
		s.readers.Go(func() {
			err := s.tp.ServeUDP(g)
			for ; g.begun && err == nil; err = s.tp.ServeUDP(g) {
				s.log.Info().Stringer("listen", g.local).Msg("addresses that were heard from are forgotten")
			}
			g.begunReading()
			g.done()
			if s.ctx.Err() == nil {
				s.log.Error().Err(err).Stringer("listen", g.local).Msg("listener ended")
			}
		})
	}
	for _, g := range s.sockets {
		<-g.reading
	}
}

// serveStreams accepts connections until Close, and has the library read them.
func (s *Stack) serveStreams() {
	for transport, f := range s.streams.feeds {
		s.readers.Go(func() {
			if transport == config.TransportTLS {
				_ = s.tp.ServeTLS(f)
			} else {
				_ = s.tp.ServeTCP(f)
			}
		})
	}
	for _, l := range s.listeners {
		s.readers.Go(func() { s.streams.listen(l, l.transport) })
	}
}

func (s *Stack) crowded() bool { return s.tp.Pool("udp").Size() > s.maxSources }

// newTransport makes the library's transports on our connections: they open none, and
// look no name up.
func newTransport(log *slog.Logger) *sip.TransportLayer {
	refuse := func(net.Addr) net.Dialer {
		return net.Dialer{Control: func(string, string, syscall.RawConn) error { return errNoDial }}
	}
	nobody := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errNoDial }}
	return sip.NewTransportLayer(nobody, message.NewParser(), nil, sip.WithTransportLayerLogger(log),
		sip.WithTransportLayerTransports(sip.TransportsConfig{
			TCP: &sip.TransportTCP{DialerCreate: refuse},
			TLS: &sip.TransportTLS{TransportTCP: &sip.TransportTCP{DialerCreate: refuse}},
		}))
}

// errNoDial keeps the library from opening a connection, or asking a name server, by
// itself.
var errNoDial = errors.New("connections are opened by streams.connect")

// Close ends transactions, sockets and goroutines, and waits for them.
func (s *Stack) Close() error {
	s.stop()
	s.tx.Close()
	var errs []error
	for _, g := range s.sockets {
		errs = append(errs, g.Close())
	}
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	s.streams.close()
	errs = append(errs, s.tp.Close())
	s.readers.Wait()
	s.streams.group.Wait()
	s.group.Wait()
	return errors.Join(errs...)
}

// SetProcessDefaults sets the globals of the SIP library: no limit on the size of UDP
// messages (the guard and the header budget have limits), and a silent logger. Call
// it once, before any server is made.
//
// Timers D, J, L and M keep a transaction in case a message is repeated. They are
// short, because a client transaction is not needed after its final answer
// (Wire.finished). A later INVITE finds its leg, a later 200 needs no transaction
// (Wire.respond), and the server knows a later BYE by its branch. The library sends no
// 100 by itself: each INVITE gets one at once, or is refused.
func SetProcessDefaults() {
	sip.UDPMTUSize = 65535
	sip.Timer_1xx = sip.Timer_B
	sip.Timer_D, sip.Timer_J, sip.Timer_L, sip.Timer_M = sip.T4, sip.T4, sip.T4, sip.T4
	sip.SetDefaultLogger(slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})))
}
